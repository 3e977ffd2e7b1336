"""What `status` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sync_worker.operations.connector import ConnectorState
from sync_worker.operations.report import report

UNREACHABLE = "unreachable"
"""The kind of the problem that a part did not answer."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and what to do.

    Attributes:
        kind: stable name, for instance `lag`, `connector-down`, `failed-work`; a finding's kind for a finding.
        found: False where it only could not be found out.
    """

    kind: str
    subject: str
    what: str
    remedy: str
    found: bool = True


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A part that did not answer; what only it could tell is null in this report."""

    part: str
    cause: str


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """How far one partition is.

    Attributes:
        applied: everything below this offset is applied, superseded or recorded; None where nobody knows.
        end: where the log ends.
        worker: who has it; None where no live worker says so.
        lag_s: age of the oldest change that is not applied, 0 where nothing waits; None where nobody knows.
    """

    topic: str
    partition: int
    worker: str | None
    applied: int | None
    end: int | None
    lag_messages: int | None
    lag_s: float | None


@dataclass(frozen=True, slots=True)
class FailedTask:
    """The newest failed task: failures that were isolated since leave theirs in the server's history for long."""

    uid: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class FillStatus:
    """The last complete fill, where it went into the index that is live now.

    Attributes:
        filled_at, age_s: seconds since 1970; seconds.
        older_documents: how many documents, at most, were made with another declaration than today's.
    """

    proof: str
    filled_at: float
    age_s: float
    older_documents: int


@dataclass(frozen=True, slots=True)
class ComparisonStatus:
    """The most thorough, and then the newest, complete comparison of the index that is live now.

    Attributes:
        depth: `counts`, `ids`, `content`.
        age_s: since it began: what it proves is as old as that.
        by: the verb, or the scrub.
    """

    depth: str
    age_s: float
    differences: int
    by: str


@dataclass(frozen=True, slots=True)
class RebuildStatus:
    """The rebuild of an index that is not over.

    Attributes:
        live: `old` or `new`: which of the two bears the name that applications query; `unknown` while the swap may be on its way.
        target_uid: the name of the other one.
        waits_for: what comes next, and the command for it.
    """

    phase: str
    live: str
    target_uid: str
    waits_for: str


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """One declared index. None: the part that knows did not answer.

    Attributes:
        exists: whether Meilisearch has it.
        created_at: the physical index's own, as the server writes it.
        lag_messages, lag_s: of the table's partitions; the sum, and the largest.
        freshness_s: what was committed longer ago than this is searchable (or recorded as failed).
        open_failures: reason class → how many are open or being tried again, zeros included.
        unfinished_tasks, failed_tasks: of Meilisearch, the latter over its whole history.
        settings_differ: names of the live settings that differ from the declared ones; empty where they are in step.
        fill: None also where no complete fill is proven.
        comparison: None also where there was none.
    """

    index: str
    uid: str
    instance: str
    exists: bool | None
    created_at: str | None
    primary_key: str | None
    documents: int | None
    indexing: bool | None
    lag_messages: int | None
    lag_s: float | None
    freshness_s: float | None
    partitions: tuple[PartitionStatus, ...]
    open_failures: Mapping[str, int] | None
    unfinished_tasks: int | None
    failed_tasks: int | None
    newest_failed_task: FailedTask | None
    settings_differ: tuple[str, ...] | None
    fill: FillStatus | None
    comparison: ComparisonStatus | None
    paused: bool | None
    rebuild: RebuildStatus | None


@dataclass(frozen=True, slots=True)
class ConnectorStatus:
    """`state` is None where Connect knows no such connector."""

    name: str
    running: bool
    state: ConnectorState | None


@dataclass(frozen=True, slots=True)
class SlotStatus:
    """The replication slot.

    Attributes:
        exists: False where there is none; then nothing else is known.
        retained_bytes: WAL that PostgreSQL keeps for it.
        unconfirmed_bytes: WAL that its reader has not confirmed.
        wal_status: PostgreSQL's word.
        safe_bytes: how much more may be written before it is lost; None for no limit.
    """

    name: str
    exists: bool
    active: bool | None
    retained_bytes: int | None
    unconfirmed_bytes: int | None
    wal_status: str | None
    safe_bytes: int | None


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker that told of itself within the last thirty seconds.

    Attributes:
        answers: whether its pages answered.
        ready: what `/readyz` says; None where it did not answer.
        partitions: `topic/partition`.
    """

    worker: str
    address: str
    seen_s: float
    answers: bool
    ready: bool | None
    partitions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HoldStatus:
    """What a worker waits for. `since` is seconds since 1970, None where only its last heartbeat is known."""

    worker: str
    subject: str
    kind: str
    cause: str
    remedy: str
    since: float | None


@dataclass(frozen=True, slots=True)
class FindingStatus:
    kind: str
    subject: str
    evidence: str
    doubt: str
    remedy: str
    blocking: bool
    first_seen: float
    last_seen: float


@report("status")
@dataclass(frozen=True, slots=True)
class StatusReport:
    """Everything at one moment.

    Attributes:
        at: seconds since 1970, by this machine's clock.
        ok: nothing is wrong, and everything answered.
        alive: whether changes come through from the source, derived from the canary's age alone; None where nobody knows.
        canary_age_s: age of the newest message that came the whole way from PostgreSQL; None where none did, or nobody knows.
        connector, slot: None where the part did not answer.
        workers, holds, findings: None where the state database did not answer.
    """

    at: float
    seconds: float
    ok: bool
    problems: tuple[Problem, ...]
    unreachable: tuple[Unreachable, ...]
    alive: bool | None
    canary_age_s: float | None
    indexes: tuple[IndexStatus, ...]
    connector: ConnectorStatus | None
    slot: SlotStatus | None
    workers: tuple[WorkerStatus, ...] | None
    holds: tuple[HoldStatus, ...] | None
    findings: tuple[FindingStatus, ...] | None

    @property
    def only_unanswered(self) -> bool:
        """All that is wrong is that some part did not answer."""
        return bool(self.problems) and not any(problem.found for problem in self.problems)

    @property
    def without_the_unreachable(self) -> tuple[Problem, ...]:
        """The problems, less those that `unreachable` tells of already."""
        return tuple(problem for problem in self.problems if problem.kind != UNREACHABLE)
