"""Letting failed work go: its change will not be applied, and somebody says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sync_worker.errors import SyncWorkerError
from sync_worker.failure.model import FailureStatus
from sync_worker.operations.audit import audited
from sync_worker.operations.books import Books
from sync_worker.operations.failed import get_failed
from sync_worker.operations.report import report


@dataclass(frozen=True, slots=True)
class DiscardItem:
    """`discarded` is False where the row was not open; `status` is the one that it has now."""

    id: int
    index: str
    document_id: str | None
    discarded: bool
    status: FailureStatus


@report("discard")
@dataclass(frozen=True, slots=True)
class DiscardReport:
    reason: str
    items: tuple[DiscardItem, ...]


async def discard(state: Books, ids: Sequence[int], *, reason: str, actor: str) -> DiscardReport:
    """Open rows become `discarded`; their dead letters stay. The document stays as the index has it.

    Raises SyncWorkerError for an empty reason and, before anything is changed, for an unknown id; StateUnavailable.
    """
    if not reason.strip():
        raise SyncWorkerError("a reason is needed: it is kept with the row and in the audit log", remedy='--reason "why"')
    works = [await get_failed(state, number) for number in sorted(set(ids))]
    items = []
    for work in works:
        async with audited(state, actor, "discard", f"failed work {work.id}", {"reason": reason}) as told:
            status = await state.discard(work.id, f"{actor}: {reason}") or work.status
            done = work.status is FailureStatus.OPEN and status is FailureStatus.DISCARDED
            told["status"] = status.value
        items.append(DiscardItem(work.id, work.failure.index, work.failure.document_id, done, status))
    return DiscardReport(reason, tuple(items))
