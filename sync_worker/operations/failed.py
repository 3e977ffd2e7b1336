"""Failed work: listing it, one of it with its payload, and how much of it there is."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sync_worker.change.model import Record
from sync_worker.errors import SyncWorkerError
from sync_worker.failure.model import FailedWork, FailureStatus, ReasonClass
from sync_worker.operations.books import Books
from sync_worker.operations.report import report
from sync_worker.ports import Clock, DeadLetters

UNSETTLED = (FailureStatus.OPEN, FailureStatus.RETRYING)


@dataclass(frozen=True, slots=True)
class FailedFilter:
    """Which failed work is meant; every given condition must hold.

    Attributes:
        statuses: empty for all.
        older_than_s, newer_than_s: seconds since the first failure.
    """

    index: str | None = None
    reason_class: ReasonClass | None = None
    code: str | None = None
    document_id: str | None = None
    retryable: bool | None = None
    statuses: tuple[FailureStatus, ...] = UNSETTLED
    older_than_s: float | None = None
    newer_than_s: float | None = None


@dataclass(frozen=True, slots=True)
class DeadLetterPlace:
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class FailedItem:
    """One change that could not be applied to one index.

    Attributes:
        document_id: None where the record could not be read that far.
        reason: the server's own words, or ours.
        reason_class: `decode`, `projection`, `rejected`, `contract`, `transport`, `exhausted`, `unknown`.
        code: Meilisearch's error code, or ours.
        status_reason: why the status is what it is.
        first_failed_at, last_failed_at, status_changed_at: seconds since 1970.
        age_s: since the first failure.
        topic, partition, offset: where the change came from.
        request: None where a record failed. Else the row was read from the source because somebody asked for it (a repair, a key
            that moved to another partition): its key as JSON; `offset` is the last one that was taken before.
        source_ms: its commit time in the source, milliseconds since 1970.
        dead_letter: where its payload lies; None where it was erased.
    """

    id: int
    index: str
    document_id: str | None
    operation: str
    reason_class: ReasonClass
    code: str
    reason: str
    retryable: bool
    status: FailureStatus
    status_reason: str
    attempts: int
    first_failed_at: float
    last_failed_at: float
    status_changed_at: float
    age_s: float
    topic: str
    partition: int
    offset: int
    source_ms: int
    dead_letter: DeadLetterPlace | None
    request: str | None


@report("failed-list")
@dataclass(frozen=True, slots=True)
class FailedList:
    """Newest first. `more` says that there are further ones beyond the limit."""

    items: tuple[FailedItem, ...]
    more: bool

    @property
    def unsettled(self) -> int:
        return sum(item.status in UNSETTLED for item in self.items)


@dataclass(frozen=True, slots=True)
class Payload:
    """The record as it came. `key` and `value` are text where they are UTF-8, else base64; None for a tombstone."""

    timestamp: int
    encoding: str
    key: str | None
    value: str | None
    headers: tuple[tuple[str, str], ...]


@report("failed-show")
@dataclass(frozen=True, slots=True)
class FailedShow:
    """One row; its payload only where it was asked for, and None where it is gone.

    Attributes:
        restored: made from the dead letters: its place among the changes of its document is not known.
    """

    item: FailedItem
    restored: bool
    payload_shown: bool
    payload: Payload | None


@report("failed-counts")
@dataclass(frozen=True, slots=True)
class FailedCounts:
    """How much failed work there is, zeros included.

    Attributes:
        by_status: over all indexes.
        counts: index → reason class → status → how many.
        unsettled: open and retrying, over all indexes.
    """

    by_status: Mapping[str, int]
    counts: Mapping[str, Mapping[str, Mapping[str, int]]]
    unsettled: int


def failed_item(work: FailedWork, now: float) -> FailedItem:
    """The row as reports show it."""
    failure, reference = work.failure, work.reference
    return FailedItem(
        id=work.id,
        index=failure.index,
        document_id=failure.document_id,
        operation=failure.operation,
        reason_class=failure.reason_class,
        code=failure.code,
        reason=failure.message,
        retryable=failure.retryable,
        status=work.status,
        status_reason=work.status_reason,
        attempts=work.attempts,
        first_failed_at=work.first_failed_at,
        last_failed_at=failure.failed_at,
        status_changed_at=work.status_changed_at,
        age_s=round(max(0.0, now - work.first_failed_at), 3),
        topic=failure.partition.topic,
        partition=failure.partition.partition,
        offset=failure.offset,
        source_ms=failure.source_ms,
        dead_letter=None if reference is None else DeadLetterPlace(reference.topic, reference.partition, reference.offset),
        request=failure.request,
    )


async def select(
    state: Books, wanted: FailedFilter, clock: Clock, *, limit: int, oldest_first: bool = False
) -> Sequence[FailedWork]:
    """Newest first unless told otherwise, at most `limit`. Raises StateUnavailable."""
    now = clock.now()
    return await state.failed_work(
        index=wanted.index,
        statuses=wanted.statuses,
        reason_class=wanted.reason_class,
        code=wanted.code,
        document_id=wanted.document_id,
        retryable=wanted.retryable,
        failed_before=None if wanted.older_than_s is None else now - wanted.older_than_s,
        failed_after=None if wanted.newer_than_s is None else now - wanted.newer_than_s,
        limit=limit,
        oldest_first=oldest_first,
    )


async def list_failed(state: Books, wanted: FailedFilter, *, clock: Clock, limit: int = 50) -> FailedList:
    """Raises StateUnavailable."""
    found = await select(state, wanted, clock, limit=limit + 1)
    now = clock.now()
    return FailedList(tuple(failed_item(work, now) for work in found[:limit]), more=len(found) > limit)


async def get_failed(state: Books, failed_work_id: int) -> FailedWork:
    """Raises SyncWorkerError where there is no such row, and StateUnavailable."""
    found = await state.failed_work(ids=[failed_work_id])
    if not found:
        raise SyncWorkerError(f"there is no failed work {failed_work_id}", remedy="sync-worker failed list --status all")
    return found[0]


async def show_failed(state: Books, dead_letters: DeadLetters | None, failed_work_id: int, *, clock: Clock) -> FailedShow:
    """One row.

    Args:
        dead_letters: where the payload is read from; None leaves it out: it holds a row of somebody's table.

    Raises SyncWorkerError where there is no such row, StateUnavailable, LogUnavailable.
    """
    work = await get_failed(state, failed_work_id)
    payload = None
    if dead_letters is not None and work.reference is not None:
        letter = (await dead_letters.read([work.reference])).get(work.reference)
        payload = None if letter is None else readable(letter[1])
    restored = failed_work_id in await state.restored([failed_work_id])
    return FailedShow(failed_item(work, clock.now()), restored, dead_letters is not None, payload)


def readable(record: Record) -> Payload:
    """A record as text, where it is text."""
    parts = [part for part in (record.key, record.value, *(value for _, value in record.headers)) if part is not None]
    encoding = "utf-8" if all(_is_text(part) for part in parts) else "base64"

    def shown(part: bytes | None) -> str | None:
        if part is None:
            return None
        return part.decode() if encoding == "utf-8" else base64.b64encode(part).decode()

    headers = tuple((name, shown(value) or "") for name, value in record.headers)
    return Payload(record.timestamp, encoding, shown(record.key), shown(record.value), headers)


def _is_text(part: bytes) -> bool:
    try:
        part.decode()
    except UnicodeDecodeError:
        return False
    return True


async def failed_work_counts(state: Books, indexes: Collection[str], *, index: str | None = None) -> FailedCounts:
    """Dense: every configured index, and any other in the table, with every class and status. Raises StateUnavailable.

    Args:
        index: only this one.
    """
    found = await state.failed_counts(indexes if index is None else [index])
    counts: dict[str, dict[str, dict[str, int]]] = {}
    by_status = dict.fromkeys((status.value for status in FailureStatus), 0)
    for (name, reason, status), count in found.items():
        if index is not None and name != index:
            continue
        counts.setdefault(name, {}).setdefault(reason.value, {})[status.value] = count
        by_status[status.value] += count
    return FailedCounts(by_status, counts, sum(by_status[status.value] for status in UNSETTLED))
