"""The few Protocols between the core and the world.

`pipeline` and `operations` know the world only through these. Adapters translate every foreign exception into one of
`sync_worker.errors`. No method retries by itself unless its docstring says so: the pipeline decides when to try again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NewType, Protocol

from sync_worker.change.model import Record, Row, TopicPartition
from sync_worker.failure.model import FailedWork, Failure, FailureStatus, Finding, OpenFailure, PayloadReference
from sync_worker.metrics import CounterName, GaugeName, HistogramName
from sync_worker.progress.bookmark import Bookmark as Bookmark
from sync_worker.rebuild.model import Rebuild
from sync_worker.watch.facts import ConnectorSeen, SourceSeen, TopicSeen
from sync_worker.watch.fill import Fill

TaskUid = NewType("TaskUid", int)
"""Uid of a task that Meilisearch has *accepted*. Accepted is not applied, and applied is not acknowledged."""


class Clock(Protocol):
    """Time as an argument, so that tests run under their own."""

    def now(self) -> float:
        """Seconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class TaskStatus(StrEnum):
    """Meilisearch's own words."""

    ENQUEUED = "enqueued"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def finished(self) -> bool:
        return self in (TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELED)


@dataclass(frozen=True, slots=True)
class Task:
    """One task of Meilisearch.

    Attributes:
        kind: Meilisearch's `type`, for instance `documentAdditionOrUpdate`.
        metadata: the `customMetadata` that was sent with the write, None where there was none.
        duration_s: seconds of processing, None while unfinished.
    """

    uid: TaskUid
    status: TaskStatus
    kind: str
    index_uid: str | None
    batch_uid: int | None
    metadata: str | None
    error_code: str | None = None
    error_message: str | None = None
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class IndexIdentity:
    """What tells one physical index from another that bears the same name.

    `created_at` is kept as the server's own text (RFC 3339); it travels with the index through a swap.
    """

    uid: str
    created_at: str
    primary_key: str | None


class Sink(Protocol):
    """One Meilisearch instance, with a key of the worker's.

    Every method raises SinkUnavailable, SinkFull or SinkDenied for faults of the environment. Writes raise AnswerLost
    where the request may have reached the server, PayloadTooLarge for 413, and SinkRejected where the server refused
    the payload for what it contains.
    """

    async def write(self, index_uid: str, ndjson: bytes, *, metadata: str) -> TaskUid:
        """POST documents: replace whole documents. `ndjson` is one document a line."""
        ...

    async def delete(self, index_uid: str, document_ids: Sequence[str], *, metadata: str) -> TaskUid:
        """Delete documents by id. Raises ValueError for an empty id: a real server fails the whole batch `internal`."""
        ...

    async def clear(self, index_uid: str, *, metadata: str) -> TaskUid:
        """Delete every document of the index."""
        ...

    async def tasks(self, uids: Collection[TaskUid]) -> Mapping[TaskUid, Task]:
        """The tasks with these uids, one request. A uid that does not come back is unknown to the server (or pruned)."""
        ...

    async def tasks_from(self, index_uid: str, uid: int, *, limit: int = 1000) -> Sequence[Task]:
        """Tasks of this index with this uid or a higher one, ascending, at most `limit`."""
        ...

    async def last_task(self, index_uid: str) -> Task | None:
        """The newest task of this index."""
        ...

    async def oldest_task_uid(self, index_uid: str) -> TaskUid | None:
        """The oldest task of this index that the server still remembers (older ones are pruned)."""
        ...

    async def tasks_in_batch(self, batch_uid: int) -> int:
        """How many tasks shared this server batch, as far as this key may see."""
        ...

    async def identity(self, index_uid: str) -> IndexIdentity | None:
        """None where the index does not exist."""
        ...

    async def settings(self, index_uid: str) -> Mapping[str, Any]:
        """Live settings, complete, as the server gives them."""
        ...

    async def document_count(self, index_uid: str) -> int: ...

    async def close(self) -> None: ...


