"""Meilisearch under virtual time: the double's core, without HTTP, and the port `AdminSink` of one worker on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sync_worker.errors import AnswerLost, PayloadTooLarge, SinkDenied, SinkUnavailable, SyncWorkerError
from sync_worker.ports import IndexIdentity, Task, TaskStatus, TaskUid
from sync_worker.testing.meilisearch import tasks as made
from sync_worker.testing.meilisearch.core import Core, State
from sync_worker.testing.meilisearch.documents import read_ndjson
from sync_worker.testing.meilisearch.errors import ApiError
from sync_worker.testing.meilisearch.faults import DISK_FULL
from sync_worker.testing.simulation import engine
from sync_worker.testing.simulation.ports import Process

T = TypeVar("T")
POISON, NAMED, SHY = "poison", "named", "shy"
"""Names of rows that the server chokes on: without saying which, saying it, and only where the document is new."""

_SICK = ApiError("internal", "internal: something is wrong.")
_PAYLOAD_LIMIT = 1_000
_UNFINISHED = ("enqueued", "processing")


@dataclass
class Server:
    """One Meilisearch. `watch` is told of every batch, before and after it is applied."""

    core: Core = field(default_factory=lambda: Core(None))
    up: bool = True
    paused: bool = False
    sick: bool = False
    full: bool = False
    pace_s: float = 0.02
    small_payloads: bool = False
    processed: Callable[[Sequence[made.Task]], None] = lambda _: None
    registered: Callable[[made.Task], None] = lambda _: None
    _batch: made.Batch | None = None
    _life: int = 0
    _finished: list[asyncio.Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.core.batch_fault = self._fault

    def _fault(self, tasks: Sequence[made.Task]) -> ApiError | None:
        if self.full:
            return DISK_FULL
        if self.sick:
            return _SICK
        for task in tasks:
            if not isinstance(task.content, made.Addition):
                continue
            index = self.core.state.indexes.get(task.index_uid or "")
            for document in task.content.documents:
                name, document_id = document.fields.get("name"), document.fields.get("id")
                if name == NAMED:
                    words = f'Could not find latitude nor longitude in the document with the id: `"{document_id}"`.'
                    return ApiError("invalid_document_geo_field", words)
                if name == POISON or (name == SHY and (index is None or str(document_id) not in index.documents)):
                    return _SICK
        return None

    # Requests

    def enqueue(self, uid: str, content: made.Content, kind: str, metadata: str | None = None) -> TaskUid:
        task = self.core.enqueue(uid, kind, content, {}, metadata)
        self.registered(task)
        self.kick()
        return TaskUid(task.uid)

    @property
    def idle(self) -> bool:
        return all(task.status not in _UNFINISHED for task in self.core.state.tasks.values())

    # Processing

    def kick(self) -> None:
        if self._batch is not None or not self.up or self.paused:
            return
        self._batch = self.core.begin()
        if self._batch is None:
            return
        life = self._life
        engine.after(self.pace_s * (1 + engine.choose(4)), lambda: self._finish(life))

    def _finish(self, life: int) -> None:
        if life != self._life or self._batch is None:
            return
        batch, self._batch = self._batch, None
        self.core.finish(batch)
        self.processed([task for uid in batch.task_uids if (task := self.core.state.tasks.get(uid))])
        self.kick()

    # Faults

    def crash(self, *, after_index_commit: bool, forget_newest: int) -> None:
        """It dies; `forget_newest` accepted tasks never reached its disk."""
        self.up = False
        self._life += 1
        if self._batch is not None:
            if after_index_commit:
                self.core.apply(self._batch)
            self.core.abandon(self._batch)
            self._batch = None
        state = self.core.state
        newest = (
            [task.uid for task in state.tasks.values() if task.status == "enqueued"][-forget_newest:] if forget_newest else []
        )
        for uid in newest:
            del state.tasks[uid]
        if newest:
            state.next_task = max(state.tasks, default=-1) + 1

    def start(self) -> None:
        self.up = True
        self.kick()

    def restore(self, state: State) -> None:
        """Back to an older dump."""
        self.crash(after_index_commit=False, forget_newest=0)
        self.core.state = state.copied()
        self.start()


class SimSink:
    """Implements `ports.AdminSink` for one process.

    A request may be lost, its answer may be lost, or it may arrive long after it was given up; whatever happens to the
    process meanwhile, a request that is under way arrives.
    """

    def __init__(self, server: Server, process: Process, lost: Callable[..., None]) -> None:
        self._server = server
        self._process = process
        self._lost = lost

    # Writes

    async def write(self, index_uid: str, ndjson: bytes, *, metadata: str) -> TaskUid:
        if len(ndjson) > _PAYLOAD_LIMIT and self._server.small_payloads:
            await self._process.gate()
            raise PayloadTooLarge("413")
        content = made.Addition(tuple(read_ndjson(ndjson)), False, None, creates_documents=True, creates_index=False)
        return await self._send(index_uid, content, "documentAdditionOrUpdate", metadata)

    async def delete(self, index_uid: str, document_ids: Sequence[str], *, metadata: str) -> TaskUid:
        return await self._send(index_uid, made.Deletion(tuple(document_ids)), "documentDeletion", metadata)

    async def clear(self, index_uid: str, *, metadata: str) -> TaskUid:
        return await self._send(index_uid, made.Clear(), "documentDeletion", metadata)

    async def _send(self, uid: str, content: made.Content, kind: str, metadata: str) -> TaskUid:
        process = self._process
        await process.gate()
        fate = None if isinstance(content, made.Clear) else process.fate_of_write()
        answer: asyncio.Future[TaskUid] = asyncio.get_running_loop().create_future()

        def arrive() -> None:
            if not self._server.up:
                reply(SinkUnavailable("connection refused"))
            else:
                task_uid = self._server.enqueue(uid, content, kind, metadata)
                reply(AnswerLost("time-out") if fate in ("answer", "late") else task_uid)

        def reply(what: TaskUid | SyncWorkerError) -> None:
            def deliver() -> None:
                if answer.done():
                    return
                if isinstance(what, SyncWorkerError):
                    answer.set_exception(what)
                else:
                    answer.set_result(what)

            engine.after(process.delay(), deliver)

        if fate == "refused":
            raise SinkUnavailable("503")
        if fate is not None:
            self._lost(metadata, only_the_answer=fate == "answer")
        if fate == "request":
            reply(AnswerLost("connection reset"))
        elif fate == "late":
            engine.after(0.5 + 2.0 * engine.choose(6), arrive)
            reply(AnswerLost("time-out"))
        else:
            engine.after(process.delay(), arrive)
        result = await answer
        await process.gate()
        return result

    # Reads

    async def _read(self, what: Callable[[], T]) -> T:
        await self._process.travel("sink", SinkUnavailable)
        if not self._server.up:
            raise SinkUnavailable("connection refused")
        result = what()
        await self._process.travel("sink", SinkUnavailable)
        return result

    async def tasks(self, uids: Collection[TaskUid]) -> Mapping[TaskUid, Task]:
        def read() -> dict[TaskUid, Task]:
            known = self._server.core.state.tasks
            return {uid: _task(known[uid]) for uid in uids if uid in known}

        return await self._read(read)

    def _of(self, index_uid: str) -> list[made.Task]:
        return [task for task in self._server.core.state.tasks.values() if task.index_uid == index_uid]

    async def tasks_from(self, index_uid: str, uid: int, *, limit: int = 1000) -> Sequence[Task]:
        return await self._read(lambda: [_task(task) for task in self._of(index_uid) if task.uid >= uid][:limit])

    async def last_task(self, index_uid: str) -> Task | None:
        return await self._read(lambda: next((_task(task) for task in reversed(self._of(index_uid))), None))

    async def oldest_task_uid(self, index_uid: str) -> TaskUid | None:
        return await self._read(lambda: next((TaskUid(task.uid) for task in self._of(index_uid)), None))

    async def tasks_in_batch(self, batch_uid: int) -> int:
        def count() -> int:
            tasks = self._server.core.state.tasks.values()
            return sum(task.batch_uid == batch_uid for task in tasks)

        return await self._read(count)

    async def identity(self, index_uid: str) -> IndexIdentity | None:
        def read() -> IndexIdentity | None:
            index = self._server.core.state.indexes.get(index_uid)
            return IndexIdentity(index_uid, index.created_at, index.primary_key) if index is not None else None

        return await self._read(read)

    async def settings(self, index_uid: str) -> Mapping[str, Any]:
        return await self._read(lambda: dict(self._server.core.state.indexes[index_uid].settings))

    async def document_count(self, index_uid: str) -> int:
        return await self._read(lambda: len(self._server.core.state.indexes[index_uid].documents))

    async def close(self) -> None:
        pass

    # Administration, of scratch indexes

    async def create_index(self, index_uid: str, primary_key: str, settings: Mapping[str, Any]) -> IndexIdentity:
        content = made.IndexCreation(primary_key)
        await self._finished(await self._read(lambda: self._server.enqueue(index_uid, content, "indexCreation")))
        identity = await self.identity(index_uid)
        if identity is None:
            raise SinkDenied(f"{index_uid} was not created", code="index_creation_failed")
        return identity

    async def delete_index(self, index_uid: str) -> None:
        await self._finished(await self._read(lambda: self._server.enqueue(index_uid, made.IndexDeletion(), "indexDeletion")))

    async def _finished(self, uid: TaskUid) -> None:
        while True:
            task = (await self.tasks([uid])).get(uid)
            if task is None or task.status.finished:
                return
            await asyncio.sleep(0.05)


def _task(task: made.Task) -> Task:
    error = task.error
    return Task(
        TaskUid(task.uid),
        TaskStatus(task.status),
        task.type,
        task.index_uid,
        task.batch_uid,
        task.custom_metadata,
        error["code"] if error else None,
        error["message"] if error else None,
        0.01 if task.status == "succeeded" else None,
    )
