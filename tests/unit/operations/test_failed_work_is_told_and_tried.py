"""The verbs about failed work: what is listed, what may be tried again, and what is refused with which words."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from sync_worker.adapters.state import StateDatabase
from sync_worker.document.declaration import IndexDeclaration
from sync_worker.document.projection import Projector
from sync_worker.errors import SyncWorkerError
from sync_worker.failure.model import Failure, FailureStatus, ReasonClass
from sync_worker.operations.audit import audit_log
from sync_worker.operations.discard import discard
from sync_worker.operations.failed import FailedFilter, failed_work_counts, list_failed, show_failed
from sync_worker.operations.retry import Outcome, RetryParts, RetryReport, Target, retry
from sync_worker.ports import IndexIdentity
from sync_worker.testing.memory import MemoryLog

from .parts import PLACE, Index, Letters, QuickClock, eventually, failure, record


class Desk:
    """One operator's desk."""

    def __init__(self, state: StateDatabase) -> None:
        self.state = state
        self.letters = Letters()
        self.log = MemoryLog()
        self.log.create(PLACE.topic)
        self.index = Index()
        self.clock = QuickClock()
        fields = {"name": "text", "n": "integer"}
        declaration = {"name": "things", "table": "public.things", "primary_key": "id", "fields": fields, "settings": {}}
        projector = Projector(IndexDeclaration.model_validate(declaration))
        targets = {"things": Target("things", PLACE.topic, "id", projector, cast("Any", self.index))}
        self.parts = RetryParts(state, self.letters, self.log, targets, self.clock)

    async def fail(self, told: Failure, **row: Any) -> int:
        """A failure with its letter; its id."""
        (reference,) = await self.letters.publish([(told, record(told.offset, int(told.document_id or 1), **row))])
        await self.state.record_failures([told], [reference])
        return (await self.state.failed_work(limit=1))[0].id

    async def worker(self) -> None:
        await self.state.worker_alive("w1", [PLACE], {})

    async def retry(self, *ids: int, execute: bool = True, timeout_s: float = 60, **more: Any) -> RetryReport:
        return await retry(self.parts, ids=ids, execute=execute, timeout_s=timeout_s, actor="tester", **more)

    async def outcome(self, *ids: int, **more: Any) -> tuple[Outcome, str]:
        report = await self.retry(*ids, **more)
        assert sum(report.counts.values()) == len(report.items)
        return report.items[0].outcome, report.items[0].reason


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    state = await StateDatabase.open(f"sqlite:///{tmp_path}/state.db")
    yield Desk(state)
    await state.close()


async def test_the_list_is_filtered_by_every_condition(desk: Desk) -> None:
    """Index, class, code, document, age and status; what is settled is shown only when asked for."""
    first = await desk.fail(failure(1))
    other = await desk.fail(failure(2, "2", code="missing_geo", reason_class=ReasonClass.PROJECTION, retryable=False))
    old = await desk.fail(failure(3, "3", failed_at=1_000.0))
    await discard(desk.state, [first], reason="known", actor="tester")

    async def ids(**conditions: Any) -> list[int]:
        return [item.id for item in (await list_failed(desk.state, FailedFilter(**conditions), clock=desk.clock)).items]

    assert await ids() == [old, other]
    assert await ids(statuses=()) == [old, other, first]
    assert await ids(statuses=(FailureStatus.DISCARDED,)) == [first]
    assert await ids(code="missing_geo") == [other]
    assert await ids(reason_class=ReasonClass.PROJECTION) == [other]
    assert await ids(document_id="3") == [old]
    assert await ids(older_than_s=86_400) == [old]
    assert await ids(newer_than_s=86_400) == [other]
    assert await ids(index="others") == []


