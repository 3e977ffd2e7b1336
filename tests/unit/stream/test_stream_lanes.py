"""Between the agent and the pipeline: one lane for each partition."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from sync_worker.change.model import StoredRecord, TopicPartition
from sync_worker.ports import Chunk
from sync_worker.stream.lanes import Delivery, Lanes
from sync_worker.stream.reader import split

HELD, FREE = TopicPartition("held", 0), TopicPartition("free", 0)


class HoldingIntake:
    """Takes nothing of `held` until it is released."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.taken: list[Chunk] = []
        self.took = asyncio.Condition()

    async def take(self, chunk: Chunk) -> None:
        if chunk.partition == HELD:
            await self.released.wait()
        async with self.took:
            self.taken.append(chunk)
            self.took.notify_all()

    async def has_taken(self, count: int) -> None:
        async with self.took:
            await self.took.wait_for(lambda: len(self.taken) >= count)

    async def start(self) -> None: ...
    async def assigned(self, partitions: Collection[TopicPartition], generation: int) -> None: ...
    async def revoked(self, partitions: Collection[TopicPartition]) -> None: ...
    async def stop(self, *, drain_s: float) -> None: ...


def records(partition: TopicPartition, sizes: Sequence[int], first: int = 0) -> list[StoredRecord]:
    return [StoredRecord(*partition, first + i, 0, None, b"v" * size) for i, size in enumerate(sizes)]


def delivery(partition: TopicPartition, offset: int, size: int = 100) -> Delivery:
    return Delivery(Chunk(partition, 1, records(partition, [size], offset), offset + 1), offset, size)


async def test_a_held_lane_fills_and_leaves_the_others_alone() -> None:
    """Its partition is not fetched until it has room again, and then the fetch is woken."""
    intake, room = HoldingIntake(), asyncio.Event()
    lanes = Lanes(intake, 500, on_room=room.set, on_failure=_fail)
    lanes.open({HELD, FREE})
    for offset in range(3):
        lanes.put(delivery(HELD, offset))
        lanes.put(delivery(FREE, offset))
    await intake.has_taken(3)

    assert lanes.with_room() == {FREE}
    assert lanes.waiting_records(HELD) == 3

    room.clear()
    intake.released.set()
    await intake.has_taken(6)
    await asyncio.wait_for(room.wait(), 1)
    assert lanes.with_room() == {HELD, FREE}
    assert [chunk.next_offset for chunk in intake.taken if chunk.partition == HELD] == [1, 2, 3]
    await lanes.close()


async def test_a_waiting_take_is_broken_off() -> None:
    """A rebalance does not wait for a hold, and nothing of the old generation is taken after it."""
    intake = HoldingIntake()
    lanes = Lanes(intake, 500, on_room=lambda: None, on_failure=_fail)
    lanes.open({HELD})
    lanes.put(delivery(HELD, 0))
    await asyncio.sleep(0)

    await asyncio.wait_for(lanes.close(), 0.5)
    intake.released.set()
    await asyncio.sleep(0)

    assert intake.taken == []
    assert lanes.with_room() == frozenset()


async def test_what_escapes_from_take_is_reported() -> None:
    """It must never end a lane quietly."""
    intake = HoldingIntake()
    failures: asyncio.Queue[BaseException] = asyncio.Queue()
    lanes = Lanes(intake, 500, on_room=lambda: None, on_failure=failures.put_nowait)
    error = ArithmeticError()

    async def broken(chunk: Chunk) -> None:
        raise error

    intake.take = broken  # type: ignore[method-assign]
    lanes.open({FREE})
    lanes.put(delivery(FREE, 0))

    assert await asyncio.wait_for(failures.get(), 1) is error
    await lanes.close()


def test_a_fetch_is_cut_by_bytes_without_a_seam() -> None:
    """Chunks follow each other exactly; a record above the limit is alone; the last one reaches the consumer's position."""
    fetched = records(FREE, [40, 40, 40, 500, 10, 10], first=7)
    fetched.pop(1)  # a hole

    deliveries = split(FREE, 1, fetched, 5, 20, max_bytes=100)

    assert [[record.offset for record in delivery.chunk.records] for delivery in deliveries] == [[7, 9], [10], [11, 12]]
    assert [(delivery.start, delivery.chunk.next_offset) for delivery in deliveries] == [(5, 10), (10, 11), (11, 20)]
    assert [delivery.size for delivery in deliveries] == [80, 500, 20]


def _fail(error: BaseException) -> None:
    raise error
