"""The watch's looks one after the other: what is stored, what is cleared, when an index counts as filled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import orjson
import pytest

from sync_worker.change.model import TopicPartition
from sync_worker.errors import ConnectUnavailable, SinkUnavailable, SourceUnavailable, SyncWorkerError
from sync_worker.failure.model import Finding
from sync_worker.operations.watch import FillWatch, Watcher, WatchParts
from sync_worker.ports import Bookmark, IndexRecord, Sink, State, Telemetry
from sync_worker.testing.memory import MemoryLog
from sync_worker.testing.memory_state import MemoryState
from sync_worker.watch.facts import (
    ColumnSeen,
    ConnectorSeen,
    MemberSeen,
    ServerSeen,
    SlotSeen,
    SourceSeen,
    TableSeen,
    TopicSeen,
    Watched,
    WatchedIndex,
)
from sync_worker.watch.fill import FillProof

TABLE, TOPIC, NOTICES = "public.things", "app.public.things", "app.notifications"
PLACE = TopicPartition(TOPIC, 0)
THINGS = TableSeen(
    7,
    "table",
    "permanent",
    "default",
    ("id",),
    (ColumnSeen("id", 23, -1, "", ""), ColumnSeen("name", 25, -1, "", "")),
    {},
    frozenset(),
    MemberSeen(True, frozenset({"insert", "update", "delete", "truncate"}), frozenset({"id", "name"}), None),
)
SOURCE = SourceSeen(ServerSeen("1", 1), SlotSeen(True, "reserved", None, 10), True, {TABLE: THINGS})
RUNS = ConnectorSeen("connector RUNNING, task 0 RUNNING", True, (), 10, False)
KEPT = TopicSeen("id-1", 1, "delete", -1, -1, 1000)


class Part:
    """Answers what it is told to, or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def seen(self, _asked: object = None) -> Any:
        if isinstance(self.answer, SyncWorkerError):
            raise self.answer
        return self.answer


class Clock:
    moment = 1000.0

    def now(self) -> float:
        return self.moment

    def monotonic(self) -> float:
        return self.moment

    async def sleep(self, seconds: float) -> None:
        self.moment += seconds


class Counted:
    """A Meilisearch that only counts."""

    documents: int | SyncWorkerError = 3

    async def document_count(self, _uid: str) -> int:
        if isinstance(self.documents, SyncWorkerError):
            raise self.documents
        return self.documents


@dataclass
class Gauges:
    values: dict[tuple[str, str], float] = field(default_factory=dict)

    def gauge(self, metric: str, value: float, **labels: str) -> None:
        self.values[metric, *labels.values()] = value  # type: ignore[index]


class Chain:
    """A watched chain in memory."""

    def __init__(self) -> None:
        self.source, self.connector, self.topics = Part(SOURCE), Part(RUNS), Part({TOPIC: KEPT})
        self.clock, self.sink, self.gauges = Clock(), Counted(), Gauges()
        self.state = MemoryState(now=self.clock.now)
        self.log = MemoryLog()
        self.log.create(TOPIC)
        self.log.create(NOTICES, topic_id="id-n")
        self.declare()

    def declare(self, declaration: str = "d1", key: tuple[str, ...] = ("id",)) -> None:
        index = WatchedIndex(TABLE, TOPIC, key, frozenset({"id", "name"}), declaration)
        watched = Watched("app", "app_slot", "app_pub", retention_ms=1, max_message_bytes=1, indexes={"things": index})
        fills = FillWatch(
            watched,
            {"things": (cast("Sink", self.sink), "things")},
            state=cast("State", self.state),
            log_port=self.log,
            notification_topic=NOTICES,
            telemetry=cast("Telemetry", self.gauges),
            clock=self.clock,
        )
        parts = WatchParts(self.source, self.connector, self.topics)
        self.watcher = Watcher(parts, watched, state=cast("State", self.state), fills=fills, clock=self.clock)

    async def look(self) -> list[tuple[str, str]]:
        """Open findings after another look, a minute later."""
        self.clock.moment += 60
        await self.watcher.look()
        return [(finding.kind, finding.subject) for finding in await self.state.findings()]

    async def acknowledge(self, next_offset: int, *indexes: str) -> None:
        record = IndexRecord("things", "things", "2026-01-01", "id", None, None)
        bookmark = Bookmark(PLACE, "id-1", next_offset, dict.fromkeys(indexes or ("things",), 0))
        await self.state.save_progress([bookmark], [record])

    def record(self) -> None:
        self.log.append(PLACE, b"{}", b"{}", timestamp=1)

    def notify(self, rows: int) -> None:
        scanned = {"scanned_collection": TABLE, "total_rows_scanned": str(rows), "status": "SUCCEEDED" if rows else "EMPTY"}
        for kind, details in (("TABLE_SCAN_COMPLETED", scanned), ("COMPLETED", {})):
            value = {"aggregate_type": "Initial Snapshot", "type": kind, "additional_data": details, "timestamp": 1_000_000}
            self.log.append(TopicPartition(NOTICES, 0), b"{}", orjson.dumps(value), timestamp=1)


