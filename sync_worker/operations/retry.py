"""Trying failed work again: what may be, asking the workers for it, and waiting for what came of it.

The write itself is the worker's: it owns the change's partition and has the only hand on the index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from sync_worker.change.decode import decode, key_of
from sync_worker.change.model import Record
from sync_worker.document.action import Clear
from sync_worker.document.projection import Projector
from sync_worker.errors import RecordError
from sync_worker.failure.model import FailedWork, FailureStatus
from sync_worker.operations.audit import audited
from sync_worker.operations.books import Books
from sync_worker.operations.failed import FailedFilter, get_failed, select
from sync_worker.operations.report import report
from sync_worker.operations.workers import require_worker
from sync_worker.ports import Clock, DeadLetters, Log, Sink

_LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Target:
    """An index as it is declared today."""

    uid: str
    topic: str
    id_field: str
    projector: Projector
    sink: Sink


@dataclass(frozen=True, slots=True)
class RetryParts:
    """What a retry needs to know. `targets`: index name → its declaration today."""

    state: Books
    dead_letters: DeadLetters
    log: Log
    targets: Mapping[str, Target]
    clock: Clock


class Outcome(StrEnum):
    """What came, or would come, of one retry."""

    READY = "ready"
    """A dry run: it would be tried."""
    RESOLVED = "resolved"
    FAILED = "failed"
    """Tried, or taken up, and open again; the reason says why."""
    SUPERSEDED = "superseded"
    """A later change of the document went first, or will."""
    REFUSED = "refused"
    """Not asked of any worker."""
    WAITING = "waiting"
    """Asked, and not done within the time: a worker takes it up when it can."""


@dataclass(frozen=True, slots=True)
class RetryItem:
    id: int
    index: str
    document_id: str | None
    code: str
    attempts: int
    from_source: bool
    outcome: Outcome
    reason: str


@report("retry")
@dataclass(frozen=True, slots=True)
class RetryReport:
    """What came of each, in the order of their ids.

    Attributes:
        dry_run: nothing was asked of any worker.
        more: there is further failed work that fits, beyond the limit.
        counts: outcome → how many, zeros included.
    """

    dry_run: bool
    more: bool
    counts: Mapping[str, int]
    items: tuple[RetryItem, ...]


async def retry(
    parts: RetryParts,
    *,
    ids: Sequence[int] = (),
    wanted: FailedFilter | None = None,
    limit: int = 100,
    execute: bool,
    force: bool = False,
    from_source: bool = False,
    timeout_s: float = 60.0,
    actor: str,
) -> RetryReport:
    """Try these rows again, or say what would be tried.

    Args:
        ids: these rows; else all that `wanted` describes, oldest first, at most `limit`.
        execute: False for a dry run.
        force: also what is not retryable, and what today's declaration refuses.
        from_source: write the row as it is now (or delete the document where it is gone) instead of the change that failed; so is
            always tried what failed on request.
        timeout_s: how long outcomes are waited for; what is not done by then goes on without being waited for.

    Raises SyncWorkerError for an unknown id, and where no worker is running; the errors of the ports.
    """
    works, more = await _selected(parts, ids, wanted, limit)
    verdicts = await _judge(parts, works, force=force, from_source=from_source)
    items = [_item(work, from_source, *verdicts[work.id]) for work in works]
    ready = [item for item in items if item.outcome is Outcome.READY]
    if execute and ready:
        await require_worker(parts.state, parts.clock)
        subject = f"failed work {ready[0].id}" if len(ready) == 1 else f"{len(ready)} failed works"
        details = {"ids": [item.id for item in ready], "force": force, "from_source": from_source}
        async with audited(parts.state, actor, "retry", subject, details) as told:
            done = await _ask_and_wait(parts, [item.id for item in ready], from_source, timeout_s, actor)
            items = [
                replace(item, outcome=done[item.id][0], reason=done[item.id][1]) if item.id in done else item for item in items
            ]
            told["outcomes"] = _counted(items)
    return RetryReport(not execute, more, _counted(items), tuple(items))


def _item(work: FailedWork, from_source: bool, outcome: Outcome, reason: str) -> RetryItem:
    failure = work.failure
    return RetryItem(
        work.id,
        failure.index,
        failure.document_id,
        failure.code,
        work.attempts,
        from_source or failure.request is not None,
        outcome,
        reason,
    )


def _counted(items: Sequence[RetryItem]) -> dict[str, int]:
    return {outcome.value: sum(item.outcome is outcome for item in items) for outcome in Outcome}


async def _selected(
    parts: RetryParts, ids: Sequence[int], wanted: FailedFilter | None, limit: int
) -> tuple[Sequence[FailedWork], bool]:
    if ids:
        return [await get_failed(parts.state, number) for number in sorted(set(ids))], False
    found = await select(parts.state, wanted or FailedFilter(), parts.clock, limit=limit + 1, oldest_first=True)
    return found[:limit], len(found) > limit


# What may be tried


async def _judge(
    parts: RetryParts, works: Sequence[FailedWork], *, force: bool, from_source: bool
) -> dict[int, tuple[Outcome, str]]:
    verdicts: dict[int, tuple[Outcome, str]] = {}
    topic_ids = await parts.log.topic_ids({work.failure.partition.topic for work in works}) if works else {}
    indexes = {work.failure.index for work in works}
    problems = {index: await _index_problem(parts, index) for index in sorted(indexes)}
    records = await _records(parts, works)
    restored = await parts.state.restored([work.id for work in works]) if works else frozenset()
    for work in works:
        if work.status in (FailureStatus.RESOLVED, FailureStatus.SUPERSEDED, FailureStatus.DISCARDED):
            outcome = Outcome.SUPERSEDED if work.status is FailureStatus.SUPERSEDED else Outcome.REFUSED
            verdicts[work.id] = (outcome, f"it is {work.status.value} already: {work.status_reason}")
            continue
        refusal = problems[work.failure.index] or _place_problem(parts, work, topic_ids)
        record = records.get(work.id)
        asked = work.failure.request is not None
        if refusal is None and record is None and not asked:
            refusal = "its payload is neither in the dead-letter topic nor in its own: nothing says what to write"
        if refusal is None and record is not None:
            from_row = from_source or work.id in restored or work.failure.document_id is None
            refusal = _content_problem(parts.targets[work.failure.index], work, record, force=force, from_row=from_row)
        if refusal is None and not work.failure.retryable and not (force or from_source or asked):
            refusal = (
                f"a failure of the class {work.failure.reason_class.value} with this code is not mended by trying the same "
                "change again; --force tries it nevertheless, --from-source takes the row as it is now"
            )
        verdicts[work.id] = (Outcome.READY, "") if refusal is None else (Outcome.REFUSED, refusal)
    return verdicts


async def _index_problem(parts: RetryParts, index: str) -> str | None:
    target = parts.targets.get(index)
    if target is None:
        return f"the index {index} is not declared any more"
    identity = await target.sink.identity(target.uid)
    if identity is None:
        return f"the index {target.uid} does not exist: sync-worker indexes create"
    if identity.primary_key != target.id_field:
        return f"the primary key of {target.uid} is {identity.primary_key!r}, declared is {target.id_field!r}"
    return None


def _place_problem(parts: RetryParts, work: FailedWork, topic_ids: Mapping[str, str]) -> str | None:
    topic = work.failure.partition.topic
    target = parts.targets[work.failure.index]
    if topic != target.topic:
        return f"it comes from {topic}, and the index is filled from {target.topic} today"
    if topic_ids.get(topic) != work.failure.topic_id:
        return f"{topic} was deleted and made anew since: its place in the order is not known; fill the index again"
    return None


def _content_problem(target: Target, work: FailedWork, record: Record, *, force: bool, from_row: bool) -> str | None:
    """Why today's declaration makes nothing of it."""
    try:
        if from_row:
            target.projector.document_id(key_of(record))
            return None
        change = decode(record)
        if change is None or change.unavailable or change.moved:
            return None  # it asks nothing any more, or its row is completed from the source when it is tried
        action = target.projector.project(change)
    except RecordError as error:
        if force and not from_row:
            return None
        return f"today's declaration refuses it: {error.code}: {error.message}"
    if not isinstance(action, Clear) and action.document_id != work.failure.document_id:
        return "today's declaration gives its document another id; --from-source writes its row under that"
    return None


