"""A steward over a real state database, a log in memory, and a connector that does what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import orjson

from sync_worker.backfill.model import Backfill, Wish
from sync_worker.change.model import TopicPartition
from sync_worker.document.declaration import IndexDeclaration
from sync_worker.document.projection import Projector
from sync_worker.operations.backfill.parts import BackfillParts
from sync_worker.operations.backfill.request import Asked, request
from sync_worker.operations.backfill.steward import Steward
from sync_worker.operations.barrier import BarrierNotPassed, BarrierReport, Stage, Verdict
from sync_worker.operations.drift import Compared, DriftParts
from sync_worker.ports import Bookmark, IndexRecord, WorkerRow
from sync_worker.testing.memory import MemoryLog, envelope
from sync_worker.watch.facts import ConnectorSeen, WatchedIndex

from ..drift.site import State as DriftState
from ..drift.site import Table

TABLE, TOPIC, NOTICES = "public.things", "app.public.things", "app.notifications"
PLACE, NOTICE_PLACE = TopicPartition(TOPIC, 0), TopicPartition(NOTICES, 0)


class Clock:
    """Time passes by sleeping alone."""

    def __init__(self) -> None:
        self.moment = 1_000.0

    def now(self) -> float:
        return self.moment

    def monotonic(self) -> float:
        return self.moment

    async def sleep(self, seconds: float) -> None:
        if seconds == 3.0:  # the lease's renewal, beside a step that takes no time here
            await asyncio.Event().wait()
        self.moment += seconds


class State(DriftState):
    """With the backfills; tests/unit/state holds the real one to the same rules."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(now=clock.now)
        self.rows: dict[int, Backfill] = {}
        self.held_by: dict[int, tuple[str, float]] = {}

    async def add_backfill(self, asked: Backfill) -> Backfill | None:
        if any(one.table == asked.table and one.ended_at is None for one in self.rows.values()):
            return None
        stored = replace(asked, id=len(self.rows) + 1, started_at=self.now())
        self.rows[stored.id] = stored
        return stored

    async def backfills(self, *, running_only: bool = False, limit: int = 100) -> Sequence[Backfill]:
        found = [one for one in self.rows.values() if one.ended_at is None or not running_only]
        return found[::-1][:limit]

    async def backfill(self, backfill_id: int) -> Backfill | None:
        return self.rows.get(backfill_id)

    async def wish_backfill(self, backfill_id: int, wish: Wish) -> bool:
        self.rows[backfill_id] = replace(self.rows[backfill_id], wish=wish)
        return True

    async def hold_backfill(self, backfill_id: int, worker: str, seconds: float) -> bool:
        holder, until = self.held_by.get(backfill_id, ("", 0.0))
        if self.rows[backfill_id].ended_at is not None or (holder != worker and until > self.now()):
            return False
        self.held_by[backfill_id] = (worker, self.now() + seconds)
        return True

    async def save_backfill(self, backfill: Backfill, worker: str) -> bool:
        if self.held_by[backfill.id][0] != worker or self.rows[backfill.id].ended_at is not None:
            return False
        self.rows[backfill.id] = replace(backfill, wish=self.rows[backfill.id].wish)
        return True

    async def failures_within(self, backfill: Backfill, topic: str) -> int:
        return 0

    @property
    def verbs(self) -> list[str]:
        """Of the audit log."""
        return [verb for _, verb, _, _ in self.entries]


class Documents:
    """An index in memory: ids alone. Implements `drift.parts.Documents`."""

    def __init__(self) -> None:
        self.held: set[str] = set()

    async def fetch(self, index_uid: str, id_field: str, document_ids: Sequence[str], *, vectors: bool) -> dict[str, Any]:
        return {one: {"id": int(one), "name": None} for one in document_ids if one in self.held}

    async def present(self, index_uid: str, id_field: str, document_ids: Sequence[str]) -> frozenset[str]:
        return frozenset(self.held & set(document_ids))

    async def ids(self, index_uid: str, id_field: str, *, offset: int, limit: int) -> Sequence[str]:
        return sorted(self.held)[offset : offset + limit]

    async def count(self, index_uid: str) -> int:
        return len(self.held)


RUNNING = ConnectorSeen("connector RUNNING, task 0 RUNNING", True, (), 10, False)


@dataclass
class Debezium:
    """Implements `Signals` and `ConnectorCare`. `obeys` is called with each scan's id: what it does about it.

    Attributes:
        told: signals, newest last.
    """

    obeys: Callable[[str], Any] = lambda _: None
    seen_as: ConnectorSeen | None = RUNNING
    told: list[str] = field(default_factory=list)
    wheres: list[str] = field(default_factory=list)
    restarts: int = 0
    on_restart: Callable[[], Any] = lambda: None

    async def scan(self, signal_id: str, table: str, where: str) -> None:
        self.told.append("scan")
        self.wheres.append(where)
        self.obeys(signal_id)

    async def pause(self, signal_id: str) -> None:
        self.told.append("pause")

    async def resume(self, signal_id: str) -> None:
        self.told.append("resume")

    async def stop(self, signal_id: str, table: str) -> None:
        self.told.append("stop")

    async def seen(self) -> ConnectorSeen | None:
        return self.seen_as

    async def restart(self) -> None:
        self.restarts += 1
        self.on_restart()


