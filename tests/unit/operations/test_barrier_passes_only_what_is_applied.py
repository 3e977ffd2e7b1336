"""The barrier: it never passes too early, it always ends, and it says what it waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from sync_worker.change.message import Message
from sync_worker.change.model import TopicPartition
from sync_worker.errors import ConfigurationError, ConnectUnavailable, SourceUnavailable
from sync_worker.failure.model import Finding
from sync_worker.operations.barrier import Barrier, BarrierReport, Stage, Verdict
from sync_worker.progress.passed import Obstacle, Position, Standing
from sync_worker.testing.memory import MemoryLog

CITIES, PEOPLE = TopicPartition("app.public.cities", 0), TopicPartition("app.public.people", 0)


class Time:
    """A clock that moves only when somebody sleeps, and lets things happen at moments."""

    def __init__(self) -> None:
        self.at = 0.0
        self.agenda: list[tuple[float, Callable[[], None]]] = []

    def now(self) -> float:
        return 1_000_000 + self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += max(seconds, 1e-6)
        for due in [one for one in self.agenda if one[0] <= self.at]:
            self.agenda.remove(due)
            due[1]()
        await asyncio.sleep(0)


@dataclass
class Chain:
    """Every port of the barrier. The source's log position rises with each message."""

    time: Time = field(default_factory=Time)
    log: MemoryLog = field(default_factory=MemoryLog)
    newest: Message | None = None
    lsn: int = 1_000
    comes_through: bool = True
    refusal: Exception | None = None
    committed: tuple[int, int] | None = (10**9, 10**9)
    positions: dict[TopicPartition, Position] = field(default_factory=dict)
    holds: list[Obstacle] = field(default_factory=list)
    open: list[Finding] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    connect_fault: ConnectUnavailable | None = None

    def __post_init__(self) -> None:
        for place in (CITIES, PEOPLE):
            self.log.create(place.topic)
            self.at(place, 0)

    def at(self, place: TopicPartition, applied: int, topic_id: str = "id-1") -> None:
        self.positions[place] = Position(applied, topic_id, 3, "w1")

    def write(self, place: TopicPartition, count: int = 1) -> None:
        for _ in range(count):
            self.log.append(place, b"{}", b"{}", timestamp=0)

    # the ports

    async def emit(self, prefix: str, content: str) -> int:
        if self.refusal is not None:
            raise self.refusal
        self.events.append("emitted")
        start, self.lsn = self.lsn, self.lsn + 100
        if self.comes_through:
            self.newest = Message(prefix, content, (start - 10, start), 0, None)
        return self.lsn

    async def listening(self, timeout_s: float) -> bool:
        return True

    async def arrived(self, wanted: Callable[[Message], bool], timeout_s: float) -> Message | None:
        deadline = self.time.monotonic() + timeout_s
        while self.newest is None or not wanted(self.newest):
            if self.time.monotonic() >= deadline:
                return None
            await self.time.sleep(0.05)
        return self.newest

    async def committed_order(self) -> tuple[int, int] | None:
        if self.connect_fault is not None:
            raise self.connect_fault
        self.events.append("asked connect")
        return self.committed

    async def standing(self, partitions: Collection[TopicPartition]) -> Standing:
        return Standing({place: at for place, at in self.positions.items() if place in partitions}, list(self.holds))

    async def findings(self, *, open_only: bool = True) -> Sequence[Finding]:
        return self.open

    async def silence(self) -> str:
        return "Kafka Connect does not answer"

    async def passed(self, *indexes: str, timeout_s: float = 30, **more: Any) -> BarrierReport:
        barrier = Barrier(
            {"cities": CITIES.topic, "towns": CITIES.topic, "people": PEOPLE.topic},
            messages=self, positions=self, connector=self, log=self.log, findings=self, clock=self.time,
            new_token=lambda: "token", silence=self.silence,
        )  # fmt: skip
        return await barrier.passed(indexes, timeout_s=timeout_s, **more)


def finding(subject: str, *, blocking: bool = True) -> Finding:
    return Finding("log-replaced", subject, "the topic was made anew", "all of it", "findings clear …", blocking, 1, 1)


