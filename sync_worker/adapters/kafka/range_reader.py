"""Reading one range of one partition, apart from any group. Blocking: its methods run in one thread of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from sync_worker.adapters.kafka.client import made, settings
from sync_worker.adapters.kafka.fault import Faults
from sync_worker.change.model import StoredRecord, TopicPartition
from sync_worker.errors import LogUnavailable

_CHUNK_RECORDS = 2_000
_CHUNK_BYTES = 4 * 1024 * 1024
_PREFETCH_KIB = 16 * 1024
_POLL_S = 0.5
"""Short, because a worker that ends waits for the poll that is under way."""


class RangeReader:
    """`finished` is true once everything below `end` was given; `position` is the next offset that is looked for."""

    def __init__(
        self, bootstrap: str, group: str, security: Mapping[str, str], partition: TopicPartition, start: int, end: int
    ) -> None:
        self._faults = Faults(bootstrap)
        self._settings = {
            **settings(bootstrap, security, self._faults),
            "group.id": group,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            # A range that vanishes while it is read must not become another range.
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "queued.max.messages.kbytes": _PREFETCH_KIB,
        }
        self._partition = partition
        self._doing = f"reading {partition.topic}/{partition.partition}"
        self._end = end
        self._consumer: Consumer | None = None
        self.position = start
        self.finished = False

    def open(self) -> None:
        self._consumer = made(Consumer, self._settings, self._faults)
        try:
            self._consumer.assign([KafkaPartition(self._partition.topic, self._partition.partition, self.position)])
        except KafkaException as error:
            raise self._faults.translate(error, self._doing) from error

    def poll(self) -> Sequence[StoredRecord]:
        """The next records, at most `_CHUNK_RECORDS` and one record more than `_CHUNK_BYTES`; none after half a second."""
        assert self._consumer is not None
        records: list[StoredRecord] = []
        size = 0
        try:
            message = self._consumer.poll(_POLL_S)
            while message is not None and self._is_record(message):
                records.append(stored(message))
                size += len(message)
                if len(records) >= _CHUNK_RECORDS or size >= _CHUNK_BYTES or self.finished:
                    break
                message = self._consumer.poll(0)
        except KafkaException as error:
            raise self._faults.translate(error, self._doing) from error
        return records

    def _is_record(self, message: Message) -> bool:
        """Moves `position`; false, and finished, at the end."""
        error = message.error()
        if error is None:
            offset = _known(message.offset())
            self.position = offset + 1
            self.finished = self.position >= self._end
            return offset < self._end
        if error.code() != KafkaError._PARTITION_EOF:
            raise self._faults.translate(error, self._doing)
        self.position = _known(message.offset())
        if self.position < self._end:
            raise LogUnavailable(
                f"{self._partition.topic}/{self._partition.partition} has a transaction open at offset {self.position}:"
                " what lies behind it can't be read before it ends",
            )
        self.finished = True
        return False

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()


def _known(value: int | None) -> int:
    assert value is not None
    return value


def stored(message: Message) -> StoredRecord:
    return StoredRecord(
        topic=message.topic() or "",
        partition=_known(message.partition()),
        offset=_known(message.offset()),
        timestamp=message.timestamp()[1],
        key=message.key(),
        value=message.value(),
        headers=tuple(cast("list[tuple[str, bytes]]", message.headers() or [])),
    )
