"""Which tasks the server runs together: its rules for merging enqueued tasks of one index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sync_worker.testing.meilisearch.tasks import (
    Addition,
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
)


def next_batch(enqueued: Iterable[Task], index_uids: dict[str, str | None]) -> tuple[list[Task], str]:
    """The tasks of the next batch, oldest first, and the server's reason; `index_uids` gives each index's primary key.

    Cancelations come first (the newest), then task deletions (all), then the oldest task with those of its index.
    """
    waiting = list(enqueued)
    if not waiting:
        return [], ""
    cancelations = [task for task in waiting if isinstance(task.content, TaskCancelation)]
    if cancelations:
        return [cancelations[-1]], _alone(cancelations[-1])
    deletions = [task for task in waiting if isinstance(task.content, TaskDeletion)]
    if deletions:
        return deletions, "stopped after task of type `taskDeletion` that cannot be batched with any other task."
    first = waiting[0]
    if isinstance(first.content, Swap | IndexCreation | IndexUpdate):
        return [first], _alone(first)
    followers = [task for task in waiting[1:] if first.index_uid in task.index_uids()]
    exists = first.index_uid in index_uids
    return _merge(first, followers, exists, index_uids.get(first.index_uid or ""))


def _alone(task: Task) -> str:
    return (
        f"created batch containing only task with id {task.uid} of type `{task.type}` that cannot be batched with any other task."
    )


def _merge(first: Task, followers: Sequence[Task], exists: bool, primary_key: str | None) -> tuple[list[Task], str]:
    batch = [first]
    if isinstance(first.content, IndexDeletion):
        return batch, f"stopped after task with id {first.uid} because it deletes the index"
    if isinstance(first.content, Addition) and primary_key and first.content.primary_key not in {None, primary_key}:
        return (
            batch,
            f"task with id {first.uid} names another primary key than the index, `{primary_key}`",
        )
    batch_key = first.content.primary_key if isinstance(first.content, Addition) else None
    kind = _kind(first.content)
    exists = exists or _creates(first.content) is True
    for task in followers:
        content = task.content
        if isinstance(content, IndexDeletion):
            batch.append(task)
            return batch, f"stopped after task with id {task.uid} because it deletes the index"
        if isinstance(content, IndexCreation | IndexUpdate | Swap):
            return batch, f"task with id {task.uid} of type `{task.type}` cannot be batched"
        if not _keys_agree(content, kind, batch_key, primary_key):
            return batch, f"stopped before task with id {task.uid} because of its primary key"
        if not exists and _creates_in(batch) is False and _creates(content) is True:
            return batch, f"stopped before task with id {task.uid} because its index creation rules differ"
        joined = _joined(kind, content, exists)
        if joined is None:
            return batch, f"stopped before task with id {task.uid} of type `{task.type}`"
        kind = joined
        if isinstance(content, Addition) and content.primary_key is not None:
            batch_key = content.primary_key
        batch.append(task)
    return batch, "batched all enqueued tasks"


def _kind(content: Content) -> str:
    match content:
        case Addition():
            return "operation"
        case Deletion(filter=None):
            return "deletion"
        case Deletion():
            return "deletion with filter"
        case Clear():
            return "clear"
        case _:
            return "settings"


def _creates(content: Content) -> bool | None:
    return content.creates_index if isinstance(content, Addition | SettingsChange) else None


def _creates_in(batch: Sequence[Task]) -> bool | None:
    known = [created for task in batch if (created := _creates(task.content)) is not None]
    return known[0] if known else None


def _keys_agree(content: Content, kind: str, batch_key: str | None, primary_key: str | None) -> bool:
    if not isinstance(content, Addition) or content.primary_key is None:
        return True
    if primary_key is not None:
        return content.primary_key == primary_key
    return kind != "operation" or content.primary_key == batch_key


def _joined(kind: str, content: Content, exists: bool) -> str | None:
    """The kind of the batch once the task has joined it, or None when it may not."""
    newcomer = _kind(content)
    if kind == "clear":
        return kind if newcomer in {"clear", "deletion", "deletion with filter"} else None
    if kind == "settings":
        return {"settings": "settings", "clear": "clear and settings"}.get(newcomer)
    if kind == "clear and settings":
        return None if newcomer == "operation" else kind
    if newcomer == "clear":
        return "clear"
    if newcomer == "settings":
        return None
    if kind == "operation":
        return None if newcomer == "deletion with filter" else kind
    if newcomer == "operation":
        free = kind == "deletion with filter" or exists or not (isinstance(content, Addition) and content.creates_index)
        return "operation" if free else None
    return "deletion with filter" if "deletion with filter" in {kind, newcomer} else "deletion"
