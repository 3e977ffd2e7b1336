"""What `sync-worker backfill` and its sub-commands report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sync_worker.backfill.model import Backfill
from sync_worker.operations.report import report


@dataclass(frozen=True, slots=True)
class BackfillProgress:
    """One backfill as it is now. Moments are seconds since 1970.

    Attributes:
        stage: `requested`, `scanning`, `applying`, `pruning`; at the end `done`, `stopped`, `failed`.
        total: rows to be read, as counted when it was asked for.
        sent: of them, in the log. applied: of them, acknowledged by the workers.
        failed: changes in its range that are recorded as failed and open.
        ghosts: documents removed because their rows are gone. missing: rows that had no document after the fill, written since.
            Both None where it does not prune, and before it has.
        asked: how often Debezium had to be asked. restarts: how often the connector was restarted for it.
        rate: rows acknowledged in a second, None before the first.
        left_s: expected seconds until all are, None while nothing can be said.
        condition: what it waits for, or what went wrong; empty where it simply goes on or is done.
    """

    id: int
    index: str
    table: str
    where: str
    prune: bool
    stage: str
    paused: bool
    by: str
    started_at: float
    applied_at: float | None
    ended_at: float | None
    seconds: float
    total: int
    sent: int
    applied: int
    failed: int
    ghosts: int | None
    missing: int | None
    asked: int
    restarts: int
    rate: float | None
    left_s: float | None
    condition: str


@report("backfill")
@dataclass(frozen=True, slots=True)
class BackfillReport:
    """`joined`: one that did what was asked for was running already. `fed`: the indexes that got the rows."""

    joined: bool
    fed: tuple[str, ...]
    created: bool
    backfill: BackfillProgress


@report("backfill-ids")
@dataclass(frozen=True, slots=True)
class BackfillIds:
    """Single documents made what their rows say, by the owners of their partitions.

    Attributes:
        written: ids that were asked for. waiting: how many of them the workers have not done yet.
        differing: those that still are not what their rows say.
    """

    index: str
    written: tuple[str, ...]
    waiting: int
    differing: tuple[str, ...]


@report("backfill-status")
@dataclass(frozen=True, slots=True)
class BackfillStatus:
    """Those that run, else the newest ones; newest first."""

    backfills: tuple[BackfillProgress, ...]


@report("backfill-wish")
@dataclass(frozen=True, slots=True)
class BackfillWished:
    """`done` is false where it was not so within the time: the worker goes on with it."""

    wish: str
    done: bool
    backfill: BackfillProgress


class Way(StrEnum):
    """How to fill an index."""

    IN_PLACE = "in place"
    REINDEX = "reindex"


@report("backfill-plan")
@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """What a backfill would do, and what both ways are expected to take.

    Attributes:
        rows: that would be read. documents: that the index holds now, None where it is missing.
        in_place_s, reindex_s: expected seconds; None where nothing was measured yet that tells.
        in_place_from, reindex_from: what they were worked out from.
        obstacles: what would keep it from starting now.
    """

    index: str
    table: str
    where: str
    rows: int
    documents: int | None
    fed: tuple[str, ...]
    in_place_s: float | None
    in_place_from: str
    reindex_s: float | None
    reindex_from: str
    recommended: Way
    reason: str
    obstacles: tuple[str, ...]


def progress_of(backfill: Backfill, now: float) -> BackfillProgress:
    end = backfill.ended_at or now
    since = (backfill.applied_at or end) - backfill.started_at
    rate = backfill.applied / since if since > 0 and backfill.applied else None
    left = None
    if rate and backfill.ended_at is None and backfill.applied_at is None:
        left = max(0, backfill.total - backfill.applied) / rate
    return BackfillProgress(
        id=backfill.id,
        index=backfill.index,
        table=backfill.table,
        where=backfill.where,
        prune=backfill.prune,
        stage=backfill.stage.value,
        paused=backfill.paused,
        by=backfill.by,
        started_at=backfill.started_at,
        applied_at=backfill.applied_at,
        ended_at=backfill.ended_at,
        seconds=round(end - backfill.started_at, 3),
        total=backfill.total,
        sent=backfill.sent,
        applied=backfill.applied,
        failed=backfill.failed,
        ghosts=backfill.ghosts,
        missing=backfill.missing,
        asked=len(backfill.signals),
        restarts=backfill.restarts,
        rate=None if rate is None else round(rate, 1),
        left_s=None if left is None else round(left, 1),
        condition=backfill.condition,
    )
