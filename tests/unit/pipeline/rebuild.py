"""A rebuild in a world of tests: the steps that the command line takes, without their gates."""

from __future__ import annotations

import asyncio
from typing import Any

from sync_worker.adapters.meilisearch.admin import MeilisearchAdmin
from sync_worker.rebuild.model import Phase, Rebuild

from .world import TABLE, World

TARGET = "things__2"


class Steps:
    """One rebuild of `things`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.admin = MeilisearchAdmin(world.double.url, "masterKey", compress="none")
        self.now: Rebuild

    async def close(self) -> None:
        await self.admin.close()

    async def create(self) -> None:
        old = await self.admin.identity("things")
        new = await self.admin.create_index(TARGET, "id", {})
        assert old is not None
        planned = await self.world.state.add_rebuild("things", "things", TARGET, by="test", details={})
        await self._to(planned, Phase.CREATED, old_created_at=old.created_at, new_created_at=new.created_at)

    async def _to(self, rebuild: Rebuild, phase: Phase, **more: Any) -> None:
        taken = await self.world.state.advance_rebuild(rebuild, phase, **more)
        assert taken is not None
        self.now = taken

    async def ask(self, phase: Phase, *workers: str) -> None:
        """The next phase; returns once these workers have confirmed it."""
        await self._to(self.now, phase)
        await self.confirmed(*workers)

    async def confirmed(self, *workers: str, timeout_s: float = 15.0) -> None:
        end = asyncio.get_running_loop().time() + timeout_s
        while (missing := set(workers) - set(await self.confirming())) and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert not missing, f"{self.now.phase}: not confirmed by {missing}"

    async def confirming(self) -> list[str]:
        return [found.worker for found in await self.world.state.rebuild_confirmations(self.now)]

    async def dual(self, *workers: str) -> None:
        await self.create()
        await self.ask(Phase.DUAL, *workers)

    async def fill(self, *workers: str) -> None:
        """Every row of the source comes as a row of an incremental snapshot."""
        await self.ask(Phase.FILLING, *workers)
        for row in list(self.world.source.tables[TABLE].values()):
            self.world.snapshot_row(row)

    async def filled(self) -> None:
        await self._to(self.now, Phase.GATES)

    async def swap(self, *workers: str) -> None:
        """There or back."""
        await self.ask(Phase.PAUSING, *workers)
        await self._to(self.now, Phase.SWAPPING)
        await self.admin.enqueue_swap("things", TARGET)
        while await self.admin.unfinished_swaps():  # noqa: ASYNC110 - the server decides
            await asyncio.sleep(0.005)
        await self.exchanged()

    async def exchanged(self) -> None:
        identity = await self.admin.identity("things")
        assert identity is not None
        assert identity.created_at == self.now.other_created_at
        done = await self.world.state.exchange_rebuild(self.now, Phase.GATES if self.now.new_is_live else Phase.SWAPPED)
        assert done is not None
        self.now = done

    async def end(self, *workers: str) -> None:
        """Finish or abort: dual write off, then the other index deleted."""
        await self.ask(Phase.ENDING, *workers)
        await self._to(self.now, Phase.DELETING)
        await self.admin.delete_index(TARGET)
        assert await self.world.state.end_rebuild(self.now, Phase.DONE if self.now.new_is_live else Phase.ABORTED) is not None
