"""What the state database tells an operator, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync_worker.change.model import TopicPartition
from sync_worker.failure.model import Failure, FailureStatus, PayloadReference


@dataclass(frozen=True, slots=True)
class FailedWork:
    """One row of `failed_work`.

    Attributes:
        failure: as it was told last; its `failed_at` is the last failure's.
        attempts: how often this change failed.
        reference: where its dead letter lies, None where none was written.
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
class WorkerRow:
    """One worker's last heartbeat. A worker that ended leaves its row: judge by `last_seen` (seconds since 1970)."""

    worker: str
    first_seen: float
    last_seen: float
    partitions: Sequence[TopicPartition]
    holds: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit log. `at` is seconds since 1970."""

    id: int
    at: float
    actor: str
    verb: str
    subject: str
    details: Mapping[str, Any]
