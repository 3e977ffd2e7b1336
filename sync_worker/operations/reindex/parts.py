"""What a rebuild needs of the world."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sync_worker.document.declaration import IndexDeclaration
from sync_worker.operations.backfill.parts import BackfillBooks
from sync_worker.operations.backfill.request import Table
from sync_worker.operations.drift import Compared, DriftParts
from sync_worker.ports import AdminSink, Clock, TaskStatus
from sync_worker.rebuild.model import Phase, Rebuild, RebuildConfirmation
from sync_worker.watch.facts import WatchedIndex


class RebuildBooks(BackfillBooks, Protocol):
    """The state database as a rebuild uses it. Raises StateUnavailable."""

    async def last_rebuild(self, index: str) -> Rebuild | None:
        """The newest one of this index, over or not."""
        ...

    async def add_rebuild(self, index: str, uid: str, target_uid: str, *, by: str, details: Mapping[str, Any]) -> Rebuild:
        """A planned one; where one of this index is not over, that."""
        ...

    async def advance_rebuild(
        self,
        rebuild: Rebuild,
        phase: Phase,
        *,
        old_created_at: str | None = None,
        new_created_at: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> Rebuild | None:
        """None where somebody else changed it since it was read."""
        ...

    async def exchange_rebuild(self, rebuild: Rebuild, phase: Phase) -> Rebuild | None:
        """The swap was done; all that is remembered of either index goes by the other name, in the same transaction."""
        ...

    async def end_rebuild(self, rebuild: Rebuild, phase: Phase) -> Rebuild | None: ...

    async def rebuild_confirmations(self, rebuild: Rebuild) -> Sequence[RebuildConfirmation]: ...


class RebuildSink(AdminSink, Protocol):
    """One Meilisearch with an administrator's key. Raises SinkUnavailable, SinkDenied."""

    async def enqueue_swap(self, one: str, other: str) -> None: ...

    async def unfinished_swaps(self) -> int: ...

    async def task_count(self, index_uid: str, statuses: Collection[TaskStatus]) -> int: ...

    async def found_ids(self, index_uid: str, id_field: str, search: Mapping[str, Any]) -> Sequence[str]:
        """Ids of the documents that this search finds, in its order."""
        ...


@dataclass(frozen=True, slots=True)
class ReindexParts:
    """Everything for one index.

    Attributes:
        target: a comparison of the table with this uid, under the name of its lane.
        dead_after_s: a worker that was not seen for so long is not waited for: its partitions have gone to others.
        timeout_s: of each wait for workers.
        tell: told in words what is being done.
    """

    state: RebuildBooks
    admin: RebuildSink
    declaration: IndexDeclaration
    table: Table
    drift: DriftParts
    target: Callable[[Rebuild], Compared]
    clock: Clock
    actor: str
    dead_after_s: float
    timeout_s: float
    tell: Callable[[str], None]
    watched: WatchedIndex
