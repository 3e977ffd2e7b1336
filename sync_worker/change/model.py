"""The words in which the rest of the project speaks about what happened in the source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

Row = dict[str, Any]
"""Column name → value, as Debezium delivers it under the connector template's settings."""


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Record(Protocol):
    """One record of a partition. What aiokafka's parser makes has this shape, so the hot path converts nothing."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Milliseconds since 1970."""
        ...

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A Record of our own making: re-read from the log, or made in a test."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


ASKED = "incremental"
"""`source.snapshot` of a row that a signal asked for."""


class Operation(StrEnum):
    """Debezium's `op`, spelled out."""

    # The same value as the enumeration's own, without a call of Python for each look into a set or a dict.
    __hash__ = str.__hash__

    CREATE = "c"
    UPDATE = "u"
    DELETE = "d"
    READ = "r"
    TRUNCATE = "t"
    MESSAGE = "m"


@dataclass(slots=True)
class Change:
    """One change of one row (or of a whole table, for TRUNCATE).

    Attributes:
        operation: what happened.
        table: `schema.table` of the source.
        key: the row's key columns, from the record's key; empty for TRUNCATE and MESSAGE.
        row: the row after the change, with the columns in `unavailable` left out; None for DELETE, TRUNCATE, MESSAGE.
        before: the row before the change as far as the replica identity gives it. Under the default identity only
            its key columns mean anything: never read others unless the table is known to have REPLICA IDENTITY FULL.
        unavailable: columns whose value Debezium could not give (unchanged TOAST values).
        source_ms: commit time in the source, milliseconds since 1970.
        snapshot: Debezium's `source.snapshot` ("first", "true", "last", "incremental", …), None for a streamed change.
        moved: a DELETE because the row's key changed. Another row may have taken the key before it in the log: a statement
            that moves many keys makes a delete and a create of each row, row by row.
        transaction: PostgreSQL's transaction id, 32 bits of it; None where the event names none.
    """

    operation: Operation
    table: str
    key: Mapping[str, Any]
    row: Row | None
    before: Row | None
    unavailable: tuple[str, ...]
    source_ms: int
    snapshot: str | None
    moved: bool = False
    transaction: int | None = None
