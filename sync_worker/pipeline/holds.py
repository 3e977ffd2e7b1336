"""Holding: what the worker waits for, since when, and how it goes on.

A fault of the environment is tried again with backoff for ever. What needs an operator becomes a finding in the state
database, and the worker waits until somebody cleared it. Nothing is acknowledged meanwhile, and nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import TypeVar

import structlog

from sync_worker.errors import EnvironmentFault, OperatorNeeded, OwnershipLost, SyncWorkerError
from sync_worker.failure.backoff import backoff
from sync_worker.failure.findings import FindingKind, found
from sync_worker.ports import Clock, State

T = TypeVar("T")
log = structlog.get_logger(__name__)

_FINDING_POLL_S = 2.0


@dataclass(frozen=True, slots=True)
class Hold:
    """One thing that waits. `since` is seconds since 1970; `kind` is the error's class or the finding's kind."""

    subject: str
    kind: str
    cause: str
    remedy: str
    since: float


class Holds:
    """All holds of this worker, on display."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._holds: dict[tuple[str, str], Hold] = {}

    def put(self, subject: str, kind: str, cause: str, remedy: str) -> None:
        old = self._holds.get((subject, kind))
        since = old.since if old is not None else self._clock.now()
        self._holds[subject, kind] = Hold(subject, kind, cause, remedy, since)
        if old is None:
            log.warning("hold", subject=subject, kind=kind, cause=cause, remedy=remedy)

    def lift(self, subject: str, kind: str) -> None:
        hold = self._holds.pop((subject, kind), None)
        if hold is not None:
            log.info("hold lifted", subject=subject, kind=kind, seconds=round(self._clock.now() - hold.since, 3))

    def current(self) -> list[Hold]:
        return sorted(self._holds.values(), key=lambda hold: hold.since)

    def __contains__(self, subject: str) -> bool:
        return any(held == subject for held, _ in self._holds)


class Patience:
    """Tries something until it works, and says what it waits for meanwhile."""

    def __init__(self, holds: Holds, state: State, clock: Clock, random: Random) -> None:
        self.holds = holds
        self._state = state
        self._clock = clock
        self._random = random

    async def persist(self, subject: str, attempt: Callable[[], Awaitable[T]], *, wanted: Callable[[], bool]) -> T:
        """The result of `attempt`, tried again after every fault of the environment; all other errors pass.

        Raises OwnershipLost as soon as `wanted` says that nobody needs the result any more.
        """
        failed = 0
        kinds: set[str] = set()
        try:
            while True:
                if not wanted():
                    raise OwnershipLost(f"{subject}: no longer wanted")
                try:
                    return await attempt()
                except EnvironmentFault as fault:
                    failed += 1
                    kinds.add(type(fault).__name__)
                    self.holds.put(subject, type(fault).__name__, fault.message, fault.remedy)
                    pause = fault.retry_after_s or backoff(failed, self._random.random())
                    await self._pause(pause, wanted)
        finally:
            for kind in kinds:
                self.holds.lift(subject, kind)

    async def wait_for_operator(self, subject: str, needed: OperatorNeeded, *, wanted: Callable[[], bool]) -> None:
        """Record the finding and return once somebody cleared it. Raises OwnershipLost when no longer wanted."""
        self.holds.put(subject, needed.kind, needed.message, needed.remedy)
        finding = found(FindingKind(needed.kind), subject, needed.message, now=self._clock.now())
        stored = False
        try:
            while wanted():
                try:
                    if not stored:
                        await self._state.add_finding(finding)
                        stored = True
                    if not any(f.kind == needed.kind and f.subject == subject for f in await self._state.findings()):
                        log.info("finding cleared", subject=subject, kind=needed.kind)
                        return
                except EnvironmentFault as fault:
                    log.warning("state database", cause=fault.message)
                await self._pause(_FINDING_POLL_S, wanted)
        finally:
            self.holds.lift(subject, needed.kind)
        raise OwnershipLost(f"{subject}: no longer wanted")

    async def was_accepted(self, subject: str, needed: OperatorNeeded) -> bool:
        """Whether an operator cleared exactly this finding, evidence included."""
        return any(
            f.cleared_by and f.kind == needed.kind and f.subject == subject and f.evidence == needed.message
            for f in await self._state.findings(open_only=False)
        )

    async def _pause(self, seconds: float, wanted: Callable[[], bool]) -> None:
        end = self._clock.monotonic() + seconds
        while wanted() and (left := end - self._clock.monotonic()) > 0:
            await self._clock.sleep(min(left, 0.25))


def explain(error: BaseException) -> str:
    """One line for a log or a hold."""
    return error.message if isinstance(error, SyncWorkerError) else f"{type(error).__name__}: {error}"
