"""Which workers are alive, by their last heartbeat."""

from __future__ import annotations

from collections.abc import Sequence

from sync_worker.errors import SyncWorkerError
from sync_worker.operations.books import Books
from sync_worker.ports import Clock, WorkerRow

ALIVE_S = 30.0
"""A worker without a heartbeat for so long is dead, or can't reach the state database; it tells every ten seconds."""


async def live_workers(state: Books, clock: Clock) -> Sequence[WorkerRow]:
    """Raises StateUnavailable."""
    return _alive(await state.workers(), clock)


async def require_worker(state: Books, clock: Clock) -> Sequence[WorkerRow]:
    """Those that are alive. Raises SyncWorkerError where none is, and StateUnavailable."""
    rows = await state.workers()
    if alive := _alive(rows, clock):
        return alive
    last = max(rows, key=lambda worker: worker.last_seen, default=None)
    seen = "none was ever seen" if last is None else f"{last.worker} was last seen {clock.now() - last.last_seen:.0f} s ago"
    raise SyncWorkerError(f"no worker is running: {seen}", remedy="start one: sync-worker run")


def _alive(rows: Sequence[WorkerRow], clock: Clock) -> Sequence[WorkerRow]:
    return [worker for worker in rows if clock.now() - worker.last_seen < ALIVE_S]
