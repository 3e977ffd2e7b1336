"""The worker killed in each phase of a rebuild, with changes before, meanwhile and after: its successor goes on, or gives up."""

from __future__ import annotations

import asyncio

import pytest

from sync_worker.rebuild.model import Phase

from .rebuild import TARGET, Steps
from .world import PLACE, TABLE, Worker, World

ABORTABLE = (Phase.DUAL, Phase.FILLING, Phase.GATES)
WAYS = [(phase, "resume") for phase in (*ABORTABLE, Phase.PAUSING, Phase.SWAPPING, Phase.SWAPPED, Phase.ENDING)]
WAYS += [(phase, "abort") for phase in ABORTABLE]


def rows(world: World) -> dict[str, dict[str, object]]:
    return {str(key): dict(row) for (key,), row in world.source.tables[TABLE].items()}


class Rebuild:
    """The steps in order, with a worker that dies in one of them."""

    def __init__(self, world: World, steps: Steps, dies_in: Phase) -> None:
        self.world = world
        self.steps = steps
        self.dies_in = dies_in
        self.worker: Worker
        self.served: list[set[str]] = []

    async def to(self, *phases: Phase) -> None:
        for phase in phases:
            await getattr(self, f"_{phase.name.lower()}")()

    async def _dual(self) -> None:
        await self.steps.create()
        await self._asked(Phase.DUAL)

    async def _filling(self) -> None:
        await self._asked(Phase.FILLING)
        for row in list(self.world.source.tables[TABLE].values()):
            self.world.snapshot_row(row)
        await self._settled()

    async def _gates(self) -> None:
        await self.steps.filled()
        await self._die(Phase.GATES)

    async def _pausing(self) -> None:
        await self._asked(Phase.PAUSING)

    async def _swapping(self) -> None:
        await self.steps._to(self.steps.now, Phase.SWAPPING)
        await self._die(Phase.SWAPPING, writes=False)
        await self.steps.admin.enqueue_swap("things", TARGET)
        while await self.steps.admin.unfinished_swaps():  # noqa: ASYNC110 - the server decides
            await asyncio.sleep(0.005)

    async def _swapped(self) -> None:
        await self.steps.exchanged()
        await self._die(Phase.SWAPPED)

    async def _ending(self) -> None:
        await self._asked(Phase.ENDING)
        await self.steps._to(self.steps.now, Phase.DELETING)
        await self.steps.admin.delete_index(TARGET)
        over = Phase.DONE if self.steps.now.new_is_live else Phase.ABORTED
        assert await self.world.state.end_rebuild(self.steps.now, over) is not None

    async def _asked(self, phase: Phase) -> None:
        """Killed as soon as it is recorded: its successor confirms."""
        await self.steps.ask(phase)
        await self._die(phase)
        await self.steps.confirmed(self.worker.name)

    async def _die(self, phase: Phase, *, writes: bool = True) -> None:
        if phase is not self.dies_in:
            return
        self.world.change("u", 1, name="in flight", n=100)
        delivery = asyncio.ensure_future(self.worker.deliver())
        await asyncio.sleep(0.01)
        await self.worker.die()
        delivery.cancel()
        self.world.workers.remove(self.worker)
        self.served.append(set(self.world.documents()))
        self.worker = await self.world.worker("w2")
        await self.worker.assign(2)
        self.world.change("d", 2)
        self.world.change("c", 30, name="after", n=30)
        if writes and phase is not Phase.PAUSING:
            await self._settled()

    async def _settled(self) -> None:
        await self.worker.deliver()
        await self.world.acknowledged(self.world.log.end(PLACE))
        await self.world.until(lambda: all(lane.quiet for lane in self.worker.pipeline._lanes.values()), "nothing is in flight")


@pytest.mark.parametrize(("phase", "way"), WAYS, ids=[f"{phase.value}-{way}" for phase, way in WAYS])
async def test_nothing_is_lost_and_the_old_index_is_served(world: World, phase: Phase, way: str) -> None:
    """Resumed to its end, or given up: the applications' uid shows the table, and no second index is left."""
    steps = Steps(world)
    rebuild = Rebuild(world, steps, phase)
    rebuild.worker = await world.start()
    for key in range(1, 6):
        world.change("c", key, name="before", n=key)
    await rebuild._settled()
    before = [Phase.DUAL, Phase.FILLING, Phase.GATES, Phase.PAUSING, Phase.SWAPPING, Phase.SWAPPED]
    await rebuild.to(*(before[: before.index(phase) + 1] if way == "abort" else before), Phase.ENDING)
    await rebuild._settled()
    assert rebuild.served == [{"1", "2", "3", "4", "5"}]
    assert world.documents("things") == rows(world)
    assert rows(world)["30"]["name"] == "after"
    assert TARGET not in world.double.core.state.indexes
    assert [finding.kind for finding in await world.state.findings()] == []
    await steps.close()
