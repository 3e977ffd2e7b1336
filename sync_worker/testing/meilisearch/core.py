"""The instance without HTTP or time: indexes, the FIFO task queue, and one batch at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from sync_worker.testing.meilisearch.autobatch import next_batch
from sync_worker.testing.meilisearch.errors import ApiError, index_not_found
from sync_worker.testing.meilisearch.index import Index
from sync_worker.testing.meilisearch.keys import Access, Keys
from sync_worker.testing.meilisearch.moments import timestamp
from sync_worker.testing.meilisearch.tasks import (
    Addition,
    Batch,
    Clear,
    Content,
    Deletion,
    IndexCreation,
    IndexDeletion,
    IndexUpdate,
    SettingsChange,
    Swap,
    Task,
    TaskCancelation,
    TaskDeletion,
    TaskQuery,
)

Page = dict[str, Any]
_Row = TypeVar("_Row")


@dataclass
class State:
    """Everything a dump would carry, plus the queue."""

    indexes: dict[str, Index] = field(default_factory=dict)
    tasks: dict[int, Task] = field(default_factory=dict)
    batches: dict[int, Batch] = field(default_factory=dict)
    next_task: int = 0
    next_batch: int = 0

    def copied(self) -> State:
        return State(
            {uid: index.copied() for uid, index in self.indexes.items()},
            {uid: replace(task, details=dict(task.details)) for uid, task in self.tasks.items()},
            {uid: replace(batch, task_uids=list(batch.task_uids)) for uid, batch in self.batches.items()},
            self.next_task,
            self.next_batch,
        )


class Core:
    """The instance. Requests enqueue; `begin` and `finish` process one batch; nothing here waits or knows HTTP."""

    def __init__(self, master_key: str | None) -> None:
        self.state = State()
        self.keys = Keys(master_key)
        self.batch_fault: Callable[[Sequence[Task]], ApiError | None] = lambda _tasks: None
        self._processing: Batch | None = None

    # Requests

    def index(self, uid: str) -> Index:
        """Raises ApiError `index_not_found`."""
        if uid not in self.state.indexes:
            raise index_not_found(uid)
        return self.state.indexes[uid]

    def visible_indexes(self, access: Access) -> list[Index]:
        return [index for uid, index in sorted(self.state.indexes.items()) if access.sees_index(uid)]

    def is_indexing(self, uid: str) -> bool:
        return self._processing is not None and any(
            uid in self.state.tasks[task].index_uids() for task in self._processing.task_uids if task in self.state.tasks
        )

    def enqueue(
        self, index_uid: str | None, kind: str, content: Content, details: dict[str, Any], metadata: str | None = None
    ) -> Task:
        task = Task(self.state.next_task, index_uid, kind, content, details, metadata)
        self.state.tasks[task.uid] = task
        self.state.next_task += 1
        return task

    def task(self, uid: int, access: Access) -> Task:
        """Raises ApiError `task_not_found`, also for tasks that the key may not see."""
        task = self.state.tasks.get(uid)
        if task is None or not task.visible_to(access):
            raise ApiError("task_not_found", f"Task `{uid}` not found.")
        return task

    def matching(self, query: TaskQuery, access: Access) -> list[Task]:
        return [task for task in self.state.tasks.values() if query.matches(task) and task.visible_to(access)]

    def list_tasks(self, query: TaskQuery, access: Access) -> Page:
        """The server takes the page first and then drops what the key may not see, so pages may be short."""
        matched = [task for task in self.state.tasks.values() if query.matches(task)]
        taken = [task for task in _taken(matched, query, lambda task: task.uid) if _shows_task(task, query, access)]
        page, following = taken[: query.limit], [task.uid for task in taken[query.limit :]]
        return {
            "results": [task.view() for task in page],
            "total": len(matched),
            "limit": query.limit,
            "from": page[0].uid if page else None,
            "next": following[0] if following else None,
        }

    def batch_view(self, uid: int, access: Access) -> dict[str, Any]:
        """Raises ApiError `batch_not_found`."""
        batch = self.state.batches.get(uid)
        if batch is None or not self._shows_batch(batch, access.sees_everything, access):
            raise ApiError("batch_not_found", f"Batch `{uid}` not found.")
        return batch.view(self._tasks_of(batch))

    def list_batches(self, query: TaskQuery, access: Access) -> Page:
        matched = [batch for batch in self.state.batches.values() if any(query.matches(task) for task in self._tasks_of(batch))]
        unrestricted = access.sees_everything and "indexUids" not in query.filters
        taken = [
            batch for batch in _taken(matched, query, lambda batch: batch.uid) if self._shows_batch(batch, unrestricted, access)
        ]
        page, following = taken[: query.limit], [batch.uid for batch in taken[query.limit :]]
        return {
            "results": [batch.view(self._tasks_of(batch)) for batch in page],
            "total": len(matched),
            "limit": query.limit,
            "from": page[0].uid if page else None,
            "next": following[0] if following else None,
        }

    def _shows_batch(self, batch: Batch, unrestricted: bool, access: Access) -> bool:
        """A restricted list hides the batches whose uid happens to be the uid of a task of several indexes.

        The server compares uids of two kinds there (1.50, `get_batch_ids_from_authorized_indexes`); a client must not
        be surprised, so the double does the same.
        """
        namesake = self.state.tasks.get(batch.uid)
        if not unrestricted and namesake is not None and namesake.index_uid is None:
            return False
        indexes = {uid for task in self._tasks_of(batch) for uid in task.index_uids()}
        return not indexes or any(access.sees_index(uid) for uid in indexes)

    def _tasks_of(self, batch: Batch) -> list[Task]:
        return [self.state.tasks[uid] for uid in batch.task_uids if uid in self.state.tasks]

    # Processing

    def begin(self) -> Batch | None:
        """Takes the next batch out of the queue, or None when nothing is enqueued."""
        enqueued = [task for task in self.state.tasks.values() if task.status == "enqueued"]
        chosen, reason = next_batch(enqueued, {uid: index.primary_key for uid, index in self.state.indexes.items()})
        if not chosen:
            return None
        batch = Batch(self.state.next_batch, [task.uid for task in chosen], time.time_ns(), reason)
        self.state.next_batch += 1
        self.state.batches[batch.uid] = batch
        for task in chosen:
            task.status, task.batch_uid, task.started_ns = "processing", batch.uid, batch.started_ns
        self._processing = batch
        return batch

    def document_count(self, batch: Batch) -> int:
        """Documents and ids that the batch's tasks bring."""
        contents = [task.content for task in self._tasks_of(batch)]
        return sum(
            len(c.documents) if isinstance(c, Addition) else len(c.ids) if isinstance(c, Deletion) else 0 for c in contents
        )

    def finish(self, batch: Batch) -> None:
        """Applies the batch and closes its tasks."""
        self.apply(batch)
        tasks = self._tasks_of(batch)
        batch.finished_ns = time.time_ns()
        for task in tasks:
            task.finished_ns = batch.finished_ns
            task.status = "succeeded" if task.error is None else "failed"
            _close_details(task)
        for task in tasks:
            if isinstance(task.content, TaskCancelation):
                self._cancel(task, task.content, batch)
            elif isinstance(task.content, TaskDeletion):
                self._forget(task, task.content)
        self._processing = None

    def apply(self, batch: Batch) -> None:
        """The index side of a batch alone: what is durable when the server dies before it closes the tasks."""
        tasks = self._tasks_of(batch)
        try:
            if fault := self.batch_fault(tasks):
                raise fault
            self._run(tasks)
        except ApiError as error:
            for task in tasks:
                task.error = error.body()

    def abandon(self, batch: Batch) -> None:
        """The server died: the batch's tasks are enqueued again, as at its next start."""
        for task in self._tasks_of(batch):
            task.status, task.batch_uid, task.started_ns, task.error = "enqueued", None, None, None
        del self.state.batches[batch.uid]
        self._processing = None

    def prune(self, uids: Iterable[int]) -> None:
        """Forgets finished tasks, as the server does with its oldest 100,000 above a million."""
        for uid in list(uids):
            if uid in self.state.tasks and self.state.tasks[uid].finished_ns is not None:
                del self.state.tasks[uid]

    def _run(self, tasks: Sequence[Task]) -> None:
        first = tasks[0]
        match first.content:
            case TaskCancelation() | TaskDeletion():
                return
            case Swap() as swap:
                self._swap(swap)
            case IndexCreation(primary_key):
                self._create(first.index_uid or "", primary_key)
            case IndexUpdate() as update:
                self._update(first.index_uid or "", update)
            case _:
                self._run_on_index(first.index_uid or "", tasks)

    def _create(self, uid: str, primary_key: str | None) -> None:
        if uid in self.state.indexes:
            raise ApiError("index_already_exists", f"Index `{uid}` already exists.")
        self.state.indexes[uid] = Index(uid, primary_key)

    def _update(self, uid: str, update: IndexUpdate) -> None:
        index = self.index(uid)
        if update.new_uid is not None and update.new_uid in self.state.indexes:
            raise ApiError("index_already_exists", f"Index `{update.new_uid}` already exists.")
        if update.primary_key is not None:
            try:
                index.set_primary_key(update.primary_key)
            except ApiError as error:
                raise error.inside(uid) from error
        if update.new_uid is not None:
            self._rename({uid: update.new_uid})
        index.updated_at = timestamp()

    def _run_on_index(self, uid: str, tasks: Sequence[Task]) -> None:
        if any(isinstance(task.content, IndexDeletion) for task in tasks):
            self._delete_index(uid, tasks)
            return
        if uid not in self.state.indexes:
            creates = tasks[0].content
            if not (isinstance(creates, Addition | SettingsChange) and creates.creates_index):
                raise index_not_found(uid)
            self.state.indexes[uid] = Index(uid)
        index = self.state.indexes[uid]
        if any(isinstance(task.content, Clear) for task in tasks):
            _clear(index, tasks)
        elif not any(isinstance(task.content, SettingsChange) for task in tasks):
            index.apply(tasks)
        try:
            _change_settings(index, tasks)
        except ApiError as error:
            raise error.inside(uid) from error
        index.updated_at = timestamp()

    def _delete_index(self, uid: str, tasks: Sequence[Task]) -> None:
        if uid not in self.state.indexes and isinstance(tasks[0].content, IndexDeletion):
            raise index_not_found(uid)
        index = self.state.indexes.pop(uid, None)
        count = len(index.documents) if index else 0
        for task in tasks:
            name = "indexedDocuments" if isinstance(task.content, Addition) else "deletedDocuments"
            if name in task.details:
                task.details[name] = count if isinstance(task.content, IndexDeletion) else 0

    def _swap(self, swap: Swap) -> None:
        absent = [
            uid
            for left, right, rename in swap.swaps
            for uid in ((left,) if rename else (left, right))
            if uid not in self.state.indexes
        ]
        if len(absent) == 1:
            raise index_not_found(absent[0])
        if absent:
            raise ApiError("index_not_found", f"Indexes {', '.join(f'`{uid}`' for uid in absent)} not found.")
        for left, right, rename in swap.swaps:
            if rename and right in self.state.indexes:
                raise ApiError(
                    "index_already_exists",
                    f"Cannot rename `{left}` to `{right}` as the index already exists. Hint: You can remove `{right}` first "
                    "and then do your remove.",
                )
        for left, right, rename in swap.swaps:
            self._rename({left: right} if rename else {left: right, right: left})

    def _rename(self, names: Mapping[str, str]) -> None:
        """Indexes change their names, and the finished tasks with them; enqueued tasks keep theirs."""
        moved = {names[uid]: self.state.indexes.pop(uid) for uid in names}
        for uid, index in moved.items():
            index.uid = uid
            self.state.indexes[uid] = index
        for task in self.state.tasks.values():
            if task.status not in {"enqueued", "processing"} and task.index_uid is not None:
                task.index_uid = names.get(task.index_uid, task.index_uid)
            elif task.status not in {"enqueued", "processing"} and isinstance(task.content, Swap):
                swaps = [(names.get(left, left), names.get(right, right), rename) for left, right, rename in task.content.swaps]
                task.content = Swap(tuple(swaps))
                task.details = {"swaps": [{"indexes": [left, right], "rename": rename} for left, right, rename in swaps]}

    def _cancel(self, by: Task, content: TaskCancelation, batch: Batch) -> None:
        canceled = 0
        for uid in sorted(content.uids):
            task = self.state.tasks.get(uid)
            if task is None or task.status != "enqueued":
                continue
            task.status, task.canceled_by, task.batch_uid = "canceled", by.uid, batch.uid
            task.started_ns, task.finished_ns = batch.started_ns, batch.finished_ns
            _close_details(task)
            batch.task_uids.append(uid)
            canceled += 1
        by.details["canceledTasks"] = canceled

    def _forget(self, by: Task, content: TaskDeletion) -> None:
        finished = [uid for uid in content.uids if uid in self.state.tasks and self.state.tasks[uid].finished_ns is not None]
        for uid in finished:
            task = self.state.tasks.pop(uid)
            batch = self.state.batches.get(-1 if task.batch_uid is None else task.batch_uid)
            if batch is not None and not self._tasks_of(batch):
                del self.state.batches[batch.uid]
        by.details["deletedTasks"] = len(finished)


