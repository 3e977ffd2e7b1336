"""What of a scan is in the log, and what of it is acknowledged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sync_worker.change.model import TopicPartition
from sync_worker.errors import LogUnavailable
from sync_worker.ports import Log, State
from sync_worker.watch.fills import Mark

_COUNTED = 20_000
"""Scans up to so many rows are counted key by key; of larger ones the length of their range shows that they are there."""


@dataclass(frozen=True, slots=True)
class Place:
    """The data topic as it is now: partition number → end."""

    topic_id: str
    ends: Mapping[int, int]


async def place_now(log: Log, topic: str) -> Place:
    """Raises LogUnavailable, also where the topic is not there."""
    topic_id = (await log.topic_ids([topic])).get(topic)
    count = (await log.partition_counts([topic])).get(topic)
    if topic_id is None or count is None:
        raise LogUnavailable(f"topic {topic} is not there", remedy="sync-worker connector apply")
    bounds = await log.bounds([TopicPartition(topic, number) for number in range(count)])
    return Place(topic_id, {place.partition: end for place, (_, end) in bounds.items()})


async def marks_of(state: State, topic: str, numbers: Mapping[int, int]) -> Mapping[int, Mark]:
    """How far each partition is acknowledged."""
    found = await state.bookmarks([TopicPartition(topic, number) for number in numbers])
    return {place.partition: Mark(mark.topic_id, mark.next_offset, frozenset(mark.scanned)) for place, mark in found.items()}


def length(starts: Mapping[int, int], ends: Mapping[int, int]) -> int:
    """Offsets between the two."""
    return sum(max(0, end - starts.get(number, 0)) for number, end in ends.items())


async def sent_rows(log: Log, topic: str, starts: Mapping[int, int], ends: Mapping[int, int], scanned: int) -> int:
    """How many of the scanned rows are in the range, at most `scanned`.

    Each row that a scan reads is sent, or left out because a change of the same key was sent meanwhile: so there are at least as
    many keys as rows.
    """
    if scanned > _COUNTED:
        return min(scanned, length(starts, ends))
    keys: set[bytes] = set()
    for number, end in ends.items():
        async for chunk in log.read(TopicPartition(topic, number), starts.get(number, 0), end):
            keys.update(record.key for record in chunk if record.key is not None)
    return min(scanned, len(keys))
