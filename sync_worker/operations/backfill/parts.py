"""What a backfill needs of the world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sync_worker.backfill.model import Backfill, Wish
from sync_worker.operations.books import Books
from sync_worker.operations.drift import Compared, DriftParts
from sync_worker.operations.drift.parts import BarrierPort as RequiringBarrier
from sync_worker.ports import Clock, ConnectorContinuity, Log
from sync_worker.watch.facts import WatchedIndex


class Signals(Protocol):
    """Into the connector. Raises LogUnavailable, ConfigurationError."""

    async def scan(self, signal_id: str, table: str, where: str) -> None:
        """Have the rows that fit (all of them for an empty `where`) read and sent."""
        ...

    async def pause(self, signal_id: str) -> None: ...

    async def resume(self, signal_id: str) -> None: ...

    async def stop(self, signal_id: str, table: str) -> None: ...


class ConnectorCare(ConnectorContinuity, Protocol):
    """The connector's state, and the means to mend it. Raises ConnectUnavailable, ConfigurationError."""

    async def restart(self) -> None:
        """What of it has failed, or all of it where nothing has."""
        ...


class Backfills(Protocol):
    """The backfills in the state database. Raises StateUnavailable."""

    async def add_backfill(self, asked: Backfill) -> Backfill | None:
        """Store it with its id and its start; None where another one of the table runs."""
        ...

    async def backfills(self, *, running_only: bool = False, limit: int = 100) -> Sequence[Backfill]:
        """Newest first."""
        ...

    async def backfill(self, backfill_id: int) -> Backfill | None: ...

    async def wish_backfill(self, backfill_id: int, wish: Wish) -> bool:
        """False where it has ended."""
        ...

    async def hold_backfill(self, backfill_id: int, worker: str, seconds: float) -> bool:
        """Whether it is this worker's to go on with, from now on for so long."""
        ...

    async def save_backfill(self, backfill: Backfill, worker: str) -> bool:
        """False, and nothing stored, where it is another worker's by now. The wish is not stored: it is the operator's."""
        ...

    async def failures_within(self, backfill: Backfill, topic: str) -> int: ...


class BackfillBooks(Books, Backfills, Protocol):
    """The whole state database."""


@dataclass(frozen=True, slots=True)
class BackfillParts:
    """Everything that the steward works with.

    Attributes:
        worker: the one that goes on with backfills here.
        notification_topic: where Debezium tells of its snapshots.
        watched, compared: index → what fills and comparisons need of it.
    """

    worker: str
    state: BackfillBooks
    log: Log
    signals: Signals
    connector: ConnectorCare
    barrier: RequiringBarrier
    drift: DriftParts
    clock: Clock
    notification_topic: str
    watched: Mapping[str, WatchedIndex]
    compared: Mapping[str, Compared]


def fed_by(table: str, watched: Mapping[str, WatchedIndex]) -> tuple[str, ...]:
    """Which indexes take the rows that a scan of this table sends: read events do not say who asked for them."""
    return tuple(sorted(name for name, index in watched.items() if index.table == table))
