"""The port `AdminSink`: the same with a key that may create and delete indexes. The official client serves administration.

It runs in a thread of its own for each call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson

from sync_worker.adapters.meilisearch import errors
from sync_worker.adapters.meilisearch.client import UNFINISHED, MeilisearchSink
from sync_worker.adapters.meilisearch.errors import Call
from sync_worker.adapters.meilisearch.official import Official
from sync_worker.adapters.meilisearch.transport import DEFAULT_TIMEOUTS, Compress, Timeouts
from sync_worker.errors import SinkDenied, SinkRejected, SinkUnavailable
from sync_worker.ports import IndexIdentity, Task, TaskStatus, TaskUid

FIRST_LOOK_S = 0.01
LONGEST_LOOK_S = 0.5


class MeilisearchAdmin(MeilisearchSink):
    """See `sync_worker.ports.AdminSink`. Waits for its tasks as long as they live; cancel it to give up."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        key_name: str = "scratch key",
        compress: Compress = "auto",
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(url, api_key, key_name=key_name, compress=compress, timeouts=timeouts)
        self._official = Official(url, api_key, key_name=key_name)
        self._sleep = sleep

    async def create_index(self, index_uid: str, primary_key: str, settings: Mapping[str, Any]) -> IndexIdentity:
        create = self._official.call("POST /indexes", "indexes.create")
        created = await asyncio.to_thread(
            self._official.do, create, lambda client: client.create_index(index_uid, {"primaryKey": primary_key}).task_uid
        )
        await self._applied(TaskUid(created), create)
        if settings:
            await self._set_up(index_uid, settings)
        identity = await self.identity(index_uid)
        if identity is None or identity.primary_key != primary_key:
            raise SinkDenied(f"{index_uid} was created with the primary key {primary_key}, and now it is {identity}.")
        return identity

    async def delete_index(self, index_uid: str) -> None:
        call = self._official.call(f"DELETE /indexes/{index_uid}", "indexes.delete")
        deleted = await asyncio.to_thread(self._official.do, call, lambda client: client.index(index_uid).delete().task_uid)
        try:
            await self._applied(TaskUid(deleted), call)
        except SinkDenied as error:
            if error.code != "index_not_found":
                raise

    async def enqueue_swap(self, one: str, other: str) -> None:
        """Ask for the names of these two indexes to be exchanged. Returns once it is accepted, which is not done.

        A key that is scoped to indexes may ask, and never sees the task: `createdAt` of either index shows that it was done, and
        `unfinished_swaps` whether it may still be. Raises AnswerLost where it may have been accepted: look before asking again,
        for twice is not at all.
        """
        call = self._official.call("POST /swap-indexes", "indexes.swap")
        await asyncio.to_thread(self._official.do, call, lambda client: client.swap_indexes([{"indexes": [one, other]}]).task_uid)

    async def unfinished_swaps(self) -> int:
        """Swaps that the server has accepted and not finished, of whichever indexes: `total` counts tasks that this key may not
        see as well."""
        answer = await self._get("/tasks?types=indexSwap&statuses=enqueued,processing&limit=0", "tasks.get")
        return self._number(answer, "total")

    async def found_ids(self, index_uid: str, id_field: str, search: Mapping[str, Any]) -> Sequence[str]:
        """Ids of the documents that this search finds, in its order. `search` is a body of `/search`; a `q` in it is the text."""
        call = self._official.call(f"POST /indexes/{index_uid}/search", "search", writes=False)
        options = {name: value for name, value in search.items() if name != "q"}
        answer = await asyncio.to_thread(
            self._official.do, call, lambda client: client.index(index_uid).search(search.get("q", ""), options)
        )
        return [str(hit.get(id_field)) for hit in answer["hits"]]

    async def disk_share(self, index_uid: str) -> int | None:
        """Bytes of the server's database that are this index's, by its share of the documents' raw size; None where unknown."""
        answer = await self._get("/stats", "stats.get")
        sizes = {uid: one.get("rawDocumentDbSize") for uid, one in (answer.get("indexes") or {}).items()}
        whole, used = sum(size for size in sizes.values() if isinstance(size, int)), answer.get("usedDatabaseSize")
        mine = sizes.get(index_uid)
        return int(used * mine / whole) if isinstance(used, int) and isinstance(mine, int) and whole else None

    async def update_settings(self, index_uid: str, settings: Mapping[str, Any]) -> None:
        """Change these and leave the others; returns once the task has succeeded. Raises SinkRejected or SinkDenied for settings
        that the server refuses."""
        path = f"/indexes/{index_uid}/settings"
        call = self._official.call(f"PATCH {path}", "settings.update")
        # Not by the official client: it looks into every embedder, and null, which takes one away, has nothing to look into.
        task = await self._enqueue("PATCH", path, orjson.dumps(settings), None, call.action)
        await self._applied(task, call)

    async def write_duration_s(self, index_uid: str, ndjson: bytes) -> float:
        """Write, wait, and how long the server worked on it."""
        call = Call(f"POST /indexes/{index_uid}/documents", "documents.add", self._transport.key_name, self._transport.url, True)
        task = await self._applied(await self.write(index_uid, ndjson, metadata="doctor"), call)
        return task.duration_s or 0.0

    async def settings_settled(self, index_uid: str) -> None:
        """Returns once no change of this index's settings is unfinished."""
        pause = FIRST_LOOK_S
        while await self.task_count(index_uid, UNFINISHED, kind="settingsUpdate"):
            await self._sleep(pause)
            pause = min(pause * 2, LONGEST_LOOK_S)

    async def _set_up(self, index_uid: str, settings: Mapping[str, Any]) -> None:
        try:
            await self.update_settings(index_uid, settings)
        except (SinkDenied, SinkRejected) as error:
            # Half made, it would pass for an index that has its settings the next time somebody looks.
            await self.delete_index(index_uid)
            raise SinkDenied(
                error.message, code=error.code, remedy=f"The settings for {index_uid} are refused; it was not created."
            ) from error

    async def _applied(self, uid: TaskUid, call: Call) -> Task:
        """The task once it is applied; its failure as an error."""
        pause = FIRST_LOOK_S
        while True:
            task = (await self.tasks([uid])).get(uid)
            if task is None:
                raise SinkUnavailable(
                    f"{call.what} on {call.server}: task {uid} is unknown to the server, or hidden from this key."
                )
            if task.status is TaskStatus.SUCCEEDED:
                return task
            if task.status is TaskStatus.CANCELED:
                raise SinkUnavailable(f"{call.what} on {call.server}: task {uid} was cancelled.")
            if task.status is TaskStatus.FAILED:
                raise errors.from_code(400, task.error_code or "unknown", task.error_message or "", call)
            await self._sleep(pause)
            pause = min(pause * 2, LONGEST_LOOK_S)