async def ended(chain: Chain, end: int) -> None:
    value = {"proof": "snapshot-last-row", "topic_id": "id-1", "ends": {"0": end}}
    await chain.state.record_facts({("index things", "snapshot end"): value})


async def test_a_healthy_chain_leaves_facts_and_no_finding() -> None:
    """The second look compares with the first."""
    chain = Chain()
    await ended(chain, 0)
    await chain.acknowledge(0)
    assert await chain.look() == []
    assert (await chain.state.recorded_facts())["table public.things", "oid"] == 7
    assert await chain.look() == []


async def test_a_condition_goes_when_it_is_gone_and_a_loss_stays() -> None:
    """The slot is back, what it lost is not."""
    chain = Chain()
    await chain.look()
    chain.source.answer = replace(SOURCE, slot=None)
    assert await chain.look() == [("slot-missing", "app_slot"), ("changes-lost", "things")]
    chain.source.answer = SOURCE
    assert await chain.look() == [("changes-lost", "things")]


async def test_a_loss_is_renewed_while_it_lasts() -> None:
    """A proof that began before the slot was back proves nothing."""
    chain = Chain()
    await chain.look()
    chain.source.answer = replace(SOURCE, slot=None)
    await chain.look()
    await chain.look()
    [lost] = [finding for finding in await chain.state.findings() if finding.kind == "changes-lost"]
    assert lost.last_seen == chain.clock.moment


async def test_a_part_that_does_not_answer_is_no_verdict_and_a_finding_when_it_stays_so() -> None:
    """Two looks without Connect are a restart. Meanwhile nothing of it is cleared."""
    chain = Chain()
    chain.connector.answer = replace(RUNS, running=False)
    assert await chain.look() == [("connector-down", "app")]
    chain.connector.answer = ConnectUnavailable("Kafka Connect does not answer")
    assert await chain.look() == [("connector-down", "app")]
    await chain.look()
    assert await chain.look() == [("connector-down", "app"), ("watch-blind", "Kafka Connect")]
    chain.connector.answer = RUNS
    assert await chain.look() == []


async def test_one_part_that_is_down_hides_nothing_of_the_others() -> None:
    """PostgreSQL is away; the topic still forgets."""
    chain = Chain()
    chain.source.answer = SourceUnavailable("PostgreSQL does not answer")
    chain.topics.answer = {TOPIC: replace(KEPT, cleanup_policy="compact")}
    assert await chain.look() == [("topic-loses", TOPIC)]


async def test_what_stops_an_index_is_not_found_again_once_somebody_accepted_it() -> None:
    """Word for word: else the index would stop again a minute later, for ever."""
    chain = Chain()
    chain.declare(key=("name",))
    assert ("key-changed", "things") in await chain.look()
    await chain.state.clear_finding("key-changed", "things", by="ops: meant so")
    assert ("key-changed", "things") not in await chain.look()


