"""A backfill as it is stored: everything that another process needs to go on with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Stage(StrEnum):
    """Where a backfill is. The last three are ends."""

    REQUESTED = "requested"
    """Stored; no signal was sent yet."""
    SCANNING = "scanning"
    """Debezium was asked to read the table."""
    APPLYING = "applying"
    """Every row is in the log; the workers have not acknowledged all of them yet."""
    PRUNING = "pruning"
    """Every row is applied; documents without a row are being found and removed."""
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        return self in (Stage.DONE, Stage.STOPPED, Stage.FAILED)


class Wish(StrEnum):
    """What an operator wants of a backfill that runs."""

    RUN = "run"
    PAUSE = "pause"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Backfill:
    """One backfill. Moments are seconds since 1970.

    Attributes:
        id: 0 until it is stored.
        index: that it was asked for; every index of the table gets the rows.
        where: SQL condition on the rows; empty for all.
        prune: documents of `index` whose rows are gone are removed afterwards.
        total: rows to be read, as counted when it was asked for.
        signals: ids of the signals that asked Debezium for the rows, oldest first: it may have to be asked again.
        asked_at: when the newest of them was sent; 0 before.
        notices_from: offset in the notification topic from which on they tell of this backfill.
        topic_id, starts, ends: partition number → where its rows begin and end in the data topic; `ends` are empty until the scan
            was over.
        scanned: rows that Debezium says it has read; None until the scan was over.
        sent: rows of it that are in the log, as far as known.
        applied: rows of it that the workers have acknowledged, as far as known.
        restarts: how often the connector was restarted for it.
        condition: what it waits for or what went wrong; empty where it simply goes on.
        ghosts, missing: documents without a row, and rows without a document, that were found after it and mended; None
            before, and where it does not prune.
        failed: changes in its range that were recorded as failed.
    """

    id: int
    index: str
    table: str
    where: str
    prune: bool
    stage: Stage
    wish: Wish
    by: str
    started_at: float
    total: int
    paused: bool = False
    signals: tuple[str, ...] = ()
    asked_at: float = 0.0
    notices_from: int = 0
    topic_id: str = ""
    starts: Mapping[int, int] = field(default_factory=dict)
    ends: Mapping[int, int] = field(default_factory=dict)
    scanned: int | None = None
    sent: int = 0
    applied: int = 0
    restarts: int = 0
    condition: str = ""
    ghosts: int | None = None
    missing: int | None = None
    failed: int = 0
    updated_at: float = 0.0
    applied_at: float | None = None
    ended_at: float | None = None

    @property
    def complete(self) -> bool:
        """It fills the index: every row, and no document without one."""
        return self.prune and not self.where

    @property
    def run(self) -> str:
        """How its work is called among requests, findings and the audit log."""
        return f"backfill {self.id}"

    def covers(self, index: str, where: str, prune: bool) -> bool:
        """Whether it does what is asked for here as well."""
        return self.index == index and self.where == where and (self.prune or not prune)