async def test_a_quiet_chain_passes() -> None:
    """Nothing in the log: nothing to wait for but the message itself."""
    report = await Chain().passed()
    assert (report.verdict, report.indexes, report.stage) == (Verdict.PASSED, ("cities", "people", "towns"), Stage.APPLIED)


async def test_it_waits_until_the_last_change_before_it_is_applied() -> None:
    """One record short is not passed."""
    chain = Chain()
    chain.write(CITIES, 5)
    chain.at(CITIES, 4)
    chain.time.agenda.append((3.0, lambda: chain.at(CITIES, 5)))
    report = await chain.passed("cities")
    assert report.passed
    assert report.seconds >= 3.0


async def test_what_is_written_after_it_is_not_waited_for() -> None:
    """The ends are taken once: a busy table does not keep a barrier for ever."""
    chain = Chain()
    chain.write(CITIES, 5)
    chain.at(CITIES, 4)
    chain.time.agenda += [(1.0, lambda: chain.write(CITIES, 50)), (2.0, lambda: chain.at(CITIES, 6))]
    assert (await chain.passed("cities")).passed


async def test_ends_are_taken_after_the_message_came() -> None:
    """What was committed before the call may reach Kafka after it, but not after the message."""
    chain = Chain(comes_through=False)

    def through() -> None:
        chain.write(CITIES, 3)
        chain.newest = Message("sync-worker.barrier", "token", (990, 1_000), 0, None)

    chain.time.agenda.append((2.0, through))
    report = await chain.passed("cities", timeout_s=5)
    assert (report.verdict, report.stage) == (Verdict.BEHIND, Stage.APPLIED)
    assert [(one.partition, one.target.end) for one in report.behind] == [(CITIES, 3)]


async def test_strict_takes_the_ends_only_once_the_connector_has_committed() -> None:
    """A record that Connect's producer was still repeating lies behind the message, and is waited for all the same."""
    chain = Chain(committed=(980, 2_000))

    def confirmed() -> None:
        chain.write(PEOPLE)
        chain.committed = (990, 1_000)

    chain.time.agenda.append((1.0, confirmed))
    report = await chain.passed(timeout_s=5)
    assert [one.partition for one in report.behind] == [PEOPLE]
    quick = await Chain(committed=None).passed(strict=False)
    assert quick.passed


async def test_a_higher_position_of_an_earlier_transaction_is_not_enough() -> None:
    """Within transactions that overlap the LSN alone does not rise from record to record; the commit before it does."""
    report = await Chain(committed=(980, 5_000)).passed(timeout_s=2)
    assert (report.verdict, report.stage) == (Verdict.BEHIND, Stage.CONNECTOR)
    assert "offset.flush.interval.ms" in report.cause


async def test_a_message_that_does_not_come_back_names_the_silent_link() -> None:
    """Could not find out is not the same as behind."""
    report = await Chain(comes_through=False).passed(timeout_s=2)
    assert (report.verdict, report.stage, report.behind) == (Verdict.BEHIND, Stage.MESSAGE, ())
    assert "Kafka Connect does not answer" in report.cause


async def test_faults_are_waited_out_and_named_at_the_end() -> None:
    """PostgreSQL down for a moment fails nothing; down for longer, it is the cause."""
    chain = Chain(refusal=SourceUnavailable("PostgreSQL is starting"))
    chain.time.agenda.append((1.0, lambda: setattr(chain, "refusal", None)))
    assert (await chain.passed()).passed
    report = await Chain(refusal=SourceUnavailable("PostgreSQL is starting")).passed(timeout_s=2)
    assert report.verdict is Verdict.BEHIND
    assert "PostgreSQL is starting" in report.cause
    report = await Chain(connect_fault=ConnectUnavailable("Connect is away")).passed(timeout_s=2)
    assert report.verdict is Verdict.BEHIND
    assert "Connect is away" in report.cause


