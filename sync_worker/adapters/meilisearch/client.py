"""The port `Sink` on a real Meilisearch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard
from urllib.parse import quote

import orjson

from sync_worker.adapters.meilisearch import errors
from sync_worker.adapters.meilisearch.errors import Call
from sync_worker.adapters.meilisearch.task import parse_task
from sync_worker.adapters.meilisearch.transport import DEFAULT_TIMEOUTS, Compress, Timeouts, Transport
from sync_worker.errors import SinkDenied, SinkUnavailable, SyncWorkerError
from sync_worker.ports import IndexIdentity, Task, TaskStatus, TaskUid

OLDEST_VERSION = (1, 26)
"""The first version that keeps `customMetadata`, without which late writes can't be told apart."""

UIDS_PER_REQUEST = 600
"""Ten digits and a comma each: 7 KB of URL, below the 8 KB that proxies commonly take."""

INDEX_TASK_TYPES = (
    "documentAdditionOrUpdate,documentEdition,documentDeletion,settingsUpdate,indexCreation,indexUpdate,indexDeletion"
)
"""Asked for by name where a limit counts: the server applies the limit first and takes away what concerns several indexes
afterwards, so that a cut-over and its rollback at the end of the history would make a page of one come back empty."""


@dataclass(frozen=True, slots=True)
class IndexStats:
    """What the server counts of one index. `fields` has field → documents that bear it, null values included."""

    documents: int
    indexing: bool
    fields: Mapping[str, int]


UNFINISHED = (TaskStatus.ENQUEUED, TaskStatus.PROCESSING)


