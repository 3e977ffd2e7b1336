"""`status` shows what each part says, names the ones that do not answer, and judges what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import fastjsonschema
import pytest

from sync_worker.change.model import TopicPartition
from sync_worker.document.declaration import IndexDeclaration
from sync_worker.errors import (
    ConnectUnavailable,
    LogUnavailable,
    SinkUnavailable,
    SourceUnavailable,
    StateUnavailable,
    SyncWorkerError,
)
from sync_worker.failure.findings import FindingKind, found
from sync_worker.failure.model import FailureStatus, ReasonClass
from sync_worker.operations.connector import ConnectorState, TaskState
from sync_worker.operations.report import as_document, schema_of
from sync_worker.operations.status import Parts, status
from sync_worker.operations.status.judge import Limits
from sync_worker.operations.status.parts import LogSeen, SinkSeen, StateSeen, WorkerSeen
from sync_worker.operations.status.report import HoldStatus, SlotStatus, StatusReport
from sync_worker.ports import PAUSED, Bookmark, Pause, WorkerRow
from sync_worker.progress.bookmark import Tail
from sync_worker.watch.fill import Fill, FillProof

NOW = 1_800_000_000.0
PLACE = TopicPartition("sync.public.things", 0)
THINGS = IndexDeclaration.model_validate(
    {"name": "things", "table": "public.things", "primary_key": "id", "fields": {"name": "text"}}
)
RUNNING = ConnectorState("RUNNING", "w", "", (TaskState(0, "RUNNING", "w", ""),))


class StillClock:
    def now(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return 5.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass
class World:
    """Every part, healthy; a test changes what it is about. `faults` has part → what it raises, or None to hang."""

    sink: SinkSeen | None = field(default_factory=lambda: SinkSeen("2026-01-01T00:00:00Z", "id", 10, False, {}, 0, 0, None))
    log: LogSeen = field(default_factory=lambda: LogSeen({PLACE: 100}, {PLACE: 100}, NOW - 1))
    state: StateSeen = field(
        default_factory=lambda: StateSeen(
            [WorkerRow("w1", NOW - 100, NOW - 2, [PLACE], {}, "http://w1")],
            {PLACE: Bookmark(PLACE, "id-1", 90, {}, Tail(89, int((NOW - 40) * 1000), "k"))},
            {("things", ReasonClass.REJECTED, FailureStatus.OPEN): 0},
            [],
            {"things": Fill("things", "things", "2026-01-01T00:00:00Z", FillProof.LAST_ROW, "d", "c", "id-1", {0: 5}, NOW - 60)},
            {},
        )
    )
    told: dict[str, WorkerSeen] = field(default_factory=lambda: {"w1": WorkerSeen(True, True, 0.5, {PLACE: 100}, {PLACE: 0})})
    slot: SlotStatus = field(default_factory=lambda: SlotStatus("slot", True, True, 1024, 10, "reserved", None))
    connector: ConnectorState | None = RUNNING
    faults: Mapping[str, SyncWorkerError | None] = field(default_factory=dict)

    async def _answer(self, part: str, value: Any) -> Any:
        if part in self.faults:
            fault = self.faults[part]
            if fault is None:
                await asyncio.Event().wait()
            else:
                raise fault
        return value

    def look(self) -> StatusReport:
        return asyncio.run(self.report())

    async def report(self) -> StatusReport:
        world = self

        class Sink:
            async def seen(self, index_uid: str) -> SinkSeen | None:
                found: SinkSeen | None = await world._answer("meilisearch", world.sink)
                return found

        class Log:
            async def seen(self) -> LogSeen:
                found: LogSeen = await world._answer("kafka", world.log)
                return found

        class Slot:
            async def seen(self) -> SlotStatus:
                found: SlotStatus = await world._answer("postgresql", world.slot)
                return found

        class Connect:
            async def seen(self) -> ConnectorState | None:
                found: ConnectorState | None = await world._answer("connect", world.connector)
                return found

        class State:
            async def seen(self) -> StateSeen:
                found: StateSeen = await world._answer("state", world.state)
                return found

        class Workers:
            async def ask(self, workers: Collection[WorkerRow]) -> Mapping[str, WorkerSeen]:
                return {row.worker: world.told[row.worker] for row in workers if row.worker in world.told}

        parts = Parts(
            {"default": Sink()}, Log(), Slot(), Connect(), State(), Workers(), "c", {"public.things": PLACE.topic}, StillClock()
        )
        return await status(parts, [THINGS], limits=Limits(lag_s=60, canary_s=30), deadline_s=0.05)


def kinds(report: StatusReport) -> set[str]:
    return {problem.kind for problem in report.problems}


def test_a_healthy_chain_has_nothing_wrong() -> None:
    """Exit status 0 depends on it, and the report fits its published schema."""
    report = World().look()
    assert report.ok, report.problems
    assert report.alive
    (index,) = report.indexes
    assert (index.lag_messages, index.lag_s, index.freshness_s) == (0, 0.0, 0.5)
    assert index.open_failures == dict.fromkeys((reason.value for reason in ReasonClass), 0)
    assert index.fill is not None
    assert index.fill.age_s == 60
    fastjsonschema.compile(schema_of(StatusReport))(as_document(report))


FAULTS = {
    "meilisearch": ("Meilisearch", SinkUnavailable("down")),
    "kafka": ("Kafka", LogUnavailable("down")),
    "postgresql": ("PostgreSQL", SourceUnavailable("down")),
    "connect": ("Kafka Connect", ConnectUnavailable("down")),
    "state": ("state database", StateUnavailable("down")),
}


@pytest.mark.parametrize("part", FAULTS)
@pytest.mark.parametrize("hangs", [False, True])
def test_a_part_that_is_down_stops_no_other(part: str, hangs: bool) -> None:
    """It is named, whether it refuses or never answers; everything else is shown, and nothing is made up for it."""
    name, fault = FAULTS[part]
    report = World(faults={part: None if hangs else fault}).look()
    assert [one.part for one in report.unreachable] == [name]
    assert not report.ok
    assert report.only_unanswered
    (index,) = report.indexes
    assert (index.documents is None) == (part == "meilisearch")
    assert (index.open_failures is None) == (part == "state")
    assert (report.slot is None) == (part == "postgresql")
    assert (report.connector is None) == (part == "connect")
    assert index.lag_messages == 0, "either Kafka or a worker can tell"


def test_a_part_that_does_not_even_let_go_is_left_behind() -> None:
    """Closing the connection to a part that does not answer may take as long as asking it: the report does not wait for that."""
    ended: list[str] = []

    class Stuck(World):
        async def _answer(self, part: str, value: Any) -> Any:
            if part == "postgresql":
                try:
                    await asyncio.Event().wait()
                finally:
                    await asyncio.sleep(0.5)
                    ended.append(part)
            return value

    async def look() -> StatusReport:
        report = await Stuck().report()
        assert not ended
        return report

    assert [one.part for one in asyncio.run(look()).unreachable] == ["PostgreSQL"]


def test_all_down_at_once_is_still_a_report() -> None:
    """Nothing is known, and nothing claims to be fine."""
    report = World(faults={part: fault for part, (_, fault) in FAULTS.items()}).look()
    assert len(report.unreachable) == len(FAULTS)
    assert report.alive is None
    (index,) = report.indexes
    assert index.lag_messages is index.lag_s is index.freshness_s is None


def test_without_a_worker_what_waits_is_told_from_the_bookmark() -> None:
    """Its age is that of the last acknowledged change: what came after waits at most so long."""
    world = World(told={})
    world.state = replace(world.state, workers=[WorkerRow("w1", NOW - 900, NOW - 500, [PLACE], {}, "http://w1")])
    report = world.look()
    assert {"no-worker"} <= kinds(report)
    (index,) = report.indexes
    assert (index.lag_messages, index.lag_s) == (10, 40.0)
    assert report.workers == ()


def test_a_worker_that_does_not_answer_is_named_with_its_last_holds() -> None:
    world = World(told={})
    world.state = replace(
        world.state, workers=[WorkerRow("w1", NOW - 900, NOW - 2, [PLACE], {"things": "disk full"}, "http://w1")]
    )
    report = world.look()
    assert {"worker-silent", "hold"} <= kinds(report)
    assert report.holds is not None
    assert report.holds[0].cause == "disk full"


def test_lag_over_the_limit_is_wrong() -> None:
    world = World(told={"w1": WorkerSeen(True, True, 0.5, {PLACE: 50}, {PLACE: 50}, {PLACE: 61.0})})
    report = world.look()
    assert kinds(report) == {"lag"}
    assert report.indexes[0].freshness_s == 61.0


def test_an_old_canary_means_not_alive_whatever_the_connector_says() -> None:
    """RUNNING is not alive."""
    world = World(told={"w1": WorkerSeen(True, True, 31.0, {PLACE: 100})})
    report = world.look()
    assert report.alive is False
    assert kinds(report) == {"canary"}


@pytest.mark.parametrize(
    ("connector", "kind"),
    [
        (None, "connector-missing"),
        (replace(RUNNING, tasks=()), "connector-down"),
        (replace(RUNNING, tasks=(TaskState(0, "FAILED", "w", "boom"),)), "connector-down"),
    ],
)
def test_a_connector_that_does_not_run_is_wrong(connector: ConnectorState | None, kind: str) -> None:
    """A task's error is part of what is said."""
    report = World(connector=connector).look()
    assert kinds(report) == {kind}
    assert connector is None or not connector.tasks or "boom" in report.problems[0].what


