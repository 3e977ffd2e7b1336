"""What a comparison needs of the world."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from sync_worker.document.projection import Projector
from sync_worker.drift.expected import Unreadable
from sync_worker.drift.model import Document, Key, SourceRow
from sync_worker.operations.barrier import BarrierReport


class Snapshot(Protocol):
    """A table at one moment."""

    def rows(self, where: str | None = None, *, page: int = ...) -> AsyncIterator[Sequence[SourceRow]]: ...

    def sample(self, count: int, *, page: int = ...) -> AsyncIterator[Sequence[SourceRow]]: ...

    async def count(self, where: str | None = None) -> int: ...


class Rows(Protocol):
    """One table as an index reads it. Raises SourceUnavailable, ConfigurationError."""

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]: ...

    async def page(self, after: Key | None, size: int) -> Sequence[SourceRow]:
        """The next rows behind this key, in the key's order."""
        ...

    async def now(self, keys: Sequence[Key]) -> Sequence[SourceRow | None]:
        """These rows as they are now, with their versions; None where there is none."""
        ...

    async def key_of(self, document_id: str) -> Key | None:
        """None where no row of this table can bear that id."""
        ...


class Documents(Protocol):
    """One Meilisearch. Raises SinkUnavailable, SinkDenied."""

    async def fetch(
        self, index_uid: str, id_field: str, document_ids: Sequence[str], *, vectors: bool
    ) -> Mapping[str, Document | Unreadable]: ...

    async def present(self, index_uid: str, id_field: str, document_ids: Sequence[str]) -> frozenset[str]: ...

    async def ids(self, index_uid: str, id_field: str, *, offset: int, limit: int) -> Sequence[str]: ...

    async def count(self, index_uid: str) -> int: ...


class BarrierPort(Protocol):
    async def require(self, indexes: Collection[str] = (), *, strict: bool = ..., timeout_s: float) -> BarrierReport:
        """Everything that was committed before the call is applied. Raises BarrierNotPassed, ConfigurationError."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """One index and its table.

    Attributes:
        index: name in the configuration.
        uid: the physical index that is compared, the live one or the target of a rebuild.
        topic: of the table's changes.
        alone: no other index shows this table.
        vectors: documents may hold vectors.
        quantized: embedders that keep one bit of each component.
        filtered: not every row has a document, so that rows can't be counted without being looked at.
    """

    index: str
    uid: str
    id_field: str
    topic: str
    projector: Projector
    rows: Rows
    documents: Documents
    alone: bool = False
    vectors: bool = False
    quantized: frozenset[str] = field(default=frozenset())
    filtered: bool = True
