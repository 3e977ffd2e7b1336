"""A backfill over the real flush cycle: its rows in order with the changes of the same keys, its ghosts removed by the owner."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from random import Random
from typing import Any

import orjson

from sync_worker.adapters.meilisearch.documents import MeilisearchDocuments
from sync_worker.backfill.model import Backfill, Stage
from sync_worker.change.model import TopicPartition
from sync_worker.document.projection import Projector
from sync_worker.failure.findings import FindingKind, found
from sync_worker.operations.backfill.parts import BackfillParts
from sync_worker.operations.backfill.request import Asked, request
from sync_worker.operations.backfill.steward import Steward
from sync_worker.operations.barrier import BarrierReport, Verdict
from sync_worker.operations.barrier import Stage as BarrierStage
from sync_worker.operations.drift import Compared, DriftParts
from sync_worker.testing.memory import envelope
from sync_worker.watch.facts import ConnectorSeen, WatchedIndex

from ..drift.site import Table
from .world import PLACE, TABLE, TOPIC, QuickClock, Worker, World

NOTICES = TopicPartition("app.notifications", 0)


class SourceTable(Table):
    """The world's table, as it is at each look. A row's version is the row itself."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self.refresh()

    def refresh(self) -> None:
        self.held = {key[0]: dict(row) for key, row in self._world.source.tables[TABLE].items()}
        self.versions = {key: hash(str(row)) for key, row in self.held.items()}

    def snapshot(self) -> Any:
        self.refresh()
        return super().snapshot()

    async def now(self, keys: Any) -> Any:
        self.refresh()
        return await super().now(keys)