async def test_markers_and_compaction_before_the_end_count_as_passed() -> None:
    """The end offset may be unreachable by reading: nothing is there to be read."""
    chain = Chain()
    chain.write(CITIES, 5)
    chain.at(CITIES, 3)
    del chain.log.partitions[CITIES][3:4]
    chain.log.partitions[CITIES][3:] = []
    ends = {CITIES: (0, 5)}

    async def bounds(places: Collection[TopicPartition]) -> Any:
        return {place: ends.get(place, (0, 0)) for place in places}

    chain.log.bounds = bounds  # type: ignore[method-assign]
    assert (await chain.passed("cities", timeout_s=5)).passed


async def test_a_hole_with_one_record_left_behind_it_is_not_passed() -> None:
    """The look for holes must not take an unread record for one."""
    chain = Chain()
    chain.write(CITIES, 5)
    chain.at(CITIES, 4)
    report = await chain.passed("cities", timeout_s=5)
    assert (report.verdict, [one.left for one in report.behind]) == (Verdict.BEHIND, [1])


async def test_what_retention_removed_counts_as_passed() -> None:
    """The log's start moved over the end that was taken."""
    chain = Chain()
    chain.write(CITIES, 5)
    chain.at(CITIES, 2)

    def removed() -> None:
        chain.log.starts[CITIES] = 5
        chain.log.partitions[CITIES].clear()

    chain.time.agenda.append((1.5, removed))
    assert (await chain.passed("cities", timeout_s=5)).passed


async def test_a_position_in_another_topic_of_that_name_proves_nothing() -> None:
    """A topic that was made anew has other offsets; a worker that stalled still claims the old ones."""
    chain = Chain()
    chain.write(CITIES, 5)
    chain.at(CITIES, 5_000, topic_id="id-0")
    report = await chain.passed("cities", timeout_s=2)
    assert report.verdict is Verdict.BEHIND
    assert report.behind[0].position is None


async def test_a_finding_that_blocks_ends_it_at_once() -> None:
    """No waiting for the time-out where only an operator can help; it is named with its command."""
    chain = Chain(open=[finding("app.public.cities:0")])
    chain.write(CITIES, 5)
    report = await chain.passed("cities", timeout_s=60)
    assert report.verdict is Verdict.BLOCKED
    assert report.seconds < 5
    assert (report.obstacles[0].kind, report.obstacles[0].blocking) == ("log-replaced", True)
    assert report.obstacles[0].remedy == "findings clear …"


@pytest.mark.parametrize("subject", ["people", "app.public.people:0", "app.public.people", "app.public.cities:1"])
async def test_what_concerns_another_table_blocks_nothing(subject: str) -> None:
    """Each partition waits for its own troubles only."""
    chain = Chain(open=[finding(subject)])
    chain.write(CITIES, 5)
    chain.time.agenda.append((4.0, lambda: chain.at(CITIES, 5)))
    assert (await chain.passed("cities")).passed


async def test_an_index_of_the_same_table_that_holds_is_named() -> None:
    """It keeps the common partition's position back."""
    chain = Chain(open=[finding("towns")])
    chain.write(CITIES, 5)
    assert (await chain.passed("cities")).verdict is Verdict.BLOCKED


async def test_a_hold_may_end_by_itself_and_is_named_where_it_does_not() -> None:
    """A fault of the environment is waited for until the time is over."""
    hold = Obstacle("cities", "SinkUnavailable", "Meilisearch does not answer", "start it", False, "w1")
    chain = Chain(holds=[hold])
    chain.write(CITIES, 5)
    report = await chain.passed("cities", timeout_s=3)
    assert (report.verdict, report.obstacles) == (Verdict.BLOCKED, (hold,))
    assert "Meilisearch does not answer" in report.cause
    chain.time.agenda.append((chain.time.at + 1.0, lambda: chain.at(CITIES, 5)))
    assert (await chain.passed("cities", timeout_s=3)).passed


@pytest.mark.parametrize("lsn", [None, 900])
async def test_a_message_of_a_log_that_was_left_proves_nothing(lsn: int | None) -> None:
    """After a restored backup, or a failover, the positions of before may be far above those of now."""
    chain = Chain(comes_through=False)
    chain.newest = Message("sync-worker.canary", "", (8_990, 9_000), 0, None)
    report = await chain.passed(lsn=lsn, timeout_s=2)
    assert (report.verdict, report.stage) == (Verdict.BEHIND, Stage.MESSAGE)


