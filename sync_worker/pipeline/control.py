"""What operators ask of this worker, read from the state database every second: pauses, retries, documents to write again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sync_worker.pipeline.holds import Holds, Patience
from sync_worker.pipeline.lane import Lane
from sync_worker.pipeline.retry import Retries
from sync_worker.pipeline.rewriting import Rewriting
from sync_worker.ports import PAUSED, Clock, Pause, State

_LOOK_S = 1.0
_BUSY_S = 0.1


class Control:
    """Keeps the lanes paused that are asked to be, confirms it once nothing of theirs is in flight; runs retries and rewrites."""

    def __init__(
        self,
        lanes: Mapping[str, Lane],
        retries: Retries,
        rewriting: Rewriting,
        *,
        worker_name: str,
        state: State,
        holds: Holds,
        patience: Patience,
        clock: Clock,
    ) -> None:
        self._lanes = lanes
        self._retries = retries
        self._rewriting = rewriting
        self._worker_name = worker_name
        self._state = state
        self._holds = holds
        self._patience = patience
        self._clock = clock
        self._confirmed: dict[str, Pause] = {}

    async def run(self, wanted: Callable[[], bool] = lambda: True) -> None:
        """Until cancelled."""
        while True:
            await self._patience.persist("operators' requests", self._round, wanted=wanted)
            await self._clock.sleep(_LOOK_S if self.idle else _BUSY_S)

    @property
    def idle(self) -> bool:
        """Nothing that operators asked for is on its way."""
        return self._retries.idle and self._rewriting.idle

    async def read_pauses(self) -> None:
        """Raises StateUnavailable. Before a partition's first write, so that a restart does not end a pause."""
        asked = await self._state.pauses()
        for name, lane in self._lanes.items():
            if lane.closing:
                continue
            pause = asked.get(lane.index.declared)
            if pause is not None:
                since = f"{pause.asked_by} paused it" + (f": {pause.reason}" if pause.reason else "")
                self._holds.put(name, PAUSED, f"{name}: {since}", f"sync-worker resume {lane.index.declared}")
                lane.paused = True
            elif lane.paused:
                self._holds.lift(name, PAUSED)
                lane.paused = False
                lane.wake()
        for name in list(self._confirmed):
            if self._confirmed[name] != asked.get(name):
                del self._confirmed[name]
        for name, pause in asked.items():
            lanes = [lane for lane in self._lanes.values() if lane.index.declared == name]
            if lanes and all(lane.halted for lane in lanes) and name not in self._confirmed:
                await self._state.confirm_pause(pause, self._worker_name)
                self._confirmed[name] = pause

    async def _round(self) -> None:
        await self.read_pauses()
        await self._retries.round()
        await self._rewriting.round()
