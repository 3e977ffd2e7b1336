"""What travels with every write as Meilisearch's `customMetadata`, so that a late write can be told and undone.

Settling by uid never shows another worker's tasks, nor one of ours whose answer was lost; the tasks of the index do,
and this text says who wrote what.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from sync_worker.change.model import TopicPartition

_MARK = "sync-worker"


@dataclass(frozen=True, slots=True)
class WriteMetadata:
    """Who wrote, in which generation of which group, and which offsets the write covers.

    Attributes:
        kind: `clear`, `write` or `delete`.
        worker: id of one run of one worker process.
        nonce: unique for each request, so that a write whose answer was lost is found again.
        ranges: partition → lowest and highest offset covered.
        topic_id: of the log that the offsets are of; empty where the partitions were not all of one.
    """

    kind: str
    group: str
    worker: str
    generation: int
    nonce: str
    ranges: Mapping[TopicPartition, tuple[int, int]]
    topic_id: str = ""

    def encode(self) -> str:
        ranges = [[tp.topic, tp.partition, low, high] for tp, (low, high) in self.ranges.items()]
        told = [_MARK, self.kind, self.group, self.worker, self.generation, self.nonce, ranges, self.topic_id]
        return orjson.dumps(told).decode()


def parse_metadata(text: str | None) -> WriteMetadata | None:
    """None where the text is not ours."""
    if not text:
        return None
    try:
        # An earlier version told less, and a later one may tell more behind it.
        mark, kind, group, worker, generation, nonce, ranges, *more = orjson.loads(text)
        if mark != _MARK:
            return None
        covered = {TopicPartition(topic, partition): (low, high) for topic, partition, low, high in ranges}
        return WriteMetadata(kind, group, worker, int(generation), nonce, covered, str(more[0]) if more else "")
    except (ValueError, TypeError):
        return None
