"""What `doctor` asks of Meilisearch: how long one tiny task takes, sizes, the clock, documents that can't be read."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import httpx
import orjson

from sync_worker.adapters.meilisearch.admin import MeilisearchAdmin
from sync_worker.adapters.meilisearch.transport import Transport
from sync_worker.errors import SinkDenied, SinkRejected, SinkUnavailable

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Readable:
    """`read` documents were read of `documents`; the server can't give back `unreadable` (ids)."""

    documents: int
    read: int
    unreadable: tuple[str, ...]


async def tiny_task_s(scratch: MeilisearchAdmin) -> float:
    """Seconds that the server worked on a task with one document, on a scratch index that is deleted again.

    Raises SinkUnavailable, SinkDenied.
    """
    uid = f"scratch-doctor-{uuid.uuid4().hex[:12]}"
    await scratch.create_index(uid, "id", {})
    try:
        return await scratch.write_duration_s(uid, b'{"id":1,"text":"one tiny document"}')
    finally:
        await scratch.delete_index(uid)


async def sizes(transport: Transport) -> tuple[int, int] | None:
    """Bytes on disk and bytes used, of the whole server; None where this key may not ask. Raises SinkUnavailable."""
    try:
        answer = await transport.read("/stats", action="stats.get")
    except SinkDenied:
        return None
    total, used = answer.get("databaseSize"), answer.get("usedDatabaseSize")
    return (total, used) if isinstance(total, int) and isinstance(used, int) else None


async def clock_skew_s(url: str) -> float | None:
    """A server's clock less ours by its `Date` header, to half a second; None where it sends none, or nothing answers."""
    try:
        async with httpx.AsyncClient(timeout=5.0) as http:
            before = time.time()
            answer = await http.get(url)
            middle = (before + time.time()) / 2
        # The header is cut off to a whole second.
        return parsedate_to_datetime(answer.headers["date"]).timestamp() + 0.5 - middle
    except (httpx.HTTPError, httpx.InvalidURL, KeyError, ValueError, TypeError):
        return None


async def read_all(transport: Transport, uid: str, id_field: str, documents: int, *, until: Callable[[], bool]) -> Readable:
    """Read documents page by page as long as `until` allows; where a page fails, find the ones that fail it.

    Raises SinkUnavailable where the server fails on everything.
    """
    unreadable: list[str] = []
    read = 0
    while read < documents and not until():
        size = min(_PAGE, documents - read)
        unreadable += await _page(transport, uid, id_field, read, size)
        read += size
    return Readable(documents, read, tuple(unreadable))


async def _page(transport: Transport, uid: str, id_field: str, offset: int, limit: int) -> list[str]:
    try:
        await _fetch(transport, uid, {"offset": offset, "limit": limit})
    except (SinkUnavailable, SinkRejected):
        if limit == 1:
            return [await _name(transport, uid, id_field, offset)]
        half = limit // 2
        return [
            *await _page(transport, uid, id_field, offset, half),
            *await _page(transport, uid, id_field, offset + half, limit - half),
        ]
    return []


async def _name(transport: Transport, uid: str, id_field: str, offset: int) -> str:
    """Of a document that can't be read whole: where only its id is asked for, no other field is parsed."""
    # A server that is ill says the same of every document: of nothing, it answers.
    await _fetch(transport, uid, {"offset": offset, "limit": 0})
    try:
        (found,) = await _fetch(transport, uid, {"offset": offset, "limit": 1, "fields": [id_field]})
        return str(found[id_field])
    except (SinkUnavailable, SinkRejected, ValueError, KeyError):
        return f"(the one at offset {offset})"


async def _fetch(transport: Transport, uid: str, body: dict[str, object]) -> list[dict[str, object]]:
    path = f"/indexes/{quote(uid, safe='')}/documents/fetch"
    answer = await transport.ask(path, orjson.dumps(body), action="documents.get")
    results: list[dict[str, object]] = answer["results"]
    return results
