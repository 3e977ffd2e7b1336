"""Partition logs with retention, and a consumer group with generations, a session time-out and commits that may be refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from sync_worker.change.model import Record, StoredRecord, TopicPartition
from sync_worker.testing.simulation import engine

SESSION_S = 6.0
_LOOK_S = 0.5


class OutOfRange(Exception):
    """What is to be read next is not in the log: nothing that was below its start or beyond its end is passed over silently."""


class Beat(Enum):
    """What the coordinator answers to a heartbeat."""

    STABLE = auto()
    REBALANCE = auto()
    UNKNOWN = auto()


@dataclass
class Topic:
    """One topic's identity; a topic that was made anew has another one."""

    name: str
    partitions: int
    id: str = "id-1"


@dataclass
class Broker:
    """The logs. What is read here is true at once; the ports of the workers add delays and faults.

    Attributes:
        starts: first offset that retention left.
        ends: the next offset to be written, whatever retention took.
        offsets: the group's commits.
        arrived: set whenever something was appended.
    """

    topics: dict[str, Topic] = field(default_factory=dict)
    records: dict[TopicPartition, list[Record]] = field(default_factory=dict)
    starts: dict[TopicPartition, int] = field(default_factory=dict)
    ends: dict[TopicPartition, int] = field(default_factory=dict)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    waiting: list[asyncio.Event] = field(default_factory=list)

    def create(self, name: str, partitions: int, topic_id: str = "id-1") -> None:
        self.topics[name] = Topic(name, partitions, topic_id)
        for number in range(partitions):
            place = TopicPartition(name, number)
            self.records[place], self.starts[place], self.ends[place] = [], 0, 0
            self.offsets.pop(place, None)
        self._wake()

    @property
    def places(self) -> list[TopicPartition]:
        return list(self.records)

    def append(
        self, place: TopicPartition, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> int:
        """The offset of the new record."""
        offset = self.ends[place]
        timestamp = 1_700_000_000_000 + int(engine.now() * 1000)
        self.records[place].append(StoredRecord(place.topic, place.partition, offset, timestamp, key, value, headers))
        self.ends[place] = offset + 1
        self._wake()
        return offset

    def _wake(self) -> None:
        for event in self.waiting:
            event.set()

    def retain_from(self, place: TopicPartition, start: int) -> None:
        self.starts[place] = max(self.starts[place], min(start, self.ends[place]))
        self.records[place] = [record for record in self.records[place] if record.offset >= self.starts[place]]
        self._wake()

    def fetch(self, place: TopicPartition, position: int, most: int) -> Sequence[Record]:
        """Raises OutOfRange, as a consumer without a reset policy does."""
        if not self.starts[place] <= position <= self.ends[place]:
            raise OutOfRange(f"{place}: {position} is not in {self.starts[place]} to {self.ends[place]}")
        first = max(0, position - self.starts[place])
        return self.records[place][first : first + most]

    # What `ports.Log` asks

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        return {name: self.topics[name].id for name in topics if name in self.topics}

    async def partition_counts(self, topics: Collection[str]) -> Mapping[str, int]:
        return {name: self.topics[name].partitions for name in topics if name in self.topics}

    async def bounds(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, tuple[int, int]]:
        return {place: (self.starts[place], self.ends[place]) for place in partitions}

    async def committed(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        return {place: self.offsets.get(place) for place in partitions}

    async def read(self, partition: TopicPartition, start: int, end: int) -> AsyncIterator[Sequence[Record]]:
        yield [record for record in self.records[partition] if start <= record.offset < end]


class Coordinator:
    """The group: who is a member, in which generation, and who owns what."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.generation = 0
        self.owners: dict[TopicPartition, str] = {}
        self._seen: dict[str, float] = {}
        self._joined: dict[str, asyncio.Future[tuple[int, list[TopicPartition]]]] = {}
        self._rebalancing_since: float | None = None
        self.refused = 0

    def start(self) -> None:
        engine.after(_LOOK_S, self._look)

    def join(self, member: str) -> asyncio.Future[tuple[int, list[TopicPartition]]]:
        """The generation and the partitions, once everybody joined or was given up."""
        self._seen[member] = engine.now()
        self._joined[member] = asyncio.get_running_loop().create_future()
        self.rebalance()
        return self._joined[member]

    def heartbeat(self, member: str, generation: int) -> Beat:
        if member not in self._seen:
            return Beat.UNKNOWN
        self._seen[member] = engine.now()
        if self._rebalancing_since is not None or generation != self.generation:
            return Beat.REBALANCE
        return Beat.STABLE

    def leave(self, member: str) -> None:
        self._seen.pop(member, None)
        self._joined.pop(member, None)
        self.rebalance()

    def rebalance(self) -> None:
        if self._rebalancing_since is None:
            self._rebalancing_since = engine.now()

    def commit(self, member: str, generation: int, offsets: Mapping[TopicPartition, int]) -> bool:
        """Whether the group takes it: not from a member that it does not know in this generation."""
        if member not in self._seen or generation != self.generation:
            self.refused += 1
            return False
        self._broker.offsets.update(offsets)
        return True

    def _look(self) -> None:
        now = engine.now()
        for member, seen in list(self._seen.items()):
            if now - seen > SESSION_S and member not in self._joined:
                del self._seen[member]
                self.rebalance()
        if self._rebalancing_since is not None and self._joined:
            late = now - self._rebalancing_since > SESSION_S
            if late or all(member in self._joined for member in self._seen):
                self._assign()
        engine.after(_LOOK_S, self._look)

    def _assign(self) -> None:
        self._seen = {member: engine.now() for member in self._joined}
        self.generation += 1
        self._rebalancing_since = None
        members = sorted(self._joined)
        shift = engine.choose(len(members))
        given: dict[str, list[TopicPartition]] = {member: [] for member in members}
        for number, place in enumerate(self._broker.places):
            owner = members[(number + shift) % len(members)]
            self.owners[place] = owner
            given[owner].append(place)
        joined, self._joined = self._joined, {}
        for member, answer in joined.items():
            if not answer.done():
                answer.set_result((self.generation, given[member]))
