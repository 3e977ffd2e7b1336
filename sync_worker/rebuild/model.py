"""One rebuild, as it is recorded.

A lane's name says which uid it writes to: `cities` writes to the uid that applications query, `cities@cities__1a2b` to the other
one. The swap exchanges the two physical indexes behind the names, and with them everything that is remembered of each: it
is done while no worker writes to either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

LANE_MARK = "@"


class Phase(StrEnum):
    """Where a rebuild is. What is asked of the workers in it: `sync_worker.rebuild.steps`."""

    PLANNED = "planned"
    CREATED = "created"
    """The other uid is there, with primary key and settings."""
    DUAL = "dual-write"
    """Asked; goes on once every worker writes to both."""
    FILLING = "filling"
    GATES = "gates"
    """Filled, or rolled back; nothing is asked but that both are written to."""
    PAUSING = "pausing"
    """Asked; goes on once every worker has nothing in flight, isolating or being recorded."""
    SWAPPING = "swapping"
    """The swap may be on its way: which index bears which name shows in `createdAt` alone."""
    SWAPPED = "swapped"
    ENDING = "ending"
    """Asked to write to the applications' uid alone; goes on once every worker does."""
    DELETING = "deleting"
    DONE = "done"
    ABORTED = "aborted"

    @property
    def over(self) -> bool:
        return self in (Phase.DONE, Phase.ABORTED)


@dataclass(frozen=True, slots=True)
class Rebuild:
    """One row of `rebuilds`.

    Attributes:
        index: name in the configuration.
        uid: that applications query.
        target_uid: the other one; used by no other rebuild.
        epoch: counts the changes of this row, so that a worker confirms exactly one of them.
        old_created_at, new_created_at: the two physical indexes; empty until known.
        new_is_live: `uid` names the new one, as far as workers know.
        changed_at: of the last change of phase, seconds since 1970.
        details: what the steps leave for each other and for the reader.
    """

    id: int
    index: str
    uid: str
    target_uid: str
    phase: Phase
    epoch: int
    old_created_at: str
    new_created_at: str
    new_is_live: bool
    started_at: float
    changed_at: float
    started_by: str
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def target_lane(self) -> str:
        """Name of the lane that writes to `target_uid`."""
        return f"{self.index}{LANE_MARK}{self.target_uid}"

    @property
    def live_created_at(self) -> str:
        """Of the index that `uid` names in this phase; while swapping it may be the other one."""
        return self.new_created_at if self.new_is_live else self.old_created_at

    @property
    def other_created_at(self) -> str:
        """Of the index that `target_uid` names."""
        return self.old_created_at if self.new_is_live else self.new_created_at


@dataclass(frozen=True, slots=True)
class RebuildConfirmation:
    """A worker does since this moment (seconds since 1970) what the rebuild asked in this epoch."""

    worker: str
    epoch: int
    confirmed_at: float


def logical(lane: str) -> str:
    """The index of a lane, as the configuration names it."""
    return lane.partition(LANE_MARK)[0]