def _clear(index: Index, tasks: Sequence[Task]) -> None:
    count = index.clear()
    for task in tasks:
        if isinstance(task.content, Clear):
            task.details["deletedDocuments"], count = count, 0


def _change_settings(index: Index, tasks: Sequence[Task]) -> None:
    changes: dict[str, Any] = {}
    for task in tasks:
        if isinstance(task.content, SettingsChange):
            changes.update(task.content.change)
    if changes:
        index.change_settings(changes)


def _close_details(task: Task) -> None:
    for name in ("indexedDocuments", "deletedDocuments"):
        if name in task.details and task.status != "succeeded":
            task.details[name] = 0


def _taken(rows: Sequence[_Row], query: TaskQuery, uid_of: Callable[[_Row], int]) -> Sequence[_Row]:
    """The page and one more, before anything is hidden."""
    ordered = sorted(rows, key=uid_of, reverse=not query.reverse)
    if query.start is not None:
        start = query.start
        ordered = [row for row in ordered if (uid_of(row) >= start if query.reverse else uid_of(row) <= start)]
    return ordered[: query.limit + 1]


def _shows_task(task: Task, query: TaskQuery, access: Access) -> bool:
    """A swap counts in the total of its indexes, but no list by index shows it (seen on a 1.50 server)."""
    return task.visible_to(access) and ("indexUids" not in query.filters or task.index_uid is not None)