async def test_counts_are_dense(desk: Desk) -> None:
    """Every index, class and status is there, zeros included: a dashboard never meets a missing key."""
    await desk.fail(failure(1))
    report = await failed_work_counts(desk.state, ["things", "others"])
    assert set(report.counts) == {"things", "others"}
    assert all(set(by_class) == set(ReasonClass) for by_class in report.counts.values())
    assert all(set(by_status) == set(FailureStatus) for by_class in report.counts.values() for by_status in by_class.values())
    assert (report.counts["things"]["rejected"]["open"], report.unsettled, report.by_status["resolved"]) == (1, 1, 0)


async def test_the_payload_is_shown_only_when_asked_for(desk: Desk) -> None:
    """It holds a row of somebody's table."""
    work = await desk.fail(failure(1), name="a secret")
    assert "secret" not in repr(await show_failed(desk.state, None, work, clock=desk.clock))
    shown = await show_failed(desk.state, desk.letters, work, clock=desk.clock)
    assert shown.payload is not None
    assert shown.payload.key == '{"id":1}'
    assert "a secret" in (shown.payload.value or "")


async def test_a_payload_that_is_no_text_comes_as_base64(desk: Desk) -> None:
    """Nothing of it is lost or replaced."""
    told = failure(1)
    (reference,) = await desk.letters.publish([(told, replace(record(1), value=b"\xff\x00"))])
    await desk.state.record_failures([told], [reference])
    shown = await show_failed(desk.state, desk.letters, 1, clock=desk.clock)
    assert shown.payload is not None
    assert (shown.payload.encoding, base64.b64decode(shown.payload.value or "")) == ("base64", b"\xff\x00")


async def test_a_dry_run_asks_nobody(desk: Desk) -> None:
    """It says what would be done, needs no worker, and leaves no line in the audit log."""
    work = await desk.fail(failure(1))
    assert await desk.outcome(work, execute=False) == (Outcome.READY, "")
    assert (await desk.state.failed_work())[0].status is FailureStatus.OPEN
    assert (await audit_log(desk.state)).lines == ()


async def test_without_a_worker_it_says_so_at_once(desk: Desk) -> None:
    """And what to start; the row stays as it was."""
    work = await desk.fail(failure(1))
    with pytest.raises(SyncWorkerError, match="no worker is running") as refused:
        await desk.retry(work)
    assert refused.value.remedy == "start one: sync-worker run"
    assert (await desk.state.failed_work())[0].status is FailureStatus.OPEN


@pytest.mark.parametrize(
    ("told", "change", "words"),
    [
        (failure(1, retryable=False), "", "--force"),
        (failure(1, index="gone"), "", "not declared any more"),
        (failure(1, topic_id="id-0"), "", "deleted and made anew"),
        (failure(1), "missing", "does not exist"),
        (failure(1), "key", "primary key"),
        (failure(1), "payload", "payload"),
    ],
)
async def test_what_does_not_fit_any_more_is_refused_with_the_reason(desk: Desk, told: Failure, change: str, words: str) -> None:
    """Not retryable, or today's declaration, index or log is not the one that it was made for."""
    work = await desk.fail(told)
    if change == "missing":
        desk.index.present = None
    elif change == "key":
        desk.index.present = IndexIdentity("things", "x", "uuid")
    elif change == "payload":
        desk.letters.start = 1
    await desk.worker()
    outcome, reason = await desk.outcome(work)
    assert outcome is Outcome.REFUSED
    assert words in reason
    assert (await desk.state.failed_work())[0].status is FailureStatus.OPEN


async def test_what_todays_declaration_refuses_needs_force(desk: Desk) -> None:
    """The same projection as the worker's says it before anything is asked; --force asks nevertheless."""
    work = await desk.fail(failure(1), n="no number")
    await desk.worker()
    outcome, reason = await desk.outcome(work)
    assert (outcome, "today's declaration refuses it" in reason) == (Outcome.REFUSED, True)
    assert (await desk.outcome(work, execute=False, force=True))[0] is Outcome.READY
    assert (await desk.outcome(work, execute=False, from_source=True))[0] is Outcome.READY