def test_a_pause_is_shown_and_is_not_wrong() -> None:
    """Somebody asked for it; its lag is expected."""
    held = HoldStatus("w1", "things", PAUSED, "paused", "sync-worker resume things", NOW - 100)
    world = World(told={"w1": WorkerSeen(True, True, 0.5, {PLACE: 50}, {}, {PLACE: 99.0}, [held])})
    world.state = replace(world.state, pauses={"things": Pause("things", NOW - 100, "me", "")})
    report = world.look()
    assert report.ok, report.problems
    assert report.indexes[0].paused
    assert report.holds == (held,)


def test_everything_else_that_is_wrong_is_named() -> None:
    world = World(slot=SlotStatus("slot", False, None, None, None, None, None))
    assert world.sink is not None
    world.sink = replace(world.sink, primary_key="other", settings={"sortableAttributes": ["x"]})
    world.state = replace(
        world.state,
        counts={("things", ReasonClass.REJECTED, FailureStatus.OPEN): 2},
        findings=[found(FindingKind.CHANGES_LOST, "things", "seen", now=NOW)],
    )
    report = world.look()
    assert kinds(report) == {"slot-missing", "primary-key", "settings", "failed-work", "changes-lost"}
    assert all(problem.remedy for problem in report.problems)
    assert report.indexes[0].open_failures is not None
    assert report.indexes[0].open_failures["rejected"] == 2


def test_a_missing_index_is_wrong_and_a_fill_of_another_one_proves_nothing() -> None:
    world = World()
    assert kinds(World(sink=None).look()) == {"index-missing"}
    assert world.sink is not None
    world.sink = replace(world.sink, created_at="2026-02-02T00:00:00Z")
    assert world.look().indexes[0].fill is None