class MeilisearchSink:
    """One Meilisearch with one key; see `sync_worker.ports.Sink`.

    Args:
        url: base URL, `http://host:7700`.
        api_key: empty for a server without a master key.
        key_name: how error messages call the key.
        compress: `auto` compresses payloads from 10 KiB unless the host is this machine.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        key_name: str = "worker key",
        compress: Compress = "auto",
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        self._transport = Transport(url, api_key, key_name=key_name, compress=compress, timeouts=timeouts)

    async def write(self, index_uid: str, ndjson: bytes, *, metadata: str) -> TaskUid:
        return await self._enqueue(
            "POST", f"{_index(index_uid)}/documents", ndjson, metadata, "documents.add", "application/x-ndjson"
        )

    async def delete(self, index_uid: str, document_ids: Sequence[str], *, metadata: str) -> TaskUid:
        if not all(document_ids):
            raise ValueError(f"an empty document id among {len(document_ids)} to delete from {index_uid}")
        # The server keeps ids as text: "1" deletes the document whose id was the number 1.
        body = orjson.dumps(list(document_ids))
        return await self._enqueue("POST", f"{_index(index_uid)}/documents/delete-batch", body, metadata, "documents.delete")

    async def clear(self, index_uid: str, *, metadata: str) -> TaskUid:
        return await self._enqueue("DELETE", f"{_index(index_uid)}/documents", None, metadata, "documents.delete")

    async def tasks(self, uids: Collection[TaskUid]) -> Mapping[TaskUid, Task]:
        found: dict[TaskUid, Task] = {}
        for part in _parts(sorted(uids)):
            listed = ",".join(map(str, part))
            found.update((task.uid, task) for task in await self._list(f"uids={listed}&limit={len(part)}"))
        return found

    async def tasks_from(self, index_uid: str, uid: int, *, limit: int = 1000) -> Sequence[Task]:
        return await self._list(f"{_of_index(index_uid)}&reverse=true&from={uid}&limit={limit}")

    async def last_task(self, index_uid: str) -> Task | None:
        return next(iter(await self._list(f"{_of_index(index_uid)}&limit=1")), None)

    async def oldest_task_uid(self, index_uid: str) -> TaskUid | None:
        oldest = await self._list(f"{_of_index(index_uid)}&reverse=true&limit=1")
        return oldest[0].uid if oldest else None

    async def tasks_in_batch(self, batch_uid: int) -> int:
        # `total` counts tasks that this key may not see as well, and needs no right to /batches, which scoped keys never have.
        answer = await self._get(f"/tasks?batchUids={batch_uid}&limit=1", "tasks.get")
        return self._number(answer, "total")

    async def identity(self, index_uid: str) -> IndexIdentity | None:
        try:
            answer = await self._get(_index(index_uid), "indexes.get")
        except SinkDenied as error:
            if error.code == "index_not_found":
                return None
            raise
        if not isinstance(answer.get("createdAt"), str):
            raise self._strange(answer)
        return IndexIdentity(uid=index_uid, created_at=answer["createdAt"], primary_key=answer.get("primaryKey"))

    async def settings(self, index_uid: str) -> Mapping[str, Any]:
        return await self._get(f"{_index(index_uid)}/settings", "settings.get")

    async def document_count(self, index_uid: str) -> int:
        return self._number(await self._get(f"{_index(index_uid)}/stats", "stats.get"), "numberOfDocuments")

    async def task_count(self, index_uid: str, statuses: Collection[TaskStatus], *, kind: str | None = None) -> int:
        """How many tasks of this index have one of these statuses, whatever the length of the history.

        The server keeps a bitmap for each index, status and type, and no task is read for a limit of 0. Tasks of several indexes
        (swaps) count as well. `kind` is Meilisearch's `type`.
        """
        query = f"indexUids={quote(index_uid, safe='')}&statuses={','.join(sorted(statuses))}&limit=0"
        return self._number(await self._get(f"/tasks?{query}{f'&types={kind}' if kind else ''}", "tasks.get"), "total")

    async def newest_failed(self, index_uid: str) -> Task | None:
        """The newest failed task of this index."""
        return next(iter(await self._list(f"{_of_index(index_uid)}&statuses=failed&limit=1")), None)

    async def index_stats(self, index_uid: str) -> IndexStats:
        """Raises SinkDenied with the code `index_not_found` where there is no such index."""
        answer = await self._get(f"{_index(index_uid)}/stats", "stats.get")
        fields = answer.get("fieldDistribution")
        if not _is_object(fields):
            raise self._strange(answer)
        return IndexStats(self._number(answer, "numberOfDocuments"), bool(answer.get("isIndexing")), fields)

    async def server_version(self) -> tuple[int, int, int] | None:
        """None where the key may not ask, as is the case for every key that is scoped to indexes.

        Compare with `OLDEST_VERSION`. A server that is too old also refuses the first write with SinkDenied that says so.
        """
        try:
            answer = await self._get("/version", "version")
        except SinkDenied as error:
            if error.code in ("invalid_api_key", "missing_authorization_header"):
                return None
            raise
        numbers = str(answer.get("pkgVersion")).partition("-")[0].split(".")
        if len(numbers) != 3 or not all(number.isdecimal() for number in numbers):
            raise self._strange(answer)
        return int(numbers[0]), int(numbers[1]), int(numbers[2])

    async def close(self) -> None:
        await self._transport.close()

    async def _enqueue(
        self,
        method: str,
        path: str,
        body: bytes | None,
        metadata: str | None,
        action: str,
        content_type: str = "application/json",
    ) -> TaskUid:
        query = "" if metadata is None else f"?customMetadata={quote(metadata, safe='')}"
        answer = await self._transport.write(method, path + query, body, action=action, content_type=content_type)
        if not _is_object(answer) or type(answer.get("taskUid")) is not int:
            call = Call(f"{method} {path}", action, self._transport.key_name, self._transport.url, writes=True)
            raise errors.from_answer(202, {}, orjson.dumps(answer), call)
        return TaskUid(answer["taskUid"])

    async def _get(self, path: str, action: str) -> dict[str, Any]:
        answer = await self._transport.read(path, action=action)
        if not _is_object(answer):
            raise self._strange(answer)
        return answer

    async def _list(self, query: str) -> list[Task]:
        answer = await self._get(f"/tasks?{query}", "tasks.get")
        try:
            return [parse_task(task) for task in answer["results"]]
        except (KeyError, TypeError, ValueError) as error:
            raise self._strange(answer) from error

    def _number(self, answer: dict[str, Any], name: str) -> int:
        value = answer.get(name)
        if type(value) is not int:
            raise self._strange(answer)
        return value

    def _strange(self, answer: object) -> SyncWorkerError:
        text = repr(answer)[:200]
        return SinkUnavailable(f"{self._transport.url} answered something that is not Meilisearch's: {text}")


def _is_object(answer: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(answer, dict)


def _index(uid: str) -> str:
    return f"/indexes/{quote(uid, safe='')}"


def _of_index(uid: str) -> str:
    return f"indexUids={quote(uid, safe='')}&types={INDEX_TASK_TYPES}"


def _parts(uids: list[TaskUid]) -> Iterator[list[TaskUid]]:
    for start in range(0, len(uids), UIDS_PER_REQUEST):
        yield uids[start : start + UIDS_PER_REQUEST]