class AdminSink(Sink, Protocol):
    """A Sink whose key may also create and delete indexes: scratch indexes in the worker, everything in the CLI."""

    async def create_index(self, index_uid: str, primary_key: str, settings: Mapping[str, Any]) -> IndexIdentity:
        """Create the index, apply the settings, wait for both tasks, read back. Raises SinkDenied when it exists."""
        ...

    async def delete_index(self, index_uid: str) -> None:
        """Delete the index and wait. A missing one is fine."""
        ...


class Log(Protocol):
    """Kafka beside the worker's own consumption: positions, identities, and reading a range again."""

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """Topic → its id (changes when a topic is deleted and made anew). Missing topics are left out."""
        ...

    async def partition_counts(self, topics: Collection[str]) -> Mapping[str, int]: ...

    async def bounds(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, tuple[int, int]]:
        """Log start offset and end offset (the next one to be written) of each partition."""
        ...

    async def committed(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        """The group's committed offsets."""
        ...

    def read(self, partition: TopicPartition, start: int, end: int) -> AsyncIterator[Sequence[Record]]:
        """Records with start <= offset < end, in order, in chunks of bounded size. Offsets that are gone are skipped."""
        ...


class DeadLetters(Protocol):
    """The dead-letter topic: the log of failures."""

    async def publish(self, failures: Sequence[tuple[Failure, Record]]) -> Sequence[PayloadReference]:
        """Write the records with their failures; returns once every delivery is confirmed, in the order given."""
        ...

    async def read(self, references: Collection[PayloadReference]) -> Mapping[PayloadReference, tuple[Failure, Record]]:
        """The letters at these places; those that are gone (erased), or are no letters of ours, are left out."""
        ...


@dataclass(frozen=True, slots=True)
class FoundLetter:
    """One record of the dead-letter topic.

    Attributes:
        raw: as it lies there.
        failure, record: what it tells, and the record that failed as it came; None where it is no letter of ours.
    """

    reference: PayloadReference
    raw: Record
    failure: Failure | None
    record: Record | None


class LetterTopic(DeadLetters, Protocol):
    """The dead-letter topic as a whole, for operators. Raises LogUnavailable."""

    @property
    def topic(self) -> str: ...

    async def bounds(self) -> Mapping[TopicPartition, tuple[int, int]]:
        """Log start and end of every partition; empty where the topic does not exist."""
        ...

    def letters(self, bounds: Mapping[TopicPartition, tuple[int, int]]) -> AsyncIterator[Sequence[FoundLetter]]:
        """Everything within these bounds, partition by partition, in order, in chunks of bounded size."""
        ...

    async def copy(self, records: Sequence[Record]) -> Sequence[PayloadReference]:
        """Write these records of it once more, as they are; their new places, once every delivery is confirmed."""
        ...

    async def begin_segment(self) -> None:
        """Have the broker write what comes from now on into new files, so that the old ones can be deleted as a whole."""
        ...

    async def delete_before(self, ends: Mapping[TopicPartition, int]) -> None:
        """Take everything below these offsets out of the log."""
        ...


class Source(Protocol):
    """PostgreSQL, read only."""

    async def rows(
        self, table: str, key_columns: Sequence[str], keys: Sequence[Mapping[str, Any]], *, after: Collection[int] = ()
    ) -> Sequence[Row | None]:
        """The rows with these keys as they are now, in the order of `keys`; None where the row is gone.

        Values are exactly what Debezium delivers for them under the connector template's settings.

        Args:
            after: transaction ids, 32 bits of each: what these have done is visible in what is read. Raises SourceUnavailable
                where it does not become so soon.
        """
        ...


class SourceContinuity(Protocol):
    """What is to be known of PostgreSQL so that nothing is lost there unseen."""

    async def seen(self, tables: Collection[str]) -> SourceSeen:
        """Raises SourceUnavailable, and ConfigurationError where nothing can be asked."""
        ...


class ConnectorContinuity(Protocol):
    """The connector's own word for how it is, and for how far it has read."""

    async def seen(self) -> ConnectorSeen | None:
        """None where there is no such connector. Raises ConnectUnavailable, and ConfigurationError where Connect refuses."""
        ...


class TopicContinuity(Protocol):
    """How long the data topics keep what they hold, and what they take."""

    async def seen(self, topics: Collection[str]) -> Mapping[str, TopicSeen]:
        """Missing topics are left out. Raises LogUnavailable, and ConfigurationError for refused credentials."""
        ...


@dataclass(frozen=True, slots=True)
class IndexRecord:
    """What the worker remembers of a physical index, so that a sink that lost its memory is noticed.

    Attributes:
        index: name in the configuration.
        anchor_uid, anchor_metadata: a task of ours that was applied; a server that does not know it was restored.
    """

    index: str
    uid: str
    created_at: str
    primary_key: str
    anchor_uid: int | None
    anchor_metadata: str | None


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker's last heartbeat. A worker that ended leaves its row: judge by `last_seen` (seconds since 1970).

    `address` is the URL of its pages, empty where it gave none.
    """

    worker: str
    first_seen: float
    last_seen: float
    partitions: Sequence[TopicPartition]
    holds: Mapping[str, str]
    address: str


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit log. `at` is seconds since 1970."""

    id: int
    at: float
    actor: str
    verb: str
    subject: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AskedRetry:
    """Failed work that an operator wants tried again; its status is `retrying`.

    Attributes:
        from_source: the row as it is now, instead of the change that failed.
        rebuilt: the row was made from the dead-letter topic: whether a later change was applied since is not known.
    """

    work: FailedWork
    from_source: bool
    rebuilt: bool


PAUSED = "paused"
"""Kind of the hold of a paused index: asked for, so that it makes no worker unready."""


@dataclass(frozen=True, slots=True)
class Pause:
    """An index that is not written to until somebody resumes it. `asked_at` is seconds since 1970."""

    index: str
    asked_at: float
    asked_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class PauseConfirmation:
    """A worker wrote its last before this moment (seconds since 1970), until the index is resumed."""

    index: str
    worker: str
    confirmed_at: float


@dataclass(frozen=True, slots=True)
class MovedRow:
    """A row whose key moved to another partition: the owner of `place` reads it anew.

    Attributes:
        key: the new one.
        topic_id: of the topic when the delete of the old key was read.
        origin, offset: where that delete is.
    """

    place: TopicPartition
    key: Mapping[str, Any]
    topic_id: str
    origin: TopicPartition
    offset: int


class MovedKeys(Protocol):
    """Requests between the workers of one topic, in the state database. Raises StateUnavailable."""

    async def ask_for_moved_rows(self, rows: Sequence[MovedRow]) -> None:
        """Store them; one that is there already (same place and key) is replaced."""
        ...

    async def moved_rows(self, places: Collection[TopicPartition]) -> Sequence[MovedRow]:
        """Those that are asked for in these partitions."""
        ...

    async def forget_moved_row(self, row: MovedRow) -> None:
        """It was read and is applied; a newer request for the same key stays."""
        ...


class Requests(Protocol):
    """What operators ask of the workers, in the state database. Raises StateUnavailable."""

    async def asked_retries(
        self, indexes: Collection[str], partitions: Collection[TopicPartition], *, limit: int
    ) -> Sequence[AskedRetry]:
        """Those of these indexes and partitions that nobody has closed yet, oldest first."""
        ...

    async def close_retry(self, failed_work_id: int, status: FailureStatus, reason: str) -> bool:
        """Give the row this status and end the retry; False where it was not `retrying` any more."""
        ...

    async def judge_retry(self, failed_work_id: int, *, attempts: int, later_from: int) -> FailureStatus:
        """What became of a retry that was written and settled, in one transaction; the row has that status then.

        More attempts than before mean that it failed again (`open`). A failure of the same document from `later_from` on, or a
        mark that was made meanwhile, means that a later change went first (`superseded`). Else it is `resolved`.
        """
        ...

    async def pauses(self) -> Mapping[str, Pause]: ...

    async def confirm_pause(self, pause: Pause, worker: str) -> None:
        """This worker has nothing of the index in flight, and writes nothing to it until it sees the pause gone."""
        ...


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A document that is to be made what its row says now: written, or deleted where the row is gone or belongs elsewhere.

    Attributes:
        key: of the row, as Debezium delivers it; None where no row can bear the id: it is deleted.
        place: the partition of that key: its owner writes.
        run: who asked.
    """

    index: str
    document_id: str
    key: Mapping[str, Any] | None
    place: TopicPartition
    run: str


class Rewrites(Protocol):
    """Documents that operators want written again, in the state database. Raises StateUnavailable."""

    async def ask_for_rewrites(self, asked: Sequence[Rewrite]) -> None:
        """Store them; one of the same document that is there already is replaced."""
        ...

    async def asked_rewrites(
        self, indexes: Collection[str], places: Collection[TopicPartition], *, limit: int
    ) -> Sequence[Rewrite]:
        """Those of these indexes and partitions that are not done yet."""
        ...

    async def forget_rewrites(self, done: Sequence[Rewrite]) -> None:
        """They are applied, or recorded as failed; a newer request for the same document stays."""
        ...

    async def rewrites_left(self, run: str) -> int: ...

    async def withdraw_rewrites(self, run: str) -> None:
        """Nobody waits for them any more; what was taken up already is written all the same."""
        ...


class Depth(StrEnum):
    """What a comparison looks at."""

    COUNTS = "counts"
    IDS = "ids"
    CONTENT = "content"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison of every row of an index with every document.

    Attributes:
        began_at, ended_at: seconds since 1970. What it proves is as old as `began_at`.
        by: the verb, or the scrub.
    """

    index: str
    depth: Depth
    uid: str
    began_at: float
    ended_at: float
    rows: int
    documents: int
    differences: int
    by: str


class Comparisons(Protocol):
    """The last complete comparison of each index, and how far the scrub is. Raises StateUnavailable."""

    async def save_comparison(self, comparison: Comparison) -> None:
        """In place of the index's last one of this depth."""
        ...

    async def comparisons(self) -> Sequence[Comparison]: ...

    async def hold_scrub(self, index: str, worker: str, seconds: float) -> bool:
        """Whether the index is this worker's to scrub, from now on for so long: one worker at a time."""
        ...

    async def scrub_progress(self, index: str) -> Mapping[str, Any] | None:
        """As it was saved last, by whichever worker; None at the start of a round."""
        ...

    async def save_scrub(self, index: str, worker: str, progress: Mapping[str, Any] | None) -> bool:
        """False where the index is another worker's to scrub by now: nothing is stored then."""
        ...


class Rebuilds(Protocol):
    """What a rebuild asks of the workers. Raises StateUnavailable."""

    async def rebuilds(self) -> Mapping[str, Rebuild]:
        """Index name → its rebuild that is not over."""
        ...

    async def confirm_rebuild(self, rebuild: Rebuild, worker: str) -> None:
        """This worker does what the rebuild asks in its present epoch."""
        ...


class State(Requests, MovedKeys, Rewrites, Comparisons, Rebuilds, Protocol):
    """The state database. Raises StateUnavailable. Every write is one transaction and may be repeated."""

    async def bookmarks(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Bookmark]: ...

    async def index_records(self, indexes: Collection[str]) -> Mapping[str, IndexRecord]: ...

    async def save_progress(self, bookmarks: Collection[Bookmark], indexes: Collection[IndexRecord]) -> None:
        """Store both in one transaction. Within one topic a bookmark's offset only rises."""
        ...

    async def record_failures(self, failures: Sequence[Failure], references: Sequence[PayloadReference | None]) -> None:
        """Insert; one that is there already (same topic id, partition, offset, index and request) only gains an attempt."""
        ...

    async def open_failures(self, index: str, partition: TopicPartition, topic_id: str | None = None) -> Sequence[OpenFailure]:
        """Every open or retrying failure of this index from this partition.

        The offset of one from a topic with another id than `topic_id` is -1: it is older than everything in this one.
        """
        ...

    async def supersede(
        self,
        index: str,
        document_ids: Collection[str],
        before: Mapping[TopicPartition, int],
        topic_ids: Mapping[TopicPartition, str] | None = None,
    ) -> int:
        """Mark open failures of these documents with an offset below `before[partition]`, or of another topic than
        `topic_ids[partition]`, as superseded; how many."""
        ...

    async def supersede_all(
        self, index: str, before: Mapping[TopicPartition, int], topic_ids: Mapping[TopicPartition, str] | None = None
    ) -> int:
        """The same for every document of the index: a clear was applied."""
        ...

    async def add_finding(self, finding: Finding) -> None:
        """Insert, or renew `last_seen` of the open one with the same kind and subject."""
        ...

    async def findings(self, *, open_only: bool = True) -> Sequence[Finding]: ...

    async def clear_finding(self, kind: str, subject: str, *, by: str) -> bool: ...

    async def recorded_facts(self) -> Mapping[tuple[str, str], Any]:
        """What the watch saw last: (subject, aspect) → JSON value."""
        ...

    async def record_facts(self, facts: Mapping[tuple[str, str], Any]) -> None:
        """Store each value in place of the last one; None forgets it."""
        ...

    async def fills(self) -> Mapping[str, Fill]:
        """Index name → its last complete fill. An index that was never filled completely, as far as is known, is not in it."""
        ...

    async def save_fills(self, fills: Sequence[Fill]) -> None: ...

    async def audit(self, actor: str, verb: str, subject: str, details: Mapping[str, Any]) -> None:
        """Append to the audit log."""
        ...

    async def worker_alive(
        self, worker: str, partitions: Collection[TopicPartition], holds: Mapping[str, str], address: str = ""
    ) -> None:
        """Heartbeat of one worker with what it owns, what it holds for (subject → cause), and the URL of its pages."""
        ...

    async def worker_gone(self, worker: str) -> None:
        """It ended in order, so that nobody waits for its next heartbeat."""
        ...

    async def close(self) -> None: ...


class Membership(Protocol):
    """The consumer group as this worker knows it."""

    def owns(self, partition: TopicPartition, generation: int) -> bool:
        """Whether the partition is assigned to this worker in this, the current, generation."""
        ...

    def acknowledge(self, partition: TopicPartition, generation: int, next_offset: int) -> None:
        """Everything below `next_offset` may be committed. Ignored when the generation is not the current one.

        Raises ValueError where that was not delivered in this generation: committing it would skip records.
        """
        ...

    def backlog(self, partition: TopicPartition) -> int | None:
        """Records between what was delivered to the pipeline and the partition's end; None while unknown."""
        ...


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records of one partition, as one fetch gave them.

    Attributes:
        generation: of the consumer group when they were fetched.
        next_offset: the consumer's position behind them (offsets between may be gaps: markers, compaction).
    """

    partition: TopicPartition
    generation: int
    records: Sequence[Record]
    next_offset: int


class Intake(Protocol):
    """What the stream hands its records to. The pipeline implements it."""

    async def start(self) -> None: ...

    async def assigned(self, partitions: frozenset[TopicPartition], generation: int) -> None:
        """All partitions that this worker has now. Returns at once; the preparation runs beside it."""
        ...

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """These are gone: abandon what of them is in flight, acknowledge nothing more of them. Returns within 1 s."""
        ...

    async def take(self, chunk: Chunk) -> None:
        """Take over a chunk; waits while the limits on memory or a hold do not allow it. Raises nothing of a record's."""
        ...

    def idle(self) -> bool:
        """Nothing is collected, in flight, being prepared, or held: where there is work left, it has to go on by itself."""
        ...

    async def stop(self, *, drain_s: float) -> None:
        """Finish what is in flight for at most `drain_s` seconds, acknowledge what was applied, abandon the rest."""
        ...


class Telemetry(Protocol):
    """Metrics, by the names in `sync_worker.metrics`. No label ever holds a row's value."""

    def count(self, metric: CounterName, value: float = 1, **labels: str) -> None: ...
    def gauge(self, metric: GaugeName, value: float, **labels: str) -> None: ...
    def observe(self, metric: HistogramName, value: float, **labels: str) -> None: ...