async def _records(parts: RetryParts, works: Sequence[FailedWork]) -> dict[int, Record]:
    references = {work.reference for work in works if work.reference is not None and work.failure.request is None}
    letters = await parts.dead_letters.read(references) if references else {}
    records: dict[int, Record] = {}
    for work in works:
        if work.failure.request is not None:
            continue  # what is tried is its row, whatever was made of it
        letter = letters.get(work.reference) if work.reference is not None else None
        if letter is not None:
            records[work.id] = letter[1]
            continue
        place, offset = work.failure.partition, work.failure.offset
        if await parts.log.topic_ids([place.topic]):
            async for found in parts.log.read(place, offset, offset + 1):
                for record in found:
                    records[work.id] = record
    return records


# Trying


async def _ask_and_wait(
    parts: RetryParts, ids: Sequence[int], from_source: bool, timeout_s: float, actor: str
) -> dict[int, tuple[Outcome, str]]:
    before = {work.id: work.attempts for work in await parts.state.failed_work(ids=ids, limit=len(ids))}
    for number in ids:
        await parts.state.ask_retry(number, from_source=from_source, by=actor)
    deadline = parts.clock.monotonic() + timeout_s
    while True:
        works = await parts.state.failed_work(ids=ids, limit=len(ids))
        waiting = [work for work in works if work.status is FailureStatus.RETRYING]
        if not waiting or parts.clock.monotonic() > deadline:
            break
        await parts.clock.sleep(_LOOK_S)
    paused = await parts.state.pauses() if waiting else {}
    return {work.id: _outcome(work, before.get(work.id, 0), paused) for work in works}


def _outcome(work: FailedWork, attempts: int, paused: Mapping[str, object]) -> tuple[Outcome, str]:
    if work.status is FailureStatus.RESOLVED:
        return Outcome.RESOLVED, work.status_reason
    if work.status is FailureStatus.RETRYING:
        index = work.failure.index
        why = f"{index} is paused: sync-worker resume {index}" if index in paused else "the worker has not come to it yet"
        return Outcome.WAITING, f"{why}; it goes on without being waited for"
    if work.status is FailureStatus.OPEN:
        tried = work.attempts > attempts
        return Outcome.FAILED, f"{work.failure.code}: {work.failure.message}" if tried else work.status_reason
    return Outcome.SUPERSEDED if work.status is FailureStatus.SUPERSEDED else Outcome.REFUSED, work.status_reason
