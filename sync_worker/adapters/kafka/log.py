"""The port `Log`: Kafka beside the worker's own consumption."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import IsolationLevel
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from sync_worker.adapters.kafka.client import ANSWER_S, Administration
from sync_worker.adapters.kafka.committed import committed_offsets
from sync_worker.adapters.kafka.range_reader import RangeReader
from sync_worker.adapters.kafka.topics import described_topics
from sync_worker.change.model import StoredRecord, TopicPartition
from sync_worker.errors import LogUnavailable

_PATIENCE_S = 30.0
"""Seconds without a record, the end or an error before a reader gives up."""


class KafkaLog:
    """Implements `sync_worker.ports.Log`.

    Every method raises LogUnavailable, or ConfigurationError where the brokers refuse the credentials.

    Args:
        bootstrap: `host:port,…`.
        group: the worker's consumer group; readers take `<group>-read-<random>`, which never joins or commits.
        security: librdkafka's properties.
    """

    def __init__(self, bootstrap: str, group: str, security: Mapping[str, str]) -> None:
        self._bootstrap = bootstrap
        self._group = group
        self._security = dict(security)
        self._admin = Administration(bootstrap, security)

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """Topic → its id (changes when a topic is deleted and made anew). Missing topics are left out, and not created."""
        return {name: str(topic.topic_id) for name, topic in (await described_topics(self._admin, topics)).items()}

    async def partition_counts(self, topics: Collection[str]) -> Mapping[str, int]:
        """Missing topics are left out."""
        return {name: len(topic.partitions) for name, topic in (await described_topics(self._admin, topics)).items()}

    async def bounds(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, tuple[int, int]]:
        """Log start offset and end offset (the next one to be written) of each partition; a missing one is LogUnavailable.

        The end counts records of transactions that are still open. A consumer that reads committed records alone gets there
        only after their end, so a wait for it may last longer than needed, but never ends too early; and an offset that any
        consumer has committed is never above it, which the end of what is committed could not promise.
        """
        starts = await self._offsets(partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        ends = await self._offsets(partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        return {partition: (starts[partition], ends[partition]) for partition in partitions}

    async def ends(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Only the end offsets, as `bounds` gives them."""
        return await self._offsets(partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]

    async def newest_ms(self, partition: TopicPartition) -> int | None:
        """The largest timestamp of a record there, milliseconds since 1970; None where there is none. Reads no record."""
        wanted = {KafkaPartition(*partition): OffsetSpec.max_timestamp()}  # type: ignore[no-untyped-call]
        answers = await self._admin.ask(
            lambda client: client.list_offsets(wanted, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=ANSWER_S),
            "asking for the newest record",
        )
        timestamp: int = next(iter(answers.values())).timestamp
        return timestamp if timestamp >= 0 else None

    async def _offsets(self, partitions: Collection[TopicPartition], place: OffsetSpec) -> Mapping[TopicPartition, int]:
        if not partitions:
            return {}
        wanted = {KafkaPartition(*partition): place for partition in partitions}
        answers = await self._admin.ask(
            lambda client: client.list_offsets(wanted, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=ANSWER_S),
            "reading the bounds of the log",
        )
        return {TopicPartition(partition.topic, partition.partition): answer.offset for partition, answer in answers.items()}

    async def committed(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        """The group's committed offsets; None where it has none, also where the group is unknown."""
        if not partitions:
            return {}
        return await asyncio.to_thread(committed_offsets, self._bootstrap, self._group, self._security, partitions)

    async def read(self, partition: TopicPartition, start: int, end: int) -> AsyncIterator[Sequence[StoredRecord]]:
        """Records with start <= offset < end, in order, in chunks of bounded size. Offsets that are gone are skipped.

        Only committed records, and all of them: where a transaction in the range is still open, what lies behind its start
        can't be read yet, and LogUnavailable says so instead of an end that looks like one. Ends at the partition's end, as it
        is at the call, where `end` lies behind it.
        """
        low, high = (await self.bounds([partition]))[partition]
        start, end = max(start, low), min(end, high)
        if start >= end:
            return
        loop = asyncio.get_running_loop()
        group = f"{self._group}-read-{uuid.uuid4().hex}"
        # One thread, so that closing always waits for the poll before it, also when the caller is cancelled.
        thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-read")
        reader = RangeReader(self._bootstrap, group, self._security, partition, start, end)
        try:
            await loop.run_in_executor(thread, reader.open)
            heard = loop.time()
            while not reader.finished:
                records = await loop.run_in_executor(thread, reader.poll)
                if records:
                    yield records
                    heard = loop.time()
                elif loop.time() - heard > _PATIENCE_S:
                    raise LogUnavailable(
                        f"Kafka gave nothing of {partition.topic}/{partition.partition} from offset {reader.position}"
                        f" for {_PATIENCE_S:.0f} s"
                    )
        finally:
            closed = loop.run_in_executor(thread, reader.close)
            thread.shutdown(wait=False)
            await closed
