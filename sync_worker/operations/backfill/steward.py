"""Going on with backfills: each worker looks for them, and the one that holds the lease takes the next step.

Nothing of a backfill lives in a process alone. Whatever is done next is stored before it is done, and may be done twice: so
the terminal, this worker, Connect, Kafka and Meilisearch may each end at any moment, and somebody goes on from the row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import structlog

from sync_worker.backfill.model import Backfill, Stage, Wish
from sync_worker.errors import EnvironmentFault, SyncWorkerError
from sync_worker.operations.backfill.applying import apply_step
from sync_worker.operations.backfill.parts import BackfillParts
from sync_worker.operations.backfill.pruning import prune_step
from sync_worker.operations.backfill.scanning import Scanning, begins_again, start_step

T = TypeVar("T")
log = structlog.get_logger(__name__)

_LEASE_S = 12.0
_RENEW_S = 3.0
_IDLE_S = 1.0
_STEP_S = 0.5
_FAULT_S = 2.0


class Steward:
    """One for each worker."""

    def __init__(self, parts: BackfillParts) -> None:
        self._parts = parts
        self._scanning = Scanning(parts)

    async def run(self) -> None:
        """For ever. What keeps a step from being done is shown with the backfill, and tried again."""
        while True:
            try:
                busy = await self.round()
            except SyncWorkerError as error:
                log.warning("backfill", cause=error.message)
                busy = False
            await self._parts.clock.sleep(_STEP_S if busy else _IDLE_S)

    async def round(self) -> bool:
        """One step of each backfill that is this worker's to go on with; whether there was any. Raises StateUnavailable."""
        busy = False
        for known in await self._parts.state.backfills(running_only=True):
            if not await self._parts.state.hold_backfill(known.id, self._parts.worker, _LEASE_S):
                continue
            # Read again: the last holder may have stored something meanwhile.
            backfill = await self._parts.state.backfill(known.id)
            if backfill is None or backfill.stage.ended or backfill.table not in {w.table for w in self._parts.watched.values()}:
                continue
            busy = True
            await self._take_step(backfill)
        return busy

    async def _take_step(self, backfill: Backfill) -> None:
        try:
            after = await self._held(backfill, self._step(backfill))
        except EnvironmentFault as fault:
            after = replace(backfill, condition=fault.message)
            await self._parts.clock.sleep(_FAULT_S)
        except SyncWorkerError as error:
            after = self._ended(backfill, Stage.FAILED, error.message)
        if after is None:
            return
        if after != backfill:
            if await self._parts.state.save_backfill(after, self._parts.worker) and after.stage != backfill.stage:
                log.info("backfill", id=after.id, index=after.index, stage=after.stage.value, condition=after.condition)
            if after.stage.ended and not backfill.stage.ended:
                await self._parts.state.audit(
                    after.by,
                    "backfill ended",
                    after.index,
                    {"id": after.id, "stage": after.stage.value, "cause": after.condition},
                )

    async def _step(self, backfill: Backfill) -> Backfill:
        if backfill.wish is Wish.STOP and backfill.stage is not Stage.SCANNING:
            return self._ended(backfill, Stage.STOPPED, "stopped by an operator")
        if backfill.stage is not Stage.REQUESTED and (again := await begins_again(self._parts, backfill)) is not None:
            self._scanning.forget(backfill)
            return again
        match backfill.stage:
            case Stage.REQUESTED:
                return await start_step(self._parts, backfill)
            case Stage.SCANNING:
                return await self._scanning.step(backfill)
            case Stage.APPLYING:
                return await apply_step(self._parts, backfill)
            case _:
                return await prune_step(self._parts, backfill)

    def _ended(self, backfill: Backfill, stage: Stage, condition: str) -> Backfill:
        return replace(backfill, stage=stage, condition=condition, ended_at=self._parts.clock.now())

    async def _held(self, backfill: Backfill, step: Coroutine[Any, Any, T]) -> T | None:
        """The step's result; None where the backfill became another worker's meanwhile, or somebody wants it stopped."""
        task = asyncio.ensure_future(step)
        renewal = asyncio.ensure_future(self._renew(backfill))
        try:
            await asyncio.wait({task, renewal}, return_when=asyncio.FIRST_COMPLETED)
            return await task if task.done() else None
        finally:
            for one in (task, renewal):
                one.cancel()
            await asyncio.gather(task, renewal, return_exceptions=True)

    async def _renew(self, backfill: Backfill) -> None:
        """Returns when the step is to be given up."""
        while True:
            await self._parts.clock.sleep(_RENEW_S)
            try:
                if not await self._parts.state.hold_backfill(backfill.id, self._parts.worker, _LEASE_S):
                    return
                now = await self._parts.state.backfill(backfill.id)
            except EnvironmentFault:
                continue
            if now is None or now.wish is not backfill.wish:
                return
