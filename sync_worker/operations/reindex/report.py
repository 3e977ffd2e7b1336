"""What `reindex` says."""

from __future__ import annotations

from dataclasses import dataclass

from sync_worker.operations.reindex.gates import GateSeen
from sync_worker.operations.report import report


@dataclass(frozen=True, slots=True)
class RebuildShown:
    """Where one rebuild is. Moments are seconds since 1970.

    Attributes:
        live_uid: that applications query, always the same.
        live: `old` or `new`: which physical index bears it; `unknown` while a swap may be on its way.
        live_created_at: of that index, empty while unknown.
        target_uid: the name of the other one.
        waits_for: what comes next, and the command for it.
        confirmed_by, unconfirmed: workers, as far as this phase asks them.
        paused_s: how long the last swap let writing wait; None before.
        gates: as they were seen last.
    """

    index: str
    phase: str
    live_uid: str
    live: str
    live_created_at: str
    target_uid: str
    waits_for: str
    confirmed_by: tuple[str, ...]
    unconfirmed: tuple[str, ...]
    started_at: float
    changed_at: float
    started_by: str
    paused_s: float | None
    gates: tuple[GateSeen, ...]
    backfill: int | None


@report("reindex")
@dataclass(frozen=True, slots=True)
class ReindexReport:
    rebuilds: tuple[RebuildShown, ...]


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """What a rebuild of one index would do.

    Attributes:
        rows, documents: in the table, and in the live index.
        seconds: expected, by the rate that was measured; None where none was.
        disk_bytes: that the second index is expected to need, as much as the live one takes; None where the server does not say.
        steps: in words, in order.
        obstacles: what stands in the way now.
    """

    index: str
    uid: str
    target_uid: str
    rows: int
    documents: int
    seconds: float | None
    disk_bytes: int | None
    steps: tuple[str, ...]
    obstacles: tuple[str, ...]


@report("reindex-plan")
@dataclass(frozen=True, slots=True)
class ReindexPlan:
    indexes: tuple[IndexPlan, ...]
