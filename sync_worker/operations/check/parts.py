"""What `check` asks of the world."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sync_worker.document.value import FieldType
from sync_worker.operations.check.report import Check
from sync_worker.operations.connector import ConnectorState
from sync_worker.ports import IndexIdentity


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """What a column may be declared as.

    Attributes:
        written: its type, as SQL writes it.
        always: field types that fit every value.
        perhaps: those that fit only values of a certain form.
    """

    written: str
    always: tuple[FieldType, ...]
    perhaps: tuple[FieldType, ...] = ()


@dataclass(frozen=True, slots=True)
class TableFacts:
    """One table of the source.

    Attributes:
        primary_key: empty where it has none.
        columns: all of them; `generated` are those that never reach the stream.
        deferrable_key: whether the primary key is DEFERRABLE.
        types: column → what it may be declared as; types that nothing is known of are left out.
    """

    primary_key: tuple[str, ...]
    columns: tuple[str, ...]
    generated: frozenset[str] = frozenset()
    types: Mapping[str, ColumnFacts] = field(default_factory=dict)
    deferrable_key: bool = False


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """One topic."""

    partitions: int


class SourceFacts(Protocol):
    """PostgreSQL. Raises SourceUnavailable, and ConfigurationError where nothing can be asked."""

    async def table(self, table: str) -> TableFacts | None: ...

    async def problems(self, columns: Mapping[str, frozenset[str]]) -> Sequence[Check]:
        """What of the server, the role, the publication and these tables would keep changes from coming whole.

        Args:
            columns: table → the columns that declarations use.
        """
        ...


class LogFacts(Protocol):
    """Kafka's topics. Raises LogUnavailable, and ConfigurationError where it refuses the credentials."""

    async def topics(self, names: Collection[str]) -> Mapping[str, TopicFacts]:
        """Missing topics are left out."""
        ...

    async def dead_letter_problems(self) -> Sequence[str]:
        """What would lose a dead letter in the topic as it is: `what is wrong; what to do`."""
        ...


class ConnectFacts(Protocol):
    """Kafka Connect. Raises ConnectUnavailable."""

    async def problems(self) -> Sequence[str]:
        """What of Connect itself, or of the versions of its plugins, loses changes."""
        ...

    async def config(self, name: str) -> Mapping[str, str] | None: ...

    async def state(self, name: str) -> ConnectorState | None: ...

    def refusals(self, config: Mapping[str, str]) -> Sequence[str]:
        """Options that lose, age or change events without a word; one sentence each."""
        ...


class SinkFacts(Protocol):
    """One Meilisearch with the worker's keys. Raises SinkUnavailable, SinkDenied."""

    max_payload_bytes: int
    """Of the worker's largest request."""

    async def version(self) -> tuple[int, int, int] | None:
        """None where the key may not ask."""
        ...

    async def missing_actions(self, index_uids: Sequence[str]) -> Sequence[str]:
        """What the worker's key lacks, a line for each index: `documents.add, tasks.get on cities`."""
        ...

    async def scratch_problem(self) -> str | None:
        """Why no scratch index can be made; None where one can."""
        ...

    async def identity(self, index_uid: str) -> IndexIdentity | None: ...

    async def settings(self, index_uid: str) -> Mapping[str, Any]: ...


class StateFacts(Protocol):
    """The state database. Raises StateUnavailable."""

    async def version(self) -> str:
        """What it is, for the report."""
        ...
