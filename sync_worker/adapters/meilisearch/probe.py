"""What a key may do, found without changing anything.

A key can't read itself (`GET /keys` needs an action of its own), so each action is tried with a request that the server refuses
for another reason *after* it has looked at the key. 403 means that the key lacks the action, any other answer that it has it.
Nothing is ever enqueued, because no probe could succeed with any key:

| action | probe | answer with the right |
|---|---|---|
| documents.add | POST documents as `text/plain` | 415 |
| documents.get | GET documents, none of them | 200, 404 |
| documents.delete | POST documents/delete with half a filter | 400 |
| tasks.get, version | GET /tasks, /version | 200 |
| stats.get, settings.get, indexes.get | GET it | 200, 404 |
| settings.update, indexes.delete | the request for an index uid that can't exist | 400 |
| indexes.create | POST /indexes whose body, no JSON, comes late | 400 |

The last comes late because the server reads a body and looks at the key at the same time and answers with what fails first.
settings.update and indexes.delete show only for a key whose pattern covers more than the index itself, as that of the scratch
key does; for a key scoped to one uid they count as missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from urllib.parse import quote

import aiohttp

from sync_worker.adapters.meilisearch import errors
from sync_worker.adapters.meilisearch.errors import Call
from sync_worker.adapters.meilisearch.transport import DEFAULT_TIMEOUTS, USER_AGENT

IMPOSSIBLE = "%20probe"
LATE_S = 0.5


async def missing_actions(
    url: str, api_key: str, needed: Collection[str], index_uids: Collection[str]
) -> Mapping[str, frozenset[str]]:
    """Index uid → actions of `needed` that the key lacks there; indexes where nothing lacks are left out.

    Raises SinkUnavailable where the server does not answer, ValueError for an action without a probe.
    """
    if unknown := set(needed) - set(PROBES):
        raise ValueError(f"no probe for {', '.join(sorted(unknown))}")
    timeout = aiohttp.ClientTimeout(total=DEFAULT_TIMEOUTS.read_s, connect=DEFAULT_TIMEOUTS.connect_s)
    headers = {"User-Agent": USER_AGENT, "Authorization": f"Bearer {api_key}"}
    missing: dict[str, frozenset[str]] = {}
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, trust_env=False) as session:
        for uid in index_uids:
            lacking = frozenset([action for action in needed if not await _allowed(session, url.rstrip("/"), action, uid)])
            if lacking:
                missing[uid] = lacking
    return missing


async def _late_nonsense() -> AsyncIterator[bytes]:
    await asyncio.sleep(LATE_S)
    yield b"no JSON"


PROBES: Mapping[str, tuple[str, str, str | None, bytes | None]] = {
    "documents.add": ("POST", "/indexes/{uid}/documents", "text/plain", b"-"),
    "documents.get": ("GET", "/indexes/{uid}/documents?limit=0", None, None),
    "documents.delete": ("POST", "/indexes/{uid}/documents/delete", "application/json", b'{"filter":"half ="}'),
    "tasks.get": ("GET", "/tasks?limit=1", None, None),
    "version": ("GET", "/version", None, None),
    "stats.get": ("GET", "/indexes/{uid}/stats", None, None),
    "settings.get": ("GET", "/indexes/{uid}/settings", None, None),
    "settings.update": ("PATCH", "/indexes/{uid}" + IMPOSSIBLE + "/settings", "application/json", b"{}"),
    "indexes.get": ("GET", "/indexes/{uid}", None, None),
    "indexes.create": ("POST", "/indexes", "application/json", None),
    "indexes.delete": ("DELETE", "/indexes/{uid}" + IMPOSSIBLE, None, None),
}
"""Action → method, path, content type, body; the body of indexes.create is the late one."""


async def _allowed(session: aiohttp.ClientSession, url: str, action: str, index_uid: str) -> bool:
    method, template, content_type, body = PROBES[action]
    path = template.format(uid=quote(index_uid, safe=""))
    call = Call(f"{method} {path}", action, "key", url, writes=False)
    try:
        async with session.request(
            method,
            url + path,
            data=_late_nonsense() if action == "indexes.create" else body,
            headers={"Content-Type": content_type} if content_type else {},
            allow_redirects=False,
        ) as answer:
            raw = await answer.read()
    except (aiohttp.ClientError, OSError) as error:
        raise errors.from_client(error, call) from error
    if answer.status in (401, 403):
        return False
    if answer.status >= 500 or 300 <= answer.status < 400:
        raise errors.from_answer(answer.status, answer.headers, raw, call)
    return True