async def test_an_index_is_filled_once_the_snapshots_last_row_is_acknowledged() -> None:
    """Not before, and not while the connector may still begin the snapshot anew."""
    chain = Chain()
    await ended(chain, 3)
    await chain.acknowledge(2)
    await chain.look()
    assert await chain.state.fills() == {}
    await chain.acknowledge(3)
    chain.connector.answer = replace(RUNS, snapshotting=True)
    await chain.look()
    assert await chain.state.fills() == {}
    chain.connector.answer = RUNS
    assert await chain.look() == []
    fill = (await chain.state.fills())["things"]
    assert (fill.proof, fill.created_at, fill.declaration, fill.ends) == (FillProof.LAST_ROW, "2026-01-01", "d1", {0: 3})
    assert fill.columns


@pytest.mark.parametrize("rows", [0, 1])
async def test_an_empty_table_is_filled_when_debezium_says_that_it_scanned_it(rows: int) -> None:
    """No record could carry a mark; nor does the single row of a snapshot's first table."""
    chain = Chain()
    await chain.acknowledge(0)
    chain.notify(rows)
    for _ in range(3):
        assert await chain.look() == []
    assert (await chain.state.fills())["things"].proof is FillProof.NOTIFICATION


async def test_a_table_without_a_snapshot_was_never_filled() -> None:
    """It joined the connector later: Debezium streams its changes and never sends the rows that it has."""
    chain = Chain()
    chain.record()
    await chain.acknowledge(0)
    assert await chain.look() == []
    assert await chain.look() == []
    await chain.acknowledge(1)
    assert await chain.look() == [("never-filled", "things")]
    assert await chain.state.fills() == {}


async def test_an_index_declared_after_the_scan_is_not_filled_by_it() -> None:
    """Its rows were read before it was there; that was told when it was first seen."""
    chain = Chain()
    chain.notify(5)
    await chain.acknowledge(0)
    await chain.state.add_finding(Finding("never-filled", "things", "e", "d", "r", False, 2000.0, 2000.0))
    for _ in range(3):
        await chain.look()
    assert await chain.state.fills() == {}


async def test_documents_of_an_older_declaration_are_counted_until_the_next_fill() -> None:
    """The worker goes on; how many may be older is an upper bound, and the gauge says it."""
    chain = Chain()
    await ended(chain, 0)
    await chain.acknowledge(0)
    await chain.look()
    assert chain.gauges.values["documents_of_older_declaration", "things"] == 0
    chain.declare("d2")
    chain.sink.documents = SinkUnavailable("away")
    assert await chain.look() == []
    chain.sink.documents = 42
    assert await chain.look() == [("older-declaration", "things")]
    chain.sink.documents = 50
    await chain.look()
    assert (await chain.state.fills())["things"].older_documents == 42
    assert chain.gauges.values["documents_of_older_declaration", "things"] == 42


async def test_a_state_database_that_is_away_ends_nothing() -> None:
    """The next look tries again."""
    chain = Chain()

    async def away() -> Mapping[tuple[str, str], Any]:
        raise SourceUnavailable("away")

    chain.state.recorded_facts = away  # type: ignore[method-assign]
    await chain.look()


async def test_a_condition_that_may_go_by_itself_is_looked_at_again_soon() -> None:
    """A connector that is back is not called down for another minute; a quiet chain is looked at once a minute."""
    chain = Chain()
    looks: list[float] = []
    chain.connector.answer = None

    async def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            chain.connector.answer = RUNS
        if len(looks) == 4:
            raise StopAsyncIteration

    chain.clock.sleep = sleep  # type: ignore[method-assign]
    with pytest.raises((StopAsyncIteration, RuntimeError)):
        await chain.watcher.run()
    assert looks == [60.0, 5.0, 60.0, 60.0]
    assert await chain.state.findings() == []


async def test_an_index_made_anew_is_not_filled_by_what_filled_the_old_one() -> None:
    """Its documents are gone; the next snapshot's end proves the new one."""
    chain = Chain()
    await ended(chain, 0)
    await chain.acknowledge(0)
    await chain.look()
    await chain.state.save_progress([], [IndexRecord("things", "things", "2027-07-07", "id", None, None)])
    await ended(chain, 0)
    await chain.look()
    assert (await chain.state.fills())["things"].created_at == "2027-07-07"
