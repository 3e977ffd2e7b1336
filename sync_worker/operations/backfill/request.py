"""What an operator does about backfills: ask for one, follow it, look, pause, resume, stop. The workers do the work."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sync_worker.backfill.model import Backfill, Stage, Wish
from sync_worker.drift.model import Candidate, Kind
from sync_worker.errors import ConfigurationError, SyncWorkerError
from sync_worker.failure.findings import Proof, rule_of
from sync_worker.operations.audit import audited
from sync_worker.operations.backfill.parts import BackfillBooks
from sync_worker.operations.backfill.report import (
    BackfillIds,
    BackfillProgress,
    BackfillReport,
    BackfillStatus,
    BackfillWished,
    progress_of,
)
from sync_worker.operations.drift import Compared, DriftItem, DriftParts, repair
from sync_worker.operations.workers import require_worker
from sync_worker.ports import Clock, Log
from sync_worker.rebuild.model import Rebuild
from sync_worker.rebuild.steps import asked as asked_of

_LOOK_S = 0.25


class Table(Protocol):
    """The table's rows, to try a condition on. Raises SourceUnavailable, ConfigurationError."""

    async def count(self, where: str) -> int: ...


class Rebuilds(Protocol):
    async def rebuilds(self) -> Mapping[str, Rebuild]:
        """Index → the rebuild that runs. Raises StateUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for. `where` is SQL that was parsed and written anew, empty for every row."""

    index: str
    table: str
    where: str
    prune: bool
    by: str


def require_whole_table(where: str, *, prune: bool) -> None:
    """Before anything is asked. Raises ConfigurationError where ghosts would have to be told from a part of the rows."""
    if where and prune:
        raise ConfigurationError(
            ["--where and --prune exclude each other: the ids of all rows tell which documents have none"],
            remedy="leave one of them out; sync-worker drift INDEX --prune removes ghosts alone",
        )


async def request(state: BackfillBooks, table: Table, asked: Asked, clock: Clock) -> tuple[Backfill, bool]:
    """Store it; the backfill, and whether it was running already.

    One that does what is asked for is joined, but not where a finding tells of something that came after it had begun, such as a
    TRUNCATE over several partitions: that takes a new one. Raises SyncWorkerError where another one of the table runs, and where
    no worker runs; ConfigurationError for a condition that PostgreSQL refuses.
    """
    require_whole_table(asked.where, prune=asked.prune)
    total = await table.count(asked.where)
    await require_worker(state, clock)
    wanted = Backfill(0, asked.index, asked.table, asked.where, asked.prune, Stage.REQUESTED, Wish.RUN, asked.by, 0.0, total)
    details = {"table": asked.table, "where": asked.where, "prune": asked.prune, "rows": total}
    async with audited(state, asked.by, "backfill", asked.index, details) as told:
        stored = await state.add_backfill(wanted)
        if stored is not None:
            told["id"] = stored.id
            return stored, False
        running = next((one for one in await state.backfills(running_only=True) if one.table == asked.table), None)
        if running is None:
            raise SyncWorkerError(f"a backfill of {asked.table} has just ended", remedy="run it again")
        if not running.covers(asked.index, asked.where, asked.prune):
            what = f"{running.run} of {running.table} runs for {running.index}, asked for by {running.by}"
            raise SyncWorkerError(
                f"{what}: one at a time for each table", remedy=f"wait for it, or: sync-worker backfill stop {running.index}"
            )
        if newer := await _seen_since(state, running):
            raise SyncWorkerError(
                f"{running.run} runs, and began before {newer} was seen: it does not mend that",
                remedy="run it again once it has ended (sync-worker backfill status)",
            )
        told["joined"] = running.id
        return running, True


async def require_no_filling(state: Rebuilds, fed: Collection[str]) -> None:
    """Raises SyncWorkerError while the target of a rebuild is filled: the table's rows would go there, and not to `INDEX`."""
    for name, rebuild in (await state.rebuilds()).items():
        if name in fed and asked_of(rebuild).rows_to_target:
            raise SyncWorkerError(
                f"{name} is being rebuilt, and the rows of its table go to the new index alone",
                remedy=f"wait until it is filled: sync-worker reindex {name} --status",
            )


