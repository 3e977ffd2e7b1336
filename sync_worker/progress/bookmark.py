"""Where a partition stands, as it is remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sync_worker.change.model import TopicPartition


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Where a partition stands: stored before its offset is committed to Kafka.

    Attributes:
        topic_id: the topic's id when the offset was reached.
        next_offset: everything below is acknowledged.
        scanned: index name (uids may be the same on two servers) → highest task uid up to which late writes were looked for,
            and mended (protocol rule 5).
    """

    partition: TopicPartition
    topic_id: str
    next_offset: int
    scanned: Mapping[str, int]
