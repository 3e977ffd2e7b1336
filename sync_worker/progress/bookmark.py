"""Where a partition stands, as it is remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from sync_worker.change.model import Record, TopicPartition


class Tail(NamedTuple):
    """What is remembered of the last record before a bookmark, so that a log that holds another one there is noticed.

    `timestamp` is in milliseconds since 1970; `key` is a hash, since a key is a row's value.
    """

    offset: int
    timestamp: int
    key: str


def tail_of(record: Record) -> Tail:
    return Tail(record.offset, record.timestamp, "" if record.key is None else blake2b(record.key, digest_size=16).hexdigest())


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Where a partition stands: stored before its offset is committed to Kafka.

    Attributes:
        topic_id: the topic's id when the offset was reached.
        next_offset: everything below is acknowledged.
        scanned: index name (uids may be the same on two servers) → highest task uid up to which late writes were looked for,
            and mended (protocol rule 5).
        tail: the last acknowledged record; None where none was read since the topic was taken up.
    """

    partition: TopicPartition
    topic_id: str
    next_offset: int
    scanned: Mapping[str, int]
    tail: Tail | None = None