class Fill:
    """One backfill of the world's table: the connector, the barrier, and the steward of one worker."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.table = SourceTable(world)
        self.documents = MeilisearchDocuments(world.double.url, "masterKey")
        self.signals: list[str] = []
        world.log.create(NOTICES.topic)

    def steward(self, name: str = "w1") -> Steward:
        world, clock = self.world, QuickClock()
        compared = Compared(
            "things", "things", "id", TOPIC, Projector(world.declarations[0]), self.table, self.documents,
            alone=True, filtered=False,
        )  # fmt: skip
        return Steward(
            BackfillParts(
                worker=name,
                state=world.state,
                log=world.log,
                signals=self,
                connector=self,
                barrier=self,
                drift=DriftParts(world.state, self, clock, Random(1)),
                clock=clock,
                notification_topic=NOTICES.topic,
                watched={"things": WatchedIndex(TABLE, TOPIC, ("id",), frozenset({"id"}), "d")},
                compared={"things": compared},
            )
        )

    async def ask(self, *, prune: bool = True) -> Backfill:
        self.table.refresh()
        asked, _ = await request(
            self.world.state,
            self.table,
            Asked("things", TABLE, "", prune, "somebody"),
            QuickClock(),
        )
        return asked

    async def run(self, steward: Steward) -> Backfill:
        """With everything delivered to the workers all the time."""
        async with asyncio.timeout(20):
            while True:
                await self._deliver()
                await steward.round()
                one = (await self.world.state.backfills())[0]
                if one.stage.ended:
                    return one

    async def _deliver(self) -> None:
        for worker in self.world.workers:
            await worker.deliver()

    # The connector

    async def seen(self) -> ConnectorSeen:
        return ConnectorSeen("connector RUNNING, task 0 RUNNING", True, (), 10, False)

    async def scan(self, signal_id: str, table: str, where: str) -> None:
        self.signals.append(signal_id)

    async def pause(self, signal_id: str) -> None:
        raise AssertionError("nobody asked for it")

    resume = pause

    async def stop(self, signal_id: str, table: str) -> None:
        raise AssertionError("nobody asked for it")

    async def restart(self) -> None:
        raise AssertionError("it runs")

    def send(self, rows: Mapping[int, Mapping[str, Any]]) -> None:
        """These rows as they were when they were read."""
        for key, row in rows.items():
            value = envelope(TABLE, "r", row=dict(row), source_ms=1, snapshot="incremental")
            self.world.log.append(PLACE, orjson.dumps({"id": key}), value, timestamp=1)

    def tell(self, kind: str, **details: str) -> None:
        notice = {"id": self.signals[-1], "type": kind, "aggregate_type": "Incremental Snapshot", "additional_data": details}
        self.world.log.append(NOTICES, None, orjson.dumps(notice), timestamp=1)

    def end(self, count: int) -> None:
        self.tell("TABLE_SCAN_COMPLETED", scanned_collection=TABLE, total_rows_scanned=str(count), status="SUCCEEDED")
        self.tell("COMPLETED")

    # The barrier

    async def require(self, indexes: Collection[str] = (), *, strict: bool = True, timeout_s: float) -> BarrierReport:
        await self._deliver()
        await self.world.acknowledged(self.world.log.end(PLACE))
        return BarrierReport(Verdict.PASSED, ("things",), strict, BarrierStage.APPLIED, "0/1", (), (), "", 0.1)


async def started(world: World) -> tuple[Worker, Fill, Steward]:
    worker = await world.start()
    await world.until(worker.pipeline.health.ready, "the partition is prepared")
    await world.state.worker_alive("w1", [PLACE], {})
    fill = Fill(world)
    return worker, fill, fill.steward()


async def plant(worker: Worker, world: World, *documents: Mapping[str, Any]) -> None:
    """Documents that somebody else put there."""
    before = len(world.tasks())
    await worker.sinks[0].write("things", b"\n".join(orjson.dumps(one) for one in documents), metadata="somebody else's")
    await world.until(lambda: len([t for t in world.tasks() if t.status == "succeeded"]) > before, "planted")


async def test_an_index_that_holds_anything_becomes_what_its_table_is(world: World) -> None:
    """Missing, wrong and too many; rows that change and go while the scan is under way; a ghost that comes back."""
    worker, fill, steward = await started(world)
    for key in range(1, 21):
        world.source.tables[TABLE][(key,)] = {"id": key, "name": "as it is", "n": key}
    await plant(worker, world, {"id": 3, "name": "wrong", "n": 0}, {"id": 90, "name": "ghost"}, {"id": 91, "name": "ghost"})
    await world.state.add_finding(found(FindingKind.NEVER_FILLED, "things", "seen", now=1.0))
    await fill.ask()
    while not fill.signals:
        await steward.round()
    read = {key[0]: dict(row) for key, row in world.source.tables[TABLE].items()}
    fill.tell("STARTED")
    fill.send({key: row for key, row in read.items() if key <= 10})
    world.change("u", 5, name="changed after it was read", n=500)
    world.change("d", 6)
    fill.send({key: row for key, row in read.items() if key > 10})
    fill.end(20)
    world.change("c", 91, name="it came back", n=91)
    done = await fill.run(steward)
    assert (done.stage, done.failed, done.ghosts) == (Stage.DONE, 0, 1)
    rows = {str(key[0]): row for key, row in world.source.tables[TABLE].items()}
    assert {key: document["n"] for key, document in world.documents().items()} == {key: row["n"] for key, row in rows.items()}
    assert [one for one in await world.state.findings() if one.kind == "never-filled"] == []
    assert "things" in await world.state.fills()
    await fill.documents.close()


async def test_a_worker_that_dies_in_the_middle_leaves_it_to_the_next(world: World) -> None:
    """Its rows are consumed again from where they were acknowledged, and somebody else's steward goes on."""
    worker, fill, steward = await started(world)
    for key in range(1, 31):
        world.source.tables[TABLE][(key,)] = {"id": key, "name": "as it is", "n": key}
    read = {key[0]: dict(row) for key, row in world.source.tables[TABLE].items()}
    await fill.ask()
    while not fill.signals:
        await steward.round()
    fill.tell("STARTED")
    fill.send({key: row for key, row in read.items() if key <= 15})
    await worker.deliver()
    await worker.die()
    world.workers.remove(worker)
    fill.send({key: row for key, row in read.items() if key > 15})
    fill.end(30)
    second = await world.worker("w2")
    await second.assign(2)
    one = (await world.state.backfills())[0]
    assert not await world.state.hold_backfill(one.id, "w2", 12.0), "the first one's lease is not over"
    assert await world.state.hold_backfill(one.id, "w1", -1.0)
    done = await fill.run(fill.steward("w2"))
    assert (done.stage, len(fill.signals)) == (Stage.DONE, 1)
    assert len(world.documents()) == 30
    await fill.documents.close()


async def test_rows_that_fail_are_counted_and_do_not_keep_it_from_ending(world: World) -> None:
    """They are recorded as every failure is."""
    _, fill, steward = await started(world)
    for key in range(1, 11):
        world.source.tables[TABLE][(key,)] = {"id": key, "name": "as it is", "n": key}
    world.poison("4")
    await fill.ask(prune=False)
    while not fill.signals:
        await steward.round()
    fill.tell("STARTED")
    fill.send({key[0]: dict(row) for key, row in world.source.tables[TABLE].items()})
    fill.end(10)
    done = await fill.run(steward)
    assert (done.stage, done.failed, done.applied) == (Stage.DONE, 1, 10)
    assert [document_id for document_id, _, _ in await world.failures("open")] == ["4"]
    assert len(world.documents()) == 9
    await fill.documents.close()
