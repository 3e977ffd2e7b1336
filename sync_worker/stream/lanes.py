"""One lane per partition between the agent and the intake, so that a held partition does not stop the others."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sync_worker.change.model import TopicPartition
from sync_worker.ports import Chunk, Intake

log = logging.getLogger(__name__)

_CANCEL_GRACE_S = 1.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """A chunk on its way from the consumer's thread to its lane.

    Attributes:
        start: the offset that reading was at; equals `next_offset` of the delivery before, or something was skipped.
        size: bytes of keys and values.
    """

    chunk: Chunk
    start: int
    size: int


class _Lane:
    """Chunks of one partition in order, handed over one at a time."""

    def __init__(self, room_bytes: int, on_room: Callable[[], None]) -> None:
        self.waiting_bytes = 0
        self.waiting_records = 0
        self._room_bytes = room_bytes
        self._on_room = on_room
        self._deliveries: deque[Delivery] = deque()
        self._arrived = asyncio.Event()

    @property
    def has_room(self) -> bool:
        return self.waiting_bytes < self._room_bytes

    def put(self, delivery: Delivery) -> None:
        self._deliveries.append(delivery)
        self.waiting_bytes += delivery.size
        self.waiting_records += len(delivery.chunk.records)
        self._arrived.set()

    async def run(self, intake: Intake) -> None:
        while True:
            while not self._deliveries:
                self._arrived.clear()
                await self._arrived.wait()
            delivery = self._deliveries.popleft()
            # Counted until it is taken: a chunk that the intake does not accept yet is memory all the same.
            await intake.take(delivery.chunk)
            had_room = self.has_room
            self.waiting_bytes -= delivery.size
            self.waiting_records -= len(delivery.chunk.records)
            if self.has_room and not had_room:
                self._on_room()


class Lanes:
    """The lanes of one generation.

    Args:
        buffer_bytes: shared by all lanes in equal parts.
        on_room: called when a lane that was full may be fetched for again.
        on_failure: called with what escaped from `Intake.take`.
    """

    def __init__(
        self,
        intake: Intake,
        buffer_bytes: int,
        *,
        on_room: Callable[[], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._intake = intake
        self._buffer_bytes = buffer_bytes
        self._on_room = on_room
        self._on_failure = on_failure
        self._lanes: dict[TopicPartition, _Lane] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def open(self, partitions: Iterable[TopicPartition]) -> None:
        partitions = sorted(partitions)
        lanes = {p: _Lane(self._buffer_bytes // len(partitions), self._on_room) for p in partitions}
        self._tasks = [
            asyncio.create_task(self._run(lane), name=f"lane {partition.topic}/{partition.partition}")
            for partition, lane in lanes.items()
        ]
        self._lanes = lanes

    async def _run(self, lane: _Lane) -> None:
        try:
            await lane.run(self._intake)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._on_failure(error)

    async def close(self) -> None:
        """Drop what was not taken (it is not acknowledged, so it comes again) and break off a `take` that waits."""
        tasks, self._tasks, self._lanes = self._tasks, [], {}
        for task in tasks:
            task.cancel()
        if tasks:
            _, stubborn = await asyncio.wait(tasks, timeout=_CANCEL_GRACE_S)
            for task in stubborn:
                log.error("%s: take() ignores its cancellation; going on without it", task.get_name())

    def put(self, delivery: Delivery) -> None:
        self._lanes[delivery.chunk.partition].put(delivery)

    def with_room(self) -> frozenset[TopicPartition]:
        """Partitions that may be fetched for. Read by the consumer's thread."""
        return frozenset(partition for partition, lane in self._lanes.items() if lane.has_room)

    def waiting_records(self, partition: TopicPartition) -> int:
        lane = self._lanes.get(partition)
        return 0 if lane is None else lane.waiting_records
