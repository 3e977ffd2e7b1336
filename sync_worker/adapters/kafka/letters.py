"""Reading dead letters: at the places that rows name, and from one end of the topic to the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from sync_worker.adapters.kafka.letter import parse
from sync_worker.adapters.kafka.log import KafkaLog
from sync_worker.change.model import Record, TopicPartition
from sync_worker.errors import DecodeError
from sync_worker.failure.model import Failure, PayloadReference
from sync_worker.ports import FoundLetter

Letter = tuple[Failure, Record]

MARK = "sync_worker.segment"
"""The only header of a record that makes the broker begin a new file."""

_GAP = 2_000
"""Records between two letters that are rather read over than reached by another reader."""


class LetterReader:
    """Reads one dead-letter topic. Every method raises LogUnavailable."""

    def __init__(self, log: KafkaLog, topic: str) -> None:
        self._log = log
        self._topic = topic

    async def read(self, references: Collection[PayloadReference]) -> Mapping[PayloadReference, Letter]:
        """The letters at these places; those that are gone, or are no letters of ours, are left out."""
        found: dict[PayloadReference, Letter] = {}
        for run in _runs(references):
            wanted = {reference.offset for reference in run}
            place = TopicPartition(run[0].topic, run[0].partition)
            if not await self._log.topic_ids([place.topic]):
                continue
            async for records in self._log.read(place, run[0].offset, run[-1].offset + 1):
                for record in records:
                    if record.offset not in wanted:
                        continue
                    letter = _parsed(record)
                    if letter is not None:
                        found[PayloadReference(place.topic, place.partition, record.offset)] = letter
        return found

    async def bounds(self) -> Mapping[TopicPartition, tuple[int, int]]:
        """Log start and end of every partition; empty where the topic does not exist."""
        count = (await self._log.partition_counts([self._topic])).get(self._topic, 0)
        return await self._log.bounds([TopicPartition(self._topic, number) for number in range(count)])

    async def letters(self, bounds: Mapping[TopicPartition, tuple[int, int]]) -> AsyncIterator[Sequence[FoundLetter]]:
        """Everything within these bounds, partition by partition, in order. Marks of `begin_segment` are passed over."""
        for place, (start, end) in sorted(bounds.items()):
            async for records in self._log.read(place, start, end):
                yield [
                    FoundLetter(PayloadReference(place.topic, place.partition, record.offset), record, *_parts(record))
                    for record in records
                    if not _is_mark(record)
                ]


def _parts(record: Record) -> tuple[Failure | None, Record | None]:
    letter = _parsed(record)
    return (None, None) if letter is None else letter


def _is_mark(record: Record) -> bool:
    return record.key is None and record.value is None and [name for name, _ in record.headers] == [MARK]


def _parsed(record: Record) -> Letter | None:
    try:
        return parse(record)
    except DecodeError:
        return None


def _runs(references: Collection[PayloadReference]) -> list[list[PayloadReference]]:
    """Neighbours in the log together, each run ascending."""
    runs: list[list[PayloadReference]] = []
    for reference in sorted(references, key=lambda r: (r.topic, r.partition, r.offset)):
        last = runs[-1][-1] if runs else None
        near = last is not None and (last.topic, last.partition) == (reference.topic, reference.partition)
        if last is not None and near and reference.offset - last.offset <= _GAP:
            runs[-1].append(reference)
        else:
            runs.append([reference])
    return runs
