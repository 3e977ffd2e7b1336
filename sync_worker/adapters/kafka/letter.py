"""A dead letter: the record as it came, with the failure in headers behind its own. Pure.

Where no record failed but a row that was read on request, the key is the row's, and the value the document that was made of it;
none where none could be made: the row is in the source.

Where Kafka Connect has a name for what is told (`__connect.errors.…` of its DeadLetterQueueReporter), that name is used, so that
tools for its dead letters read ours.
"""

from __future__ import annotations

from collections.abc import Sequence

from sync_worker.change.model import Record, StoredRecord, TopicPartition
from sync_worker.errors import DecodeError
from sync_worker.failure.model import Failure, ReasonClass
from sync_worker.failure.text import cut, storable

Headers = Sequence[tuple[str, bytes]]

HEADER_ROOM = 64 * 1024
"""Bytes by which a letter may be larger than its record."""

_FORMAT = "sync_worker.letter"
"""First header of ours; everything before it is the record's own, also when that record was once a letter itself."""

_TOPIC = "__connect.errors.topic"
_PARTITION = "__connect.errors.partition"
_OFFSET = "__connect.errors.offset"
_MESSAGE = "__connect.errors.exception.message"


def to_headers(failure: Failure, record: Record) -> Headers:
    """The record's headers and, behind them, the failure's."""
    told = {
        _FORMAT: "1",
        _TOPIC: failure.partition.topic,
        _PARTITION: str(failure.partition.partition),
        _OFFSET: str(failure.offset),
        _MESSAGE: cut(failure.message),
        "sync_worker.index": failure.index,
        "sync_worker.operation": failure.operation,
        "sync_worker.reason_class": failure.reason_class.value,
        "sync_worker.code": failure.code,
        "sync_worker.retryable": _word(failure.retryable),
        "sync_worker.topic_id": failure.topic_id,
        "sync_worker.source_ms": str(failure.source_ms),
        "sync_worker.failed_at": repr(failure.failed_at),
        "sync_worker.timestamp": str(record.timestamp),
        "sync_worker.tombstone": _word(record.value is None),
    }
    if failure.request is not None:
        told["sync_worker.request"] = failure.request
    if failure.document_id is not None:
        told["sync_worker.document_id"] = failure.document_id
    return [*record.headers, *((name, storable(value).encode()) for name, value in told.items())]


def parse(letter: Record) -> tuple[Failure, StoredRecord]:
    """The failure and the original record. Raises DecodeError for a record that is no letter of ours."""
    names = [name for name, _ in letter.headers]
    if _FORMAT not in names:
        raise _no_letter(letter, f"the header {_FORMAT} is missing")
    mark = len(names) - 1 - names[::-1].index(_FORMAT)
    try:
        told = {name: value.decode() for name, value in letter.headers[mark:]}
        failure = Failure(
            index=told["sync_worker.index"],
            document_id=told.get("sync_worker.document_id"),
            operation=told["sync_worker.operation"],
            reason_class=ReasonClass(told["sync_worker.reason_class"]),
            code=told["sync_worker.code"],
            message=told[_MESSAGE],
            retryable=_truth(told["sync_worker.retryable"]),
            topic_id=told["sync_worker.topic_id"],
            partition=TopicPartition(told[_TOPIC], int(told[_PARTITION])),
            offset=int(told[_OFFSET]),
            source_ms=int(told["sync_worker.source_ms"]),
            failed_at=float(told["sync_worker.failed_at"]),
            request=told.get("sync_worker.request"),
        )
        if _truth(told["sync_worker.tombstone"]) != (letter.value is None):
            raise ValueError("sync_worker.tombstone does not fit the value")
        timestamp = int(told["sync_worker.timestamp"])
    except (KeyError, ValueError, AttributeError) as error:
        raise _no_letter(letter, str(error)) from error
    record = StoredRecord(
        topic=failure.partition.topic,
        partition=failure.partition.partition,
        offset=failure.offset,
        timestamp=timestamp,
        key=letter.key,
        value=letter.value,
        headers=tuple(letter.headers[:mark]),
    )
    return failure, record


def _word(truth: bool) -> str:
    return "true" if truth else "false"


def _truth(word: str) -> bool:
    if word not in ("true", "false"):
        raise ValueError(f"{word!r} is neither true nor false")
    return word == "true"


def _no_letter(letter: Record, why: str) -> DecodeError:
    return DecodeError(f"the record at offset {letter.offset} is no dead letter of sync-worker: {why}", code="not_a_dead_letter")
