"""What `status` asks of the world, each part by itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sync_worker.change.model import TopicPartition
from sync_worker.failure.model import FailureStatus, Finding, ReasonClass
from sync_worker.operations.connector import ConnectorState
from sync_worker.operations.status.report import HoldStatus, SlotStatus
from sync_worker.ports import Bookmark, Comparison, Pause, Task, WorkerRow
from sync_worker.rebuild.model import Rebuild
from sync_worker.watch.fill import Fill


@dataclass(frozen=True, slots=True)
class SinkSeen:
    """One index on Meilisearch; `settings` are complete, as the server gives them."""

    created_at: str
    primary_key: str | None
    documents: int
    indexing: bool
    settings: Mapping[str, Any]
    unfinished_tasks: int
    failed_tasks: int
    newest_failed: Task | None


@dataclass(frozen=True, slots=True)
class LogSeen:
    """Kafka.

    Attributes:
        ends: where each partition of the data topics ends; missing topics are left out.
        committed: the group's offsets, None where it has none.
        canary_at: when the newest message of the topic of messages was written, seconds since 1970; None where there is none.
    """

    ends: Mapping[TopicPartition, int]
    committed: Mapping[TopicPartition, int | None]
    canary_at: float | None


@dataclass(frozen=True, slots=True)
class StateSeen:
    """The state database. `counts` is dense over the declared indexes."""

    workers: Sequence[WorkerRow]
    bookmarks: Mapping[TopicPartition, Bookmark]
    counts: Mapping[tuple[str, ReasonClass, FailureStatus], int]
    findings: Sequence[Finding]
    fills: Mapping[str, Fill]
    pauses: Mapping[str, Pause]
    comparisons: Sequence[Comparison] = ()
    rebuilds: Mapping[str, Rebuild] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """What a worker's own pages say.

    Attributes:
        applied: partition → everything below this offset is done with.
        lag_s: partition → age of the oldest change that is not.
        canary_age_s: None before the first message.
    """

    ready: bool
    alive: bool
    canary_age_s: float | None
    applied: Mapping[TopicPartition, int] = field(default_factory=dict)
    lag_messages: Mapping[TopicPartition, int] = field(default_factory=dict)
    lag_s: Mapping[TopicPartition, float] = field(default_factory=dict)
    holds: Sequence[HoldStatus] = ()


class SinkPart(Protocol):
    """One Meilisearch. Raises SinkUnavailable, SinkDenied."""

    async def seen(self, index_uid: str) -> SinkSeen | None:
        """None where there is no such index."""
        ...


class LogPart(Protocol):
    """Raises LogUnavailable, ConfigurationError."""

    async def seen(self) -> LogSeen: ...


class SlotPart(Protocol):
    """Raises SourceUnavailable, ConfigurationError."""

    async def seen(self) -> SlotStatus: ...


class ConnectPart(Protocol):
    """Raises ConnectUnavailable, ConfigurationError."""

    async def seen(self) -> ConnectorState | None:
        """None where there is no such connector."""
        ...


class StatePart(Protocol):
    """Raises StateUnavailable, ConfigurationError."""

    async def seen(self) -> StateSeen: ...


class WorkersPart(Protocol):
    async def ask(self, workers: Collection[WorkerRow]) -> Mapping[str, WorkerSeen]:
        """Worker → what it says; those that do not answer are left out. Raises nothing."""
        ...