async def _seen_since(state: BackfillBooks, running: Backfill) -> str:
    for finding in await state.findings():
        rule = rule_of(finding.kind)
        mends = rule is not None and rule.proof is Proof.FILL and finding.subject == running.index
        if mends and finding.last_seen > running.started_at:
            return finding.kind
    return ""


async def follow(
    state: BackfillBooks, backfill: Backfill, clock: Clock, *, tell: Callable[[BackfillProgress], None], timeout_s: float
) -> Backfill:
    """Until it has ended, or the time is over: it goes on without being looked at."""
    deadline = clock.monotonic() + timeout_s
    while not backfill.stage.ended and clock.monotonic() < deadline:
        tell(progress_of(backfill, clock.now()))
        await clock.sleep(_LOOK_S)
        backfill = await state.backfill(backfill.id) or backfill
    tell(progress_of(backfill, clock.now()))
    return backfill


async def status(state: BackfillBooks, clock: Clock, *, index: str | None, limit: int = 10) -> BackfillStatus:
    """Raises StateUnavailable."""
    known = await state.backfills(limit=1000)
    chosen = [one for one in known if index is None or one.index == index]
    running = [one for one in chosen if not one.stage.ended]
    return BackfillStatus(tuple(progress_of(one, clock.now()) for one in (running or chosen)[:limit]))


async def wish(state: BackfillBooks, index: str, wanted: Wish, clock: Clock, *, actor: str, timeout_s: float) -> BackfillWished:
    """Pause, resume or stop the one that runs for this index, and wait until it is so.

    Raises SyncWorkerError where none runs, and for a pause of one whose rows are all sent.
    """
    running = next((one for one in await state.backfills(running_only=True) if one.index == index), None)
    if running is None:
        raise SyncWorkerError(f"no backfill of {index} runs", remedy="sync-worker backfill status")
    if wanted is Wish.PAUSE and running.stage in (Stage.APPLYING, Stage.PRUNING):
        raise SyncWorkerError(
            f"{running.run}: every row is read already; there is nothing left to pause",
            remedy=f"sync-worker pause {index} stops writing to the index",
        )
    verb = {Wish.RUN: "resume", Wish.PAUSE: "pause", Wish.STOP: "stop"}[wanted]
    async with audited(state, actor, f"backfill {verb}", index, {"id": running.id}) as told:
        await state.wish_backfill(running.id, wanted)
        deadline = clock.monotonic() + timeout_s
        while not (done := _is_so(running, wanted)) and clock.monotonic() < deadline:
            await clock.sleep(_LOOK_S)
            running = await state.backfill(running.id) or running
        told["done"] = done
    return BackfillWished(verb, done, progress_of(running, clock.now()))


def _is_so(backfill: Backfill, wanted: Wish) -> bool:
    if backfill.stage.ended:
        return True
    return wanted is not Wish.STOP and backfill.wish is wanted and backfill.paused == (wanted is Wish.PAUSE)


async def by_ids(
    parts: DriftParts, target: Compared, log: Log, ids: Sequence[str], *, actor: str, timeout_s: float
) -> BackfillIds:
    """Have these documents made what their rows say: written, or deleted where the row is gone.

    Raises SyncWorkerError where no worker runs, SourceUnavailable, SinkUnavailable, StateUnavailable, BarrierNotPassed.
    """
    chosen = list(dict.fromkeys(ids))
    found = [(DriftItem(one, Kind.DIFFERENT, (), "", None), Candidate(one, await target.rows.key_of(one))) for one in chosen]
    mended = await repair(parts, target, found, log=log, ghosts_only=False, execute=True, actor=actor, timeout_s=timeout_s)
    return BackfillIds(target.index, tuple(chosen), mended.waiting, tuple(item.document_id for item in mended.remaining))


def report_of(backfill: Backfill, *, joined: bool, fed: Sequence[str], created: bool, now: float) -> BackfillReport:
    return BackfillReport(joined, tuple(fed), created, progress_of(backfill, now))
