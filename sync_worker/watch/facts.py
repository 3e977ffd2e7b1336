"""What is seen of the chain at one moment, as values. Adapters fill them; the other modules here compare them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

Recorded = Mapping[tuple[str, str], Any]
"""(subject, aspect) → the JSON value of an earlier look."""


@dataclass(frozen=True, slots=True)
class ServerSeen:
    """Which cluster answers. `timeline` rises with every promotion; None on a standby, which can't tell."""

    system: str
    timeline: int | None


@dataclass(frozen=True, slots=True)
class SlotSeen:
    """A replication slot. Positions are byte positions in the WAL.

    Attributes:
        wal_status: PostgreSQL's word (`reserved`, `extended`, `unreserved`, `lost`); None where it has none.
        invalidation: why PostgreSQL gave it up (from 16 on); None where it did not.
        confirmed: everything before was confirmed by its reader, and is never sent again.
    """

    active: bool
    wal_status: str | None
    invalidation: str | None
    confirmed: int | None


class ColumnSeen(NamedTuple):
    """What of a column makes its values. `default` and `generated` are PostgreSQL's own words, empty where there are none."""

    name: str
    type_oid: int
    modifier: int
    default: str
    generated: str


@dataclass(frozen=True, slots=True)
class MemberSeen:
    """A table's place in the publication. `row_filter` is SQL, None where there is none."""

    via_root: bool
    operations: frozenset[str]
    columns: frozenset[str]
    row_filter: str | None


@dataclass(frozen=True, slots=True)
class TableSeen:
    """One declared table.

    Attributes:
        kind, persistence, replica_identity: the words of `pg_class` spelled out (`partitioned table`, `unlogged`, `nothing`, …).
        key: columns of the primary key, empty where it has none.
        partitions: oid → name of every partition below it, at any depth.
        empty_partitions: those of them that hold no page.
        member: None where the publication does not send it.
    """

    oid: int
    kind: str
    persistence: str
    replica_identity: str
    key: tuple[str, ...]
    columns: tuple[ColumnSeen, ...]
    partitions: Mapping[int, str]
    empty_partitions: frozenset[int]
    member: MemberSeen | None


@dataclass(frozen=True, slots=True)
class SourceSeen:
    """PostgreSQL. `slot` is None where there is none; `tables` has None for a table that does not exist."""

    server: ServerSeen
    slot: SlotSeen | None
    publication_exists: bool
    tables: Mapping[str, TableSeen | None]


@dataclass(frozen=True, slots=True)
class ConnectorSeen:
    """Debezium's connector in Kafka Connect.

    Attributes:
        state: Connect's words, for a sentence.
        running: it and all its tasks run, and it has one.
        refusals: options of the live configuration that lose, age or change events without a word.
        position: the WAL position that Connect has stored for it; None before the first.
        snapshotting: a snapshot was under way when that was stored.
    """

    state: str
    running: bool
    refusals: tuple[str, ...]
    position: int | None
    snapshotting: bool


@dataclass(frozen=True, slots=True)
class TopicSeen:
    """A data topic, by its effective configuration. -1 is for ever."""

    topic_id: str
    partitions: int
    cleanup_policy: str
    retention_ms: int
    retention_bytes: int
    max_message_bytes: int


@dataclass(frozen=True, slots=True)
class Watched:
    """What the configuration says is to be watched.

    Attributes:
        retention_ms, max_message_bytes: what data topics need at least.
        indexes: name → what of its declaration matters here.
    """

    connector: str
    slot: str
    publication: str
    retention_ms: int
    max_message_bytes: int
    indexes: Mapping[str, WatchedIndex]

    @property
    def tables(self) -> tuple[str, ...]:
        return tuple(sorted({index.table for index in self.indexes.values()}))

    def indexes_of(self, table: str) -> tuple[str, ...]:
        return tuple(name for name, index in self.indexes.items() if index.table == table)


@dataclass(frozen=True, slots=True)
class WatchedIndex:
    """One declared index. `columns` are those that its documents are made of, the key's among them."""

    table: str
    topic: str
    key: tuple[str, ...]
    columns: frozenset[str]
    declaration: str
