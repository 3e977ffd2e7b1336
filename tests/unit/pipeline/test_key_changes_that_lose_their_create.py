"""A restart of the connector between the delete and the create of a key change loses the create (Debezium 3.7.0)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Any

import orjson
import pytest

from sync_worker.change.model import TopicPartition
from sync_worker.change.partitioner import partition_of
from sync_worker.ports import MovedRow
from sync_worker.testing.memory import envelope

from .world import PLACE, TABLE, TOPIC, World


class Key:
    """The records that Debezium writes for one row whose key changes, and the row in the source."""

    def __init__(self, world: World, old: int, new: int, run: str = "run-1", **row: Any) -> None:
        self.world, self.old, self.new, self.run = world, old, new, run
        self.row = {"id": new, "name": None, "n": None} | row
        world.source.tables[TABLE].pop((old,), None)
        world.source.tables[TABLE][(new,)] = dict(self.row)

    def gone(self, place: TopicPartition = PLACE) -> None:
        now = int(time.time() * 1000)
        headers = [("__debezium.newkey", orjson.dumps({"id": self.new})), self._run]
        value = envelope(TABLE, "d", before={"id": self.old}, source_ms=now)
        self.world.log.append(place, orjson.dumps({"id": self.old}), value, timestamp=now, headers=headers)
        self.world.log.append(place, orjson.dumps({"id": self.old}), None, timestamp=now)

    def come(self) -> None:
        now = int(time.time() * 1000)
        headers = [("__debezium.oldkey", orjson.dumps({"id": self.old})), self._run]
        value = envelope(TABLE, "c", row=self.row, source_ms=now)
        self.world.log.append(PLACE, orjson.dumps({"id": self.new}), value, timestamp=now, headers=headers)

    @property
    def _run(self) -> tuple[str, bytes]:
        return "__debezium.context.runId", self.run.encode()


def other(world: World, key: int, run: str) -> None:
    """A change of another row, written by this run of the connector."""
    now = int(time.time() * 1000)
    row = {"id": key, "name": "other", "n": 0}
    world.source.tables[TABLE][(key,)] = row
    value = envelope(TABLE, "c", row=row, source_ms=now)
    headers = [("__debezium.context.runId", run.encode())]
    world.log.append(PLACE, orjson.dumps({"id": key}), value, timestamp=now, headers=headers)


async def test_the_row_is_there_although_its_create_never_comes(world: World) -> None:
    """And the document of the old key is gone; the numbers tell of it once the connector runs again."""
    worker = await world.start()
    world.change("c", 1, name="one", n=1)
    await worker.deliver()
    Key(world, 1, 11, name="one", n=1).gone()
    await worker.deliver()
    await world.acknowledged(3)
    assert {key: document["name"] for key, document in world.documents().items()} == {"11": "one"}

    other(world, 5, "run-2")
    await worker.deliver()
    await world.acknowledged(4)
    assert set(world.documents()) == {"11", "5"}
    assert worker.numbers.total("promises_broken") == 1


async def test_a_create_in_the_same_fetch_costs_no_reading(world: World) -> None:
    """Nearly all come so."""
    worker = await world.start()
    world.change("c", 1, name="one", n=1)
    await worker.deliver()
    change = Key(world, 1, 11, name="one", n=1)
    change.gone()
    change.come()
    # What the source says about the new key is not asked for: nothing of it reaches the index.
    world.source.tables[TABLE][(11,)] = change.row | {"name": "newer"}
    await worker.deliver()
    await world.acknowledged(4)
    assert world.documents()["11"]["name"] == "one"
    assert worker.numbers.total("promises_kept") == 1


async def test_a_create_that_comes_with_the_next_fetch_has_the_last_word(world: World) -> None:
    """The row that was read has its place where the delete has: all that follows in the log is newer."""
    worker = await world.start()
    change = Key(world, 1, 11, name="one", n=1)
    change.gone()
    await worker.deliver()
    await world.acknowledged(2)
    change.come()
    world.change("u", 11, name="changed", n=2)
    await worker.deliver()
    await world.acknowledged(4)
    assert world.documents()["11"]["name"] == "changed"
    assert (worker.numbers.total("promises_kept"), worker.numbers.total("promises_broken")) == (1, 0)


async def test_a_row_that_is_gone_again_does_not_come_back(world: World) -> None:
    """The source is asked, not the promise believed."""
    worker = await world.start()
    world.change("c", 11, name="older", n=0)
    await worker.deliver()
    Key(world, 1, 11, name="one", n=1).gone()
    del world.source.tables[TABLE][(11,)]
    await worker.deliver()
    await world.acknowledged(3)
    assert world.documents() == {}


async def test_a_worker_that_dies_before_its_acknowledgement_leaves_nothing_open(world: World) -> None:
    """The delete is read again, and with it the row is."""
    first = await world.start()
    await world.until(first.pipeline.health.ready, "prepared")
    Key(world, 1, 11, name="one", n=1).gone()
    await first.deliver()
    await first.die()
    world.workers.remove(first)
    assert PLACE not in world.log.offsets
    second = await world.worker("w2")
    await second.assign(2)
    await second.deliver()
    await world.acknowledged(2)
    assert {key: document["name"] for key, document in world.documents().items()} == {"11": "one"}


async def test_a_chain_of_key_changes_that_lost_all_its_creates(world: World) -> None:
    """1 became 2, and 2 became 3: only the row that is there is shown."""
    worker = await world.start()
    world.change("c", 1, name="one", n=1)
    await worker.deliver()
    Key(world, 1, 2, name="one", n=1).gone()
    Key(world, 2, 3, name="one", n=1).gone()
    await worker.deliver()
    await world.acknowledged(5)
    assert {key: document["name"] for key, document in world.documents().items()} == {"3": "one"}


def key_in(partition: int, after: int) -> int:
    """The next key that Kafka's producers give to this partition of two."""
    return next(key for key in range(after + 1, after + 1_000) if partition_of(orjson.dumps({"id": key}), 2) == partition)


