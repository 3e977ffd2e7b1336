"""A failed document and a finding, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sync_worker.change.model import TopicPartition


class ReasonClass(StrEnum):
    """Why work failed, in the words an operator filters by."""

    DECODE = "decode"
    PROJECTION = "projection"
    REJECTED = "rejected"
    CONTRACT = "contract"
    TRANSPORT = "transport"
    EXHAUSTED = "exhausted"
    UNKNOWN = "unknown"


RECORD_REMOVED = "record_removed"
"""Code of a failure whose record the log no longer had when it was recorded: its letter is empty, and that is no tombstone."""


class FailureStatus(StrEnum):
    """Where failed work stands."""

    OPEN = "open"
    RETRYING = "retrying"
    RESOLVED = "resolved"
    SUPERSEDED = "superseded"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Failure:
    """One change that could not be applied to one index.

    Attributes:
        index: name in the configuration.
        document_id: None where the record could not be read that far.
        operation: Debezium's `op` spelled out (`create`, `update`, …), `unknown` where unreadable.
        code: Meilisearch's error code, or ours; stable.
        message: the server's own words, or ours; at most 4 KiB.
        topic_id, partition, offset: where the change came from; unique together with `index` and `request`.
        request: None for a change that came in a record. Else nothing of the log failed: the row was read from the source because
            somebody asked for it, and this is its key, a JSON object with sorted names; or a JSON string, the id of a document
            that no row can bear, which was to be deleted. `offset` is then that of the last record taken before (-1 for none).
        source_ms: commit time in the source, or the record's timestamp; milliseconds since 1970.
        failed_at: seconds since 1970.
    """

    index: str
    document_id: str | None
    operation: str
    reason_class: ReasonClass
    code: str
    message: str
    retryable: bool
    topic_id: str
    partition: TopicPartition
    offset: int
    source_ms: int
    failed_at: float
    request: str | None = None


def order_of(offset: int, request: str | None) -> tuple[int, bool]:
    """The newer, the greater, within one partition: a row that was read on request is newer than the record at its offset."""
    return offset, request is not None


@dataclass(frozen=True, slots=True)
class OpenFailure:
    """What the owner of its partition has to know of an unsettled failure: what of its document is newer.

    Attributes:
        offset: -1 where it is older than everything in the topic.
        request: as in `Failure`: newer than the record at `offset`.
    """

    document_id: str
    partition: TopicPartition
    offset: int
    request: str | None = None

    @property
    def order(self) -> tuple[int, bool]:
        return order_of(self.offset, self.request)


@dataclass(frozen=True, slots=True)
class PayloadReference:
    """Where a dead letter lies."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class FailedWork:
    """One row of `failed_work`.

    Attributes:
        failure: as it was told last; its `failed_at` is the last failure's.
        attempts: how often this change failed.
        reference: where its dead letter lies, None where none was written, or it was erased.
        status_reason: why the status is what it is; empty for a plain open one.
        first_failed_at, status_changed_at: seconds since 1970.
    """

    id: int
    failure: Failure
    status: FailureStatus
    attempts: int
    first_failed_at: float
    reference: PayloadReference | None
    status_reason: str
    status_changed_at: float


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that the worker noticed and an operator must know until its proof clears it.

    Attributes:
        kind: stable name, for instance `sink-lost-memory`.
        subject: the index, partition or connector that it concerns.
        evidence: what was seen.
        doubt: what it puts in doubt.
        remedy: the exact command that mends it.
        blocking: whether readiness is false and writing holds while it is open.
        first_seen, last_seen: seconds since 1970.
    """

    kind: str
    subject: str
    evidence: str
    doubt: str
    remedy: str
    blocking: bool
    first_seen: float
    last_seen: float
    cleared_by: str | None = None
