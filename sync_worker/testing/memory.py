"""Kafka, the source and the group in memory, for tests of the pipeline: the same ports, under the test's control."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from sync_worker.change.model import Record, Row, StoredRecord, TopicPartition
from sync_worker.errors import SourceUnavailable, SyncWorkerError
from sync_worker.failure.model import Failure, PayloadReference
from sync_worker.ports import Chunk


@dataclass
class MemoryLog:
    """Topics with their records, ids and committed offsets. Implements `ports.Log`.

    Attributes:
        fault: raised by every method while set.
    """

    partitions: dict[TopicPartition, list[Record]] = field(default_factory=lambda: defaultdict(list))
    ids: dict[str, str] = field(default_factory=dict)
    starts: dict[TopicPartition, int] = field(default_factory=dict)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    fault: SyncWorkerError | None = None

    def create(self, topic: str, partitions: int = 1, topic_id: str = "id-1") -> None:
        self.ids[topic] = topic_id
        for number in range(partitions):
            self.partitions[TopicPartition(topic, number)] = []

    def append(
        self,
        place: TopicPartition,
        key: bytes | None,
        value: bytes | None,
        *,
        timestamp: int,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> int:
        """The offset of the new record."""
        records = self.partitions[place]
        offset = self.end(place)
        records.append(StoredRecord(place.topic, place.partition, offset, timestamp, key, value, headers))
        return offset

    def end(self, place: TopicPartition) -> int:
        records = self.partitions[place]
        return records[-1].offset + 1 if records else self.starts.get(place, 0)

    def _check(self) -> None:
        if self.fault is not None:
            raise self.fault

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        self._check()
        return {topic: self.ids[topic] for topic in topics if topic in self.ids}

    async def partition_counts(self, topics: Collection[str]) -> Mapping[str, int]:
        self._check()
        return {topic: sum(place.topic == topic for place in self.partitions) for topic in topics if topic in self.ids}

    async def bounds(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, tuple[int, int]]:
        self._check()
        return {place: (self.starts.get(place, 0), self.end(place)) for place in partitions}

    async def committed(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        self._check()
        return {place: self.offsets.get(place) for place in partitions}

    async def read(self, partition: TopicPartition, start: int, end: int) -> AsyncIterator[Sequence[Record]]:
        self._check()
        first = max(start, self.starts.get(partition, 0))
        yield [record for record in self.partitions[partition] if first <= record.offset < end]


@dataclass
class MemoryDeadLetters:
    """Keeps what is published. Implements `ports.DeadLetters`."""

    letters: list[tuple[Failure, Record]] = field(default_factory=list)
    fault: SyncWorkerError | None = None

    async def publish(self, failures: Sequence[tuple[Failure, Record]]) -> Sequence[PayloadReference]:
        if self.fault is not None:
            raise self.fault
        first = len(self.letters)
        self.letters.extend(failures)
        return [PayloadReference("dead-letters", 0, first + number) for number in range(len(failures))]

    async def read(self, references: Collection[PayloadReference]) -> Mapping[PayloadReference, tuple[Failure, Record]]:
        if self.fault is not None:
            raise self.fault
        return {reference: self.letters[reference.offset] for reference in references if reference.offset < len(self.letters)}


@dataclass
class MemorySource:
    """Tables as dictionaries: table → key values → row. Implements `ports.Source`.

    Attributes:
        unseen: transactions that are in the log and that no other session sees yet.
    """

    tables: dict[str, dict[tuple[Any, ...], Row]] = field(default_factory=lambda: defaultdict(dict))
    fault: SyncWorkerError | None = None
    unseen: set[int] = field(default_factory=set)

    async def rows(
        self, table: str, key_columns: Sequence[str], keys: Sequence[Mapping[str, Any]], *, after: Collection[int] = ()
    ) -> Sequence[Row | None]:
        if unseen := self.unseen.intersection(after):
            raise SourceUnavailable(f"transactions {unseen} are not visible")
        if self.fault is not None:
            raise self.fault
        return [self.tables[table].get(tuple(key[column] for column in key_columns)) for key in keys]


@dataclass
class MemoryGroup:
    """The group as one worker sees it, over a MemoryLog. Implements `ports.Membership`.

    Attributes:
        stale: the worker does not know yet that it lost its partitions.
    """

    log: MemoryLog
    owned: dict[TopicPartition, int] = field(default_factory=dict)
    delivered: dict[TopicPartition, int] = field(default_factory=dict)

    def owns(self, partition: TopicPartition, generation: int) -> bool:
        return self.owned.get(partition) == generation

    def acknowledge(self, partition: TopicPartition, generation: int, next_offset: int) -> None:
        if self.owns(partition, generation):
            if next_offset > self.delivered[partition]:
                raise ValueError(f"{partition}: {next_offset} was not delivered")
            self.log.offsets[partition] = next_offset

    def backlog(self, partition: TopicPartition) -> int | None:
        return max(0, self.log.end(partition) - self.delivered.get(partition, 0))

    def assign(self, partitions: Collection[TopicPartition], generation: int) -> None:
        """What the group does at a rebalance: reading starts at the committed offsets."""
        self.owned = dict.fromkeys(partitions, generation)
        for place in partitions:
            self.delivered[place] = self.log.offsets.get(place, self.log.starts.get(place, 0))

    def fetch(self, partition: TopicPartition, most: int = 1_000_000) -> Chunk | None:
        """The next chunk, None where there is nothing new."""
        first = self.delivered[partition]
        records = [record for record in self.log.partitions[partition] if record.offset >= first][:most]
        if not records:
            return None
        self.delivered[partition] = records[-1].offset + 1
        return Chunk(partition, self.owned[partition], records, records[-1].offset + 1)


def envelope(
    table: str,
    operation: str,
    *,
    row: Row | None = None,
    before: Row | None = None,
    source_ms: int,
    snapshot: str | None = None,
    transaction: int | None = None,
) -> bytes:
    """A Debezium event, as the connector template makes it (a captured one, with the parts that nobody reads left out)."""
    schema, name = table.split(".")
    source = {"connector": "postgresql", "ts_ms": source_ms, "schema": schema, "table": name, "snapshot": snapshot}
    if transaction is not None:
        source["txId"] = transaction
    return orjson.dumps({"before": before, "after": row, "source": source, "op": operation, "ts_ms": source_ms})
