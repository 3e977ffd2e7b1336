"""What `sync-worker wait --json` and `GET /barrier` say of a barrier."""

from __future__ import annotations

from dataclasses import dataclass

from sync_worker.operations.barrier import BarrierReport
from sync_worker.operations.report import report


@dataclass(frozen=True, slots=True)
class PlaceBehind:
    """A partition that is not there yet.

    Attributes:
        end: the offset that it has to pass.
        applied: how far it is, and `worker` who says so; both None where nobody says.
    """

    topic: str
    partition: int
    end: int
    applied: int | None
    worker: str | None


@dataclass(frozen=True, slots=True)
class WhatBlocks:
    """What it waits for, with the way to mend it. `needs_operator`: it does not go by itself."""

    subject: str
    kind: str
    cause: str
    remedy: str
    needs_operator: bool


@report("wait")
@dataclass(frozen=True, slots=True)
class WaitReport:
    """How it went.

    Attributes:
        verdict: `passed`, `behind` or `blocked`.
        stage: where it ended: `message`, `connector` or `applied`.
        lsn: of the message that proves it; None where none came.
        seconds: it took.
        cause: what could not be found out, or did not come; None where it passed.
    """

    verdict: str
    indexes: tuple[str, ...]
    strict: bool
    stage: str
    lsn: str | None
    seconds: float
    cause: str | None
    behind: tuple[PlaceBehind, ...]
    obstacles: tuple[WhatBlocks, ...]


def wait_report(told: BarrierReport) -> WaitReport:
    return WaitReport(
        verdict=str(told.verdict),
        indexes=told.indexes,
        strict=told.strict,
        stage=str(told.stage),
        lsn=told.lsn or None,
        seconds=told.seconds,
        cause=told.cause or None,
        behind=tuple(
            PlaceBehind(
                one.partition.topic,
                one.partition.partition,
                one.target.end,
                None if one.position is None else one.position.applied,
                None if one.position is None else one.position.holder,
            )
            for one in told.behind
        ),
        obstacles=tuple(WhatBlocks(o.subject, o.kind, o.cause, o.remedy, o.blocking) for o in told.obstacles),
    )
