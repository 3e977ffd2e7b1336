"""Every error of the project, one class for each way to recover.

SyncWorkerError
├── ConfigurationError      the operator mends a file; nothing was consumed; exit status 2
├── RecordError             one record is dead-lettered, the stream goes on
│   ├── DecodeError         it is not a Debezium event that we understand
│   ├── ProjectionError     its row does not fit the index's declaration
│   └── RefusedDocument     the server is known to refuse or to choke on the document
├── EnvironmentFault        hold, try again with backoff, go on by itself once the cause is gone
│   ├── SinkUnavailable     Meilisearch does not answer, or answers 5xx or 429
│   │   └── AnswerLost      a write was sent and its answer never came: it may have been accepted
│   ├── SinkFull            disk full, too many open files, task store full
│   ├── SinkDenied          key missing, revoked, or without a needed action; index missing; wrong settings
│   ├── SourceUnavailable   PostgreSQL does not answer
│   ├── LogUnavailable      Kafka does not answer, or the dead letters could not be delivered
│   ├── ConnectUnavailable  Kafka Connect does not answer
│   └── StateUnavailable    the state database does not answer
├── PayloadTooLarge         split the payload; one document alone is refused
├── SinkRejected            Meilisearch refused one request for what it contains
├── OperatorNeeded          hold until somebody has decided; names the evidence and the command
├── StartAgain              this process ends, non-zero, and its orchestrator starts it again
└── OwnershipLost           the partition belongs to another worker now: drop the work, acknowledge nothing
"""

from __future__ import annotations

from collections.abc import Sequence


class SyncWorkerError(Exception):
    """Base of all errors that this project raises on purpose.

    Args:
        message: what is wrong and where.
        remedy: what to do next, as a sentence or an exact command; empty where nothing needs doing.
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class ConfigurationError(SyncWorkerError):
    """All mistakes of a configuration at once, one line each, with the way to mend it."""

    def __init__(self, problems: Sequence[str], *, remedy: str = "") -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems), remedy=remedy)


class RecordError(SyncWorkerError):
    """One record that can't become a document. `code` is stable and machine-readable."""

    def __init__(self, message: str, *, code: str, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.code = code


class DecodeError(RecordError):
    """The record is not a Debezium event that we understand."""


class ProjectionError(RecordError):
    """The row does not fit the index's declaration, or a hook failed on it."""


class RefusedDocument(RecordError):
    """A real Meilisearch is known to refuse this document or to choke on it, so it is not sent."""


class EnvironmentFault(SyncWorkerError):
    """Something around the worker is broken: hold, try again, lose nothing.

    Args:
        retry_after_s: seconds the other side asked to wait, where it did.
        code: Meilisearch's error code where it gave one, else empty. `internal` may also be the payload's fault.

    Attributes:
        usual_remedy: what the class says to do where the raiser knows nothing better.
    """

    usual_remedy = ""

    def __init__(self, message: str, *, remedy: str = "", retry_after_s: float | None = None, code: str = "") -> None:
        super().__init__(message, remedy=remedy or self.usual_remedy)
        self.retry_after_s = retry_after_s
        self.code = code


class SinkUnavailable(EnvironmentFault):
    """Meilisearch does not answer, or answers 5xx or 429."""

    usual_remedy = "Start Meilisearch, or mend meilisearch.url; what waits for it goes on by itself."


class AnswerLost(SinkUnavailable):
    """A write was sent and its answer never came. It may have been accepted, now or later."""


class SinkFull(EnvironmentFault):
    """Meilisearch can't store more: disk, open files, or its task store."""

    usual_remedy = "Give the Meilisearch server room: disk, open files, or fewer kept tasks."


class SinkDenied(EnvironmentFault):
    """Meilisearch refuses for how it is set up: key, missing index, primary key, settings."""

    usual_remedy = "sync-worker check names what the index, its settings or the key lack."


class SourceUnavailable(EnvironmentFault):
    """PostgreSQL does not answer."""

    usual_remedy = "Start PostgreSQL, or mend source.url; what waits for it goes on by itself."


class LogUnavailable(EnvironmentFault):
    """Kafka does not answer, or a dead letter could not be delivered."""

    usual_remedy = "Start Kafka, or mend kafka.bootstrap_servers; what waits for it goes on by itself."


class ConnectUnavailable(EnvironmentFault):
    """Kafka Connect does not answer."""

    usual_remedy = "Start Kafka Connect, or mend connector.url."


class StateUnavailable(EnvironmentFault):
    """The state database does not answer."""

    usual_remedy = "Start the state database, or mend state.url; what waits for it goes on by itself."


class PayloadTooLarge(SyncWorkerError):
    """413: the payload is above the server's limit."""


class SinkRejected(SyncWorkerError):
    """Meilisearch refused one request for what it contains (a synchronous 4xx, or a 500 at once).

    Args:
        code: Meilisearch's error code, for instance `malformed_payload`.
    """

    def __init__(self, message: str, *, code: str, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.code = code


class OperatorNeeded(SyncWorkerError):
    """Going on by itself could lose or age data: the worker holds until somebody has decided.

    Args:
        kind: stable name of the finding, for instance `sink-lost-memory`.
        subject: the index or partition that it concerns; empty where the catcher knows.
    """

    def __init__(self, message: str, *, kind: str, remedy: str, subject: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.kind = kind
        self.subject = subject


class StartAgain(SyncWorkerError):
    """Going on needs a fresh start: the process ends, unacknowledged work is read again."""


class OwnershipLost(SyncWorkerError):
    """The partition belongs to another worker, or to another generation of this one."""