async def test_a_row_that_moved_to_another_workers_partition_is_read_by_its_owner(world: World) -> None:
    """He alone knows what of the row is on its way. The request outlives the acknowledgement of the delete."""
    here, there = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)
    old, new = key_in(0, 0), key_in(1, 0)
    first = await world.start(partitions=2)
    await world.until(first.pipeline.health.ready, "prepared")
    await first.assign(2, [here])
    world.change("c", old, place=here, name="one", n=1)
    await first.deliver(here)
    Key(world, old, new, name="one", n=1).gone(here)
    await first.deliver(here)
    await world.acknowledged(3, here)
    assert world.documents() == {}, "it is not the first worker's to write"

    second = await world.worker("w2")
    await second.assign(2, [there])
    await world.until(lambda: str(new) in world.documents(), "the row is read by the owner of its partition")
    assert world.documents()[str(new)]["name"] == "one"
    end = time.monotonic() + 10
    while await world.state.moved_rows([there]):
        assert time.monotonic() < end, "the request is closed once it is applied"
        await asyncio.sleep(0.01)


async def test_a_create_that_went_first_in_the_other_partition_is_not_undone(world: World) -> None:
    """What was taken there is older than the row that is read under the partition's lock, or the same."""
    here, there = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)
    old, new = key_in(0, 0), key_in(1, 0)
    worker = await world.start(partitions=2)
    await world.until(worker.pipeline.health.ready, "prepared")
    Key(world, old, new, name="one", n=1).gone(here)
    world.change("c", new, place=there, name="one", n=1)
    world.change("u", new, place=there, name="newest", n=2)
    await worker.deliver(there)
    await worker.deliver(here)
    await world.acknowledged(2, here)
    end = time.monotonic() + 10
    while await world.state.moved_rows([there]):
        assert time.monotonic() < end, "the request is closed once it is applied"
        await asyncio.sleep(0.01)
    assert {key: document["name"] for key, document in world.documents().items()} == {str(new): "newest"}


async def test_a_row_that_moved_and_becomes_no_document_is_recorded_under_its_own_key(world: World) -> None:
    """Not where the delete of the old key lies: that record did not fail, and a retry of it would write another document."""
    here, there = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)
    old, new = key_in(0, 0), key_in(1, 0)
    worker = await world.start(partitions=2)
    await world.until(worker.pipeline.health.ready, "prepared")
    Key(world, old, new, name="one", n="no integer").gone(here)
    await worker.deliver(here)
    end = time.monotonic() + 10
    while not (works := await world.state.failed_work()):
        assert time.monotonic() < end, "the refusal is recorded"
        await asyncio.sleep(0.01)
    (work,) = works
    failure = work.failure
    assert (failure.document_id, failure.partition, failure.request) == (str(new), there, orjson.dumps({"id": new}).decode())
    assert failure.offset == -1, "nothing was taken there before"
    assert work.reference is not None
    ((_, letter),) = (await world.dead_letters.read([work.reference])).values()
    assert letter.key == orjson.dumps({"id": new})

    world.source.tables[TABLE][(new,)]["n"] = 1
    await world.state.ask_retry(work.id, from_source=False, by="tester")
    await world.until(lambda: str(new) in world.documents(), "the retried row")
    while (await world.state.failed_work(ids=[work.id]))[0].status.value != "resolved":
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("from_source", [False, True])
async def test_a_row_that_is_refused_can_be_tried_again(world: World, from_source: bool) -> None:
    """Its failure lies where the delete of the old key is; a retry must write the new key's document, not the old one's."""
    worker = await world.start()
    world.change("c", 1, name="one", n=1)
    await worker.deliver()
    world.poison("11")
    Key(world, 1, 11, name="one", n=1).gone()
    await worker.deliver()
    await world.acknowledged(3)
    [work] = await world.state.failed_work()
    assert (work.failure.document_id, world.documents()) == ("11", {})

    world.poison()
    await world.state.ask_retry(work.id, from_source=from_source, by="tester")
    await world.until(lambda: "11" in world.documents(), "the retried row")
    end = time.monotonic() + 10
    while (await world.state.failed_work(ids=[work.id]))[0].status.value != "resolved":
        assert time.monotonic() < end
        await asyncio.sleep(0.01)
    assert set(world.documents()) == {"11"}


async def test_a_partition_that_changes_hands_while_requests_are_read_ends_nothing(world: World) -> None:
    """The worker gets it back in another generation, which is not prepared yet: the request waits for that."""
    here, there = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)
    worker = await world.start(partitions=2)
    await world.until(worker.pipeline.health.ready, "prepared")
    real = world.state.moved_rows
    again: list[Sequence[MovedRow]] = []

    async def moved_rows(places: Collection[TopicPartition]) -> Sequence[MovedRow]:
        rows = await real(places)
        if rows and not again:
            again.append(rows)
            await worker.assign(2, [here, there])
        return rows

    world.state.moved_rows = moved_rows  # type: ignore[method-assign]
    old, new = key_in(0, 0), key_in(1, 0)
    Key(world, old, new, name="one", n=1).gone(here)
    await worker.deliver(here)
    await world.until(lambda: again, "the requests are read")
    # Whatever was not acknowledged before is delivered once more, and nothing goes out while that replay lacks.
    await worker.deliver(here)
    await world.until(lambda: str(new) in world.documents(), "the moved row")