class World:
    """One table of `count` rows, its topic and its index.

    Attributes:
        acknowledges: the workers read the topic to its end before each barrier passes.
        acknowledges_documents: and write what they read.
    """

    def __init__(self, count: int = 3) -> None:
        self.clock = Clock()
        self.state = State(self.clock)
        self.workers("w1")
        self.log = MemoryLog()
        self.log.create(TOPIC)
        self.log.create(NOTICES)
        self.table = Table()
        self.documents = Documents()
        self.debezium = Debezium()
        self.debezium.obeys = self.scan
        self.acknowledges = self.acknowledges_documents = True
        self.barriers = 0
        for key in range(1, count + 1):
            self.table.put(key)
        declaration = IndexDeclaration.model_validate(
            {"name": "things", "table": TABLE, "primary_key": "id", "fields": {"name": "text"}, "settings": {}}
        )
        self.watched = {"things": WatchedIndex(TABLE, TOPIC, ("id",), frozenset({"id", "name"}), "declared")}
        self.compared = Compared(
            "things", "things", "id", TOPIC, Projector(declaration), self.table, self.documents, alone=True, filtered=False
        )

    def steward(self, worker: str = "w1") -> Steward:
        """A new process: it knows nothing but what is stored."""
        return Steward(
            BackfillParts(
                worker=worker,
                state=self.state,  # type: ignore[arg-type]
                log=self.log,
                signals=self.debezium,
                connector=self.debezium,
                barrier=self,
                drift=DriftParts(self.state, self, self.clock, Random(1)),  # type: ignore[arg-type]
                clock=self.clock,
                notification_topic=NOTICES,
                watched=self.watched,
                compared={"things": self.compared},
            )
        )

    async def ask(self, where: str = "", *, prune: bool = False) -> Backfill:
        asked, _ = await request(self.state, self.table, Asked("things", TABLE, where, prune, "somebody"), self.clock)  # type: ignore[arg-type]
        return asked

    async def now(self) -> Backfill:
        return (await self.state.backfills())[0]

    async def run(self, steward: Steward, until: Callable[[Backfill], bool] = lambda one: one.stage.ended) -> Backfill:
        """Rounds until it is so."""
        for _ in range(400):
            await self.owner()
            await steward.round()
            if until(one := await self.now()):
                return one
            self.clock.moment += 0.5
        raise AssertionError(f"never so: {await self.now()}")

    def workers(self, *names: str) -> None:
        """Those that are alive."""
        self.state.seen = [WorkerRow(name, 0.0, self.clock.now(), [PLACE], {}, "") for name in names]

    # The connector

    def notice(self, kind: str, signal_id: str, **details: str) -> None:
        value = {
            "id": signal_id,
            "type": kind,
            "aggregate_type": "Incremental Snapshot",
            "timestamp": int(self.clock.moment * 1000),
        }
        self.log.append(NOTICE_PLACE, None, orjson.dumps(value | {"additional_data": details}), timestamp=0)

    def rows(self, *keys: int) -> None:
        for key in keys:
            value = envelope(TABLE, "r", row={"id": key, "name": None}, source_ms=1)
            self.log.append(PLACE, orjson.dumps({"id": key}), value, timestamp=1)

    def scan(self, signal_id: str, *, lose: bool = False, status: str = "SUCCEEDED") -> None:
        """All of it at once, as Debezium does with a small table."""
        keys = sorted(self.table.held)
        self.notice("STARTED", signal_id)
        if not lose:
            self.rows(*keys)
        self.ended(signal_id, len(keys), status)

    def ended(self, signal_id: str, count: int, status: str = "SUCCEEDED") -> None:
        self.notice("TABLE_SCAN_COMPLETED", signal_id, scanned_collection=TABLE, total_rows_scanned=str(count), status=status)
        self.notice("COMPLETED", signal_id)

    # The workers

    async def acknowledge(self) -> None:
        """Everything that is in the log is applied and acknowledged."""
        for record in self.log.partitions[PLACE] if self.acknowledges_documents else ():
            self.documents.held.add(str(orjson.loads(record.key or b"")["id"]))
        await self.state.save_progress(
            [Bookmark(PLACE, self.log.ids[TOPIC], self.log.end(PLACE), {"things": 1}, None)],
            [IndexRecord("things", "things", "2026-01-01T00:00:00Z", "id", None, None)],
        )

    async def owner(self) -> None:
        """The partition's owner does what was asked of it, by the rows as they are."""
        asked = await self.state.asked_rewrites(["things"], [PLACE], limit=1000)
        for one in asked:
            there = one.key is not None and one.key["id"] in self.table.held
            (self.documents.held.add if there else self.documents.held.discard)(one.document_id)
        await self.state.forget_rewrites(asked)

    async def require(self, indexes: Collection[str] = (), *, strict: bool = True, timeout_s: float) -> BarrierReport:
        self.barriers += 1
        if self.acknowledges:
            await self.acknowledge()
        passed = self.acknowledges
        report = BarrierReport(
            Verdict.PASSED if passed else Verdict.BEHIND, tuple(indexes), strict, Stage.APPLIED, "0/1", (), (),
            "" if passed else "the worker is behind", 0.1,
        )  # fmt: skip
        if not passed:
            raise BarrierNotPassed(report)
        return report