async def test_its_own_message_is_not_missed_where_a_heartbeat_follows_at_once() -> None:
    """The newest is another one by the time that somebody looks."""
    chain = Chain()
    wishes: list[Callable[[Message], bool]] = []
    came: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    async def arrived(wanted: Callable[[Message], bool], timeout_s: float) -> Message | None:
        wishes.append(wanted)
        return await came

    async def emit(prefix: str, content: str) -> int:
        await asyncio.sleep(0)
        message = Message(prefix, content, (0, 1), 0, None)
        assert any(wanted(message) for wanted in wishes), "nobody waits for it while it is written"
        came.set_result(message)
        return 2

    chain.arrived, chain.emit = arrived, emit  # type: ignore[method-assign]
    assert (await chain.passed()).passed


async def test_a_topic_that_was_read_and_is_gone_is_not_passed() -> None:
    """What of it was not applied never will be: nothing to wait for is not the same as nothing left."""
    chain = Chain()
    chain.at(CITIES, 3)
    del chain.log.ids[CITIES.topic]
    report = await chain.passed("cities", timeout_s=5)
    assert (report.verdict, [one.subject for one in report.obstacles]) == (Verdict.BLOCKED, [CITIES.topic])
    del chain.positions[CITIES]
    assert (await chain.passed("cities")).passed, "a table without a change has no topic"


async def test_a_topic_that_was_made_anew_and_is_empty_is_not_passed() -> None:
    """The group is known to have read the one before it, to an end that nobody knows."""
    chain = Chain()
    chain.at(CITIES, 5_000, topic_id="id-0")
    assert (await chain.passed("cities", timeout_s=2)).verdict is Verdict.BEHIND


async def test_an_index_that_lost_what_was_applied_is_not_passed() -> None:
    """Every offset is acknowledged, and a finding says that the index is an older one. What mends it may pass."""
    chain = Chain(open=[finding("cities")])
    report = await chain.passed("cities")
    assert (report.verdict, report.obstacles[0].kind) == (Verdict.BLOCKED, "log-replaced")
    assert (await chain.passed("people")).passed
    assert (await chain.passed("cities", doubts=False)).passed


async def test_a_table_that_is_not_sent_at_the_moment_is_not_passed() -> None:
    """Messages come through a publication that lacks the table. What was lost before, and is sent again by now, is no reason."""
    lost = Finding("changes-lost", "cities", "does not send", "", "backfill", False, 1, 70)
    narrowed = Finding("publication-narrowed", "publication", "does not send", "", "apply", False, 1, 70)
    chain = Chain(open=[lost, narrowed])
    report = await chain.passed("cities")
    assert (report.verdict, report.obstacles[0].kind) == (Verdict.BLOCKED, "changes-lost")
    assert (await chain.passed("people")).passed
    assert (await Chain(open=[lost]).passed("cities")).passed


async def test_with_a_position_an_older_message_does_not_do() -> None:
    """A message that was committed before the application's commit proves nothing about it."""
    chain = Chain(comes_through=False)
    chain.newest = Message("sync-worker.canary", "", (0, 900), 0, None)
    report = await chain.passed(lsn=1_050, timeout_s=2)
    assert (report.verdict, report.stage) == (Verdict.BEHIND, Stage.MESSAGE)


async def test_a_role_that_may_not_write_can_wait_for_a_position() -> None:
    """The heartbeat's next message proves it as well; without a position there is nothing to compare."""
    chain = Chain(refusal=ConfigurationError(["permission denied"]))
    canary = Message("sync-worker.canary", "", (1_990, 2_000), 0, None)
    chain.time.agenda.append((1.0, lambda: setattr(chain, "newest", canary)))
    assert (await chain.passed(lsn=1_500)).passed
    with pytest.raises(ConfigurationError, match="permission denied"):
        await chain.passed()


async def test_an_index_that_is_not_declared_is_a_mistake_of_the_caller() -> None:
    """And not a barrier that passes because nothing is to be waited for."""
    with pytest.raises(ConfigurationError, match="nope: not declared"):
        await Chain().passed("nope")
