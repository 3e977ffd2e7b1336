"""What `check` asks of the world."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sync_worker.operations.check.report import Check
from sync_worker.operations.connector import ConnectorState
from sync_worker.ports import IndexIdentity


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """One column. `type` in PostgreSQL's words. `array` as pg_type says; generated columns never reach the stream."""

    name: str
    type: str
    array: bool = False
    generated: bool = False


@dataclass(frozen=True, slots=True)
class TableFacts:
    """One table of the source. `primary_key` is empty where it has none."""

    table: str
    primary_key: tuple[str, ...]
    columns: tuple[ColumnFacts, ...]


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """One topic, by its effective configuration. `retention_ms` -1 keeps for ever."""

    partitions: int
    cleanup_policy: str
    retention_ms: int
    max_message_bytes: int


class SourceFacts(Protocol):
    """PostgreSQL's catalogue. Raises SourceUnavailable."""

    async def table(self, table: str) -> TableFacts | None: ...

    async def replication(self, tables: Sequence[str]) -> Sequence[Check]:
        """What of the server, the role, the publication and the tables would keep changes from coming."""
        ...


class LogFacts(Protocol):
    """Kafka's topics. Raises LogUnavailable."""

    async def topics(self, names: Collection[str]) -> Mapping[str, TopicFacts]:
        """Missing topics are left out."""
        ...


class ConnectFacts(Protocol):
    """Kafka Connect. Raises ConnectUnavailable."""

    async def config(self, name: str) -> Mapping[str, str] | None: ...

    async def state(self, name: str) -> ConnectorState | None: ...

    def refusals(self, config: Mapping[str, str]) -> Sequence[str]:
        """Options that lose, age or change events without a word; one sentence each."""
        ...


class SinkFacts(Protocol):
    """One Meilisearch with the worker's keys. Raises SinkUnavailable, SinkDenied."""

    async def version(self) -> str | None:
        """None where the key may not ask."""
        ...

    async def missing_actions(self, index_uids: Sequence[str]) -> Sequence[str]:
        """Actions that the worker's key lacks on one of these indexes."""
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
