"""Where a failure is kept: its row in the state database, and its letter in the dead-letter topic."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from confluent_kafka import Consumer, TopicPartition

from sync_worker.adapters.kafka.letter import parse
from sync_worker.change.model import StoredRecord
from sync_worker.failure.model import Failure
from sync_worker.testing.demo.waiting import NotObservedError

_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class FailedWork:
    """One open row of `failed_work`."""

    row_id: int
    index: str
    document_id: str
    reason_class: str
    code: str
    message: str
    topic: str
    partition: int
    offset: int


def open_failures(state_url: str) -> list[FailedWork]:
    """Every open row, oldest first."""
    with psycopg.connect(state_url) as connection:
        rows = connection.execute(
            "SELECT id, index_name, document_id, reason_class, code, message, dlq_topic, dlq_partition, dlq_offset "
            "FROM failed_work WHERE status = 'open' ORDER BY id"
        )
        return [FailedWork(*row) for row in rows]


def read_letter(bootstrap_servers: str, row: FailedWork) -> tuple[Failure, StoredRecord]:
    """The letter that the row refers to: the failure and the record as it came. Raises NotObservedError where it is not there."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "sync-worker-demo", "log_level": 0})
    try:
        consumer.assign([TopicPartition(row.topic, row.partition, row.offset)])
        message = consumer.poll(_WITHIN_S)
        if message is None or message.error() is not None:
            raise NotObservedError(f"{row.topic}/{row.partition} has no letter at offset {row.offset}")
        headers = dict(message.headers() or ()).items()
        return parse(
            StoredRecord(
                topic=row.topic,
                partition=row.partition,
                offset=row.offset,
                timestamp=message.timestamp()[1],
                key=message.key(),
                value=message.value(),
                headers=[(name, value.encode() if isinstance(value, str) else value or b"") for name, value in headers],
            )
        )
    finally:
        consumer.close()
