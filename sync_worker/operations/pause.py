"""Pausing an index: the workers stop writing to it, keep its place, and lose nothing, until it is resumed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sync_worker.document.declaration import require_declared
from sync_worker.operations.audit import audited
from sync_worker.operations.books import Books
from sync_worker.operations.report import report
from sync_worker.operations.workers import live_workers
from sync_worker.ports import Clock, Pause

_LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class PausedIndex:
    """One index.

    Attributes:
        since: seconds since 1970.
        confirmed_by: workers that have nothing of it in flight and write nothing more.
        waiting_for: live workers that did not confirm in time.
    """

    index: str
    since: float
    by: str
    reason: str
    confirmed_by: tuple[str, ...]
    waiting_for: tuple[str, ...]


@report("pause")
@dataclass(frozen=True, slots=True)
class PauseReport:
    """`confirmed`: every live worker confirmed every index. With no worker alive that is so: one that starts reads it first."""

    confirmed: bool
    workers: tuple[str, ...]
    indexes: tuple[PausedIndex, ...]


@dataclass(frozen=True, slots=True)
class ResumedIndex:
    index: str
    was_paused: bool


@report("resume")
@dataclass(frozen=True, slots=True)
class ResumeReport:
    indexes: tuple[ResumedIndex, ...]


async def pause(
    state: Books,
    indexes: Sequence[str],
    *,
    declared: Collection[str],
    reason: str,
    actor: str,
    timeout_s: float,
    clock: Clock,
) -> PauseReport:
    """Returns once every live worker has confirmed, or after `timeout_s`: then the pause stands, and is not confirmed.

    Raises ConfigurationError for an index that is not declared, StateUnavailable.
    """
    require_declared(indexes, declared)
    pauses: list[Pause] = []
    async with audited(state, actor, "pause", " ".join(sorted(set(indexes))), {"reason": reason}) as told:
        for name in sorted(set(indexes)):
            pauses.append(await state.pause(name, by=actor, reason=reason))
        made = await _confirmed(state, pauses, timeout_s, clock)
        told["confirmed"] = made.confirmed
    return made


async def _confirmed(state: Books, pauses: Sequence[Pause], timeout_s: float, clock: Clock) -> PauseReport:
    deadline = clock.monotonic() + timeout_s
    while True:
        # Every worker, not just those that told of the index's partitions: what a heartbeat tells may be ten seconds old.
        alive = {worker.worker for worker in await live_workers(state, clock)}
        indexes = []
        for pause in pauses:
            confirmed = {found.worker for found in await state.pause_confirmations(pause.index)}
            indexes.append(
                PausedIndex(
                    pause.index,
                    pause.asked_at,
                    pause.asked_by,
                    pause.reason,
                    tuple(sorted(confirmed & alive)),
                    tuple(sorted(alive - confirmed)),
                )
            )
        confirmed_all = not any(index.waiting_for for index in indexes)
        if confirmed_all or clock.monotonic() > deadline:
            return PauseReport(confirmed_all, tuple(sorted(alive)), tuple(indexes))
        await clock.sleep(_LOOK_S)


async def resume(state: Books, indexes: Sequence[str], *, declared: Collection[str], actor: str) -> ResumeReport:
    """The workers go on within a second or two. Raises ConfigurationError for an index that is not declared, StateUnavailable."""
    paused = await state.pauses()
    require_declared(indexes, {*declared, *paused})
    resumed = []
    async with audited(state, actor, "resume", " ".join(sorted(set(indexes))), {}) as told:
        for name in sorted(set(indexes)):
            resumed.append(ResumedIndex(name, await state.resume(name)))
        told["were_paused"] = [one.index for one in resumed if one.was_paused]
    return ResumeReport(tuple(resumed))
