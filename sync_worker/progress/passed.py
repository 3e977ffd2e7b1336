"""Whether what is in the log up to an offset has been applied. Pure.

A log's end may never be reached by reading: retention moves its start, and what stands before the end may be markers of
transactions or holes that compaction left. So an offset counts as passed when nothing is left to be read before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sync_worker.change.model import TopicPartition


@dataclass(frozen=True, slots=True)
class Position:
    """How far one partition is, as one worker says.

    Attributes:
        applied: everything below is applied, superseded or recorded as a failure.
        topic_id: of the topic that it read; another one that bears the same name has other offsets.
        generation: of the consumer group, -1 for the group's committed offset.
        holder: the worker's name, or `committed`.
    """

    applied: int
    topic_id: str
    generation: int
    holder: str


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What stands in the way. `blocking`: only an operator can take it away.

    Attributes:
        kind: a class of error or a kind of finding.
    """

    subject: str
    kind: str
    cause: str
    remedy: str
    blocking: bool
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the group is, and what its workers hold for."""

    positions: Mapping[TopicPartition, Position]
    holds: Sequence[Obstacle]


@dataclass(frozen=True, slots=True)
class Target:
    """What has to be passed: `end` of a partition whose log begins at `start`."""

    topic_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Behind:
    """A partition that is not there yet; `position` is None where nobody knows it."""

    partition: TopicPartition
    target: Target
    position: Position | None

    @property
    def left(self) -> int:
        """Offsets, at most so many records."""
        reached = self.position.applied if self.position is not None else 0
        return self.target.end - max(self.target.start, reached)


def newest(claims: Iterable[tuple[TopicPartition, Position]]) -> dict[TopicPartition, Position]:
    """One position for each partition: of several workers that claim it, the one of the highest generation knows best.

    A worker that stalled and lost its partition goes on claiming it until it wakes. Equal generations: the higher position.
    """
    known: dict[TopicPartition, Position] = {}
    for place, claim in claims:
        old = known.get(place)
        if old is None or (claim.generation, claim.applied) > (old.generation, old.applied):
            known[place] = claim
    return known


def behind(targets: Mapping[TopicPartition, Target], positions: Mapping[TopicPartition, Position]) -> list[Behind]:
    """The partitions that are not there yet, sorted."""
    late = []
    for place, target in sorted(targets.items()):
        position = positions.get(place)
        if position is not None and position.topic_id != target.topic_id:
            # Even where nothing is in the new one: what the old one held may never have been applied.
            late.append(Behind(place, target, None))
            continue
        if target.start >= target.end or (position is not None and position.applied >= target.end):
            continue
        late.append(Behind(place, target, position))
    return late