async def test_force_overrides_that_it_is_not_retryable(desk: Desk) -> None:
    """As does the row itself, which is another change than the one that failed."""
    work = await desk.fail(failure(1, retryable=False))
    assert (await desk.outcome(work, execute=False, force=True))[0] is Outcome.READY
    assert (await desk.outcome(work, execute=False, from_source=True))[0] is Outcome.READY


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (FailureStatus.RESOLVED, Outcome.RESOLVED),
        (FailureStatus.OPEN, Outcome.FAILED),
        (FailureStatus.SUPERSEDED, Outcome.SUPERSEDED),
    ],
)
async def test_it_waits_for_what_the_worker_makes_of_it(desk: Desk, status: FailureStatus, outcome: Outcome) -> None:
    """Resolved, failed again, or superseded; both ends are in the audit log."""
    work = await desk.fail(failure(1))
    await desk.worker()

    async def worker() -> None:
        await eventually(lambda: desk.state.asked_retries(["things"], [PLACE], limit=10))
        await desk.state.close_retry(work, status, "as it went")

    took_up = asyncio.create_task(worker())
    assert await desk.outcome(work) == (outcome, "as it went")
    await took_up
    [line] = (await audit_log(desk.state, verb="retry")).lines
    assert (line.outcome, line.actor, line.details["outcomes"][outcome.value]) == ("done", "tester", 1)


async def test_what_is_not_done_in_time_goes_on_by_itself(desk: Desk) -> None:
    """The report says so, with the reason where it is known, and asking again waits for the same."""
    work = await desk.fail(failure(1))
    await desk.worker()
    assert (await desk.outcome(work, timeout_s=1))[0] is Outcome.WAITING
    await desk.state.pause("things", by="tester", reason="")
    outcome, reason = await desk.outcome(work, timeout_s=1)
    assert (outcome, "sync-worker resume things" in reason) == (Outcome.WAITING, True)


async def test_the_oldest_come_first_and_the_limit_is_told(desk: Desk) -> None:
    """A pile is worked off from its beginning."""
    ids = [await desk.fail(failure(number, str(number))) for number in range(1, 6)]
    report = await retry(desk.parts, wanted=FailedFilter(index="things"), limit=3, execute=False, actor="tester")
    assert ([item.id for item in report.items], report.more, report.counts["ready"]) == (ids[:3], True, 3)


async def test_discard_needs_a_reason_and_an_open_row(desk: Desk) -> None:
    """The reason is kept with the row and in the audit log; what is settled is left alone."""
    work = await desk.fail(failure(1))
    with pytest.raises(SyncWorkerError, match="reason"):
        await discard(desk.state, [work], reason=" ", actor="tester")
    with pytest.raises(SyncWorkerError, match="no failed work 99"):
        await discard(desk.state, [work, 99], reason="known", actor="tester")
    assert (await desk.state.failed_work())[0].status is FailureStatus.OPEN
    [item] = (await discard(desk.state, [work], reason="known", actor="tester")).items
    assert (item.discarded, item.status) == (True, FailureStatus.DISCARDED)
    [again] = (await discard(desk.state, [work], reason="known", actor="tester")).items
    assert (again.discarded, again.status) == (False, FailureStatus.DISCARDED)
    assert (await desk.state.failed_work())[0].status_reason == "tester: known"
    lines = (await audit_log(desk.state, verb="discard", subject=f"failed work {work}")).lines
    assert [line.details["status"] for line in lines] == ["discarded", "discarded"]


async def test_an_interrupted_verb_leaves_its_line(desk: Desk) -> None:
    """Ctrl-C in the middle: the audit log says that it was interrupted; the row is taken up all the same."""
    work = await desk.fail(failure(1))
    await desk.worker()
    waiting = asyncio.create_task(desk.retry(work))
    await eventually(lambda: desk.state.asked_retries(["things"], [PLACE], limit=10))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    [line] = (await audit_log(desk.state)).lines
    assert (line.verb, line.outcome) == ("retry", "interrupted")
