"""Reading and committing on the aiokafka consumer, all of it on the loop of the consumer's thread.

Nothing here suspends between looking at the assignment and taking its records: a record is drained only while its
generation is current, and carries that generation with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from aiokafka.structs import OffsetAndMetadata
from aiokafka.structs import TopicPartition as KafkaPartition

from sync_worker.change.model import TopicPartition
from sync_worker.errors import LogUnavailable
from sync_worker.ports import Chunk
from sync_worker.stream.client import create_consumer
from sync_worker.stream.lanes import Delivery
from sync_worker.stream.settings import StreamSettings
from sync_worker.stream.waiting import StreamEndedError

log = logging.getLogger(__name__)

_READ_WAIT_S = 1.0
_RETRY_S = 0.2

_KEY, _VALUE = attrgetter("key"), attrgetter("value")


class PartitionReader:
    """One aiokafka consumer.

    Args:
        with_room: the partitions that may be read now.
    """

    def __init__(self, settings: StreamSettings, with_room: Callable[[], frozenset[TopicPartition]]) -> None:
        self._settings = settings
        self._with_room = with_room
        self.gate: int | None = None
        self._awake = asyncio.Event()
        self._next: dict[TopicPartition, int] = {}
        self.consumer = create_consumer(settings)

    async def start(self) -> None:
        """Raises LogUnavailable when no broker answers."""
        try:
            await self.consumer.start()
        except (KafkaError, OSError) as error:
            raise LogUnavailable(f"Kafka does not answer at {', '.join(self._settings.bootstrap_servers)}: {error}") from error

    async def stop(self) -> None:
        await self.consumer.stop()

    # -- the gate: open while one generation may be read

    def open_gate(self, generation: int) -> None:
        if self._coordinator.generation == generation and not self._subscription.reassignment_in_progress:
            self.gate = generation
            self.wake()

    def close_gate(self) -> None:
        self.gate = None
        self.wake()

    def wake(self) -> None:
        self._awake.set()

    # -- what is known; these are read from the worker's loop

    @property
    def generation(self) -> int | None:
        """The group's own word, None while it has none for us."""
        coordinator = self._coordinator
        if coordinator is None or coordinator._coordination_task.done() or coordinator.generation < 0:
            return None
        return int(coordinator.generation)

    def ended(self) -> StreamEndedError | None:
        """A background task of aiokafka that is over although it should run for ever."""
        consumer = self.consumer
        tasks = {
            "group coordination": consumer._coordinator._coordination_task,
            "fetching": consumer._fetcher._fetch_task,
            "metadata": consumer._client._sync_task,
        }
        for name, task in tasks.items():
            if task.done():
                cause = "cancelled" if task.cancelled() else repr(task.exception())
                return StreamEndedError(f"aiokafka's task for {name} ended: {cause}")
        return None

    def missing_topics(self) -> frozenset[str]:
        cluster = self.consumer._client.cluster
        return frozenset(topic for topic in self._settings.topics if not cluster.partitions_for_topic(topic))

    def behind(self, partition: TopicPartition) -> int | None:
        """Offsets between what was read and the last stable offset of the last answer."""
        state = self._state(partition)
        if state is None or state.lso is None or not state.has_valid_position:
            return None
        return max(0, int(state.lso) - int(state.position))

    def position(self, partition: TopicPartition) -> int | None:
        """The offset that is read next; None while the partition is not assigned or not positioned."""
        state = self._state(partition)
        return int(state.position) if state is not None and state.has_valid_position else None

    def _state(self, partition: TopicPartition) -> Any:
        subscription = self._subscription.subscription
        if subscription is None or subscription.assignment is None:
            return None
        return subscription.assignment.state_value(KafkaPartition(*partition))

    @property
    def _coordinator(self) -> Any:
        return self.consumer._coordinator

    @property
    def _subscription(self) -> Any:
        return self.consumer._subscription

    # -- reading

    async def find_start(self, generation: int) -> Mapping[TopicPartition, int] | None:
        """Seek every assigned partition to its committed offset, or to the start of the log where there is none.

        A committed offset outside the log also starts at the log's start, and is reported: aiokafka would do it without
        a word. None when the generation ended meanwhile. Tries again for as long as the broker does not answer.
        """
        while self._coordinator.generation == generation and not self._subscription.reassignment_in_progress:
            assigned = list(self._subscription.assigned_partitions())
            try:
                committed = await self._coordinator.fetch_committed_offsets(assigned)
                first = await self.consumer.beginning_offsets(assigned)
                end = await self.consumer.end_offsets(assigned)
            except KafkaError as error:
                if not error.retriable:
                    raise
                log.warning("the start positions are not known yet: %r", error)
                await asyncio.sleep(_RETRY_S)
                continue
            if self._coordinator.generation != generation or self._subscription.reassignment_in_progress:
                return None
            starts: dict[TopicPartition, int] = {}
            for tp in assigned:
                start = committed[tp].offset if tp in committed else first[tp]
                if not first[tp] <= start <= end[tp]:
                    log.error(
                        "%s: committed offset %d is outside the log (%d to %d): records were deleted before they were read, or"
                        " the topic was made anew; reading from its start",
                        tp,
                        start,
                        first[tp],
                        end[tp],
                    )
                    start = first[tp]
                self.consumer._fetcher.seek_to(tp, start)
                starts[TopicPartition(tp.topic, tp.partition)] = start
            self._next = dict(starts)
            return starts
        return None

    async def read(self) -> Sequence[Delivery]:
        """Records of partitions with room, after at most a second none.

        Raises:
            StreamEndedError: a background task of aiokafka is over.
            KafkaError: of the coordinator or the fetch; aiokafka stands still until somebody has consumed it.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _READ_WAIT_S
        while True:
            if self.consumer._closed:
                raise ConsumerStoppedError
            if (ended := self.ended()) is not None:
                raise ended
            self._coordinator.check_errors()
            self._awake.clear()
            deliveries = await self._drain()
            remaining = deadline - loop.time()
            if deliveries or remaining <= 0:
                return deliveries
            arrived = self.consumer._fetcher._create_fetch_waiter()
            woken = asyncio.ensure_future(self._awake.wait())
            await asyncio.wait({arrived, woken}, timeout=remaining, return_when=asyncio.FIRST_COMPLETED)
            woken.cancel()
            if arrived.done():
                arrived.result()
            else:
                arrived.cancel()

    async def _drain(self) -> Sequence[Delivery]:
        generation = self.gate
        if generation is None or self._coordinator.generation != generation or self._subscription.reassignment_in_progress:
            return ()
        open_partitions = {KafkaPartition(*partition) for partition in self._with_room()}
        if not open_partitions:  # aiokafka takes an empty set for "all"
            return ()
        # With a time-out of zero this does not suspend, so all of it belongs to the generation looked at above.
        drained = await self.consumer._fetcher.fetched_records(
            open_partitions, timeout=0, max_records=self._settings.chunk_records
        )
        deliveries: list[Delivery] = []
        for tp, records in drained.items():
            partition = TopicPartition(tp.topic, tp.partition)
            position = self._state(partition).position
            deliveries += split(
                partition, generation, records, self._next[partition], position, max_bytes=self._settings.chunk_bytes
            )
            self._next[partition] = position
        return deliveries

    # -- committing, leaving

    async def commit(self, generation: int, offsets: Mapping[TopicPartition, int]) -> bool:
        """Whether the broker took them. False when the group has moved on. Tries again while the broker does not answer.

        aiokafka's own `commit` would send a retried request under the generation of the moment, for partitions that may
        belong to others by then.
        """
        coordinator = self._coordinator
        wanted = {KafkaPartition(*partition): OffsetAndMetadata(offset, "") for partition, offset in offsets.items()}
        while True:
            if coordinator.generation != generation:
                return False
            try:
                await coordinator.ensure_coordinator_known()
                async with coordinator._commit_lock:
                    if coordinator.generation != generation:
                        return False
                    await asyncio.shield(coordinator._do_commit_offsets(None, wanted))
                return True
            except (UnknownMemberIdError, IllegalGenerationError, RebalanceInProgressError) as error:
                log.warning("the group refused a commit: %r", error)
                return False
            except KafkaError as error:
                if not error.retriable:
                    raise
                await asyncio.sleep(_RETRY_S)

    async def leave(self) -> None:
        """Tell the group, so that the others take over at once, and close."""
        task = self._coordinator._coordination_task
        task.cancel()
        await asyncio.wait({task})
        await self._coordinator._maybe_leave_group()
        await self.consumer.stop()


def split(
    partition: TopicPartition, generation: int, records: Sequence[Any], start: int, position: int, *, max_bytes: int
) -> list[Delivery]:
    """Cut what one fetch gave into chunks of at most `max_bytes`; a larger record is alone in its chunk."""
    whole = sum(map(len, filter(None, map(_KEY, records)))) + sum(map(len, filter(None, map(_VALUE, records))))
    if whole <= max_bytes:
        return [Delivery(Chunk(partition, generation, records, position), start, whole)]
    deliveries: list[Delivery] = []
    begin = size = 0
    for i, record in enumerate(records):
        record_size = len(record.key or b"") + len(record.value or b"")
        if size and size + record_size > max_bytes:
            next_offset = records[i - 1].offset + 1
            deliveries.append(Delivery(Chunk(partition, generation, records[begin:i], next_offset), start, size))
            begin, size, start = i, 0, next_offset
        size += record_size
    deliveries.append(Delivery(Chunk(partition, generation, records[begin:], position), start, size))
    return deliveries
