"""Random schedules in which an operator tries failed work again, too early, twice, and in the middle of everything else.

By hand, for many: `python -m tests.unit.pipeline.retry_schedule FIRST COUNT`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from sync_worker.failure.model import FailureStatus
from sync_worker.testing.meilisearch.errors import ApiError

from .schedule import KEYS, POISON, Schedule, by_hand
from .world import PLACE, new_world


class RetrySchedule(Schedule):
    """As its base, and failed work is tried again; what made it fail comes and goes."""

    ill = True

    def steps(self) -> list[tuple[Callable[[], Awaitable[None]], float]]:
        return [*super().steps(), (self.retry, 5), (self.cure, 2), (self.look, 3)]

    async def retry(self) -> None:
        works = await self.world.state.failed_work(limit=100)
        for work in works:
            if self.random.random() < 0.5:
                from_source = self.random.random() < 0.3
                await self.world.state.ask_retry(work.id, from_source=from_source, by="somebody")

    async def cure(self) -> None:
        self.ill = not self.ill

    async def look(self) -> None:
        """Sooner than the worker's own clock has it."""
        await asyncio.sleep(0.06)

    def _poisoned(self, tasks: Sequence[Any]) -> ApiError | None:
        return super()._poisoned(tasks) if self.ill else None

    async def settle(self) -> None:
        await super().settle()
        await self.retry()
        async with asyncio.timeout(20):
            while await self.world.state.failed_work(statuses=[FailureStatus.RETRYING]):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await super().settle()

    async def audit(self) -> None:
        """Every row equals its document, or has an open failure that is its newest change; no ghosts, nothing older."""
        newest: dict[int, tuple[int, str, int]] = {}
        for offset, (kind, key, version) in self.written.items():
            for changed in KEYS if key is None else [key]:
                newest[changed] = (offset, kind, version)
        documents = self.world.documents()
        failures = await self.world.state.open_failures("things", PLACE)
        for key in KEYS:
            offset, kind, version = newest.get(key, (-1, "delete", 0))
            opened = [failed.offset for failed in failures if failed.document_id == str(key)]
            shown = documents.get(str(key))
            expected = None if kind in ("delete", "truncate") else {"id": key, "name": self._name(kind), "n": version}
            if kind in ("bad", POISON) and opened:
                if max(opened) != offset:
                    self.wrong.append(f"document {key}: its newest change {offset} failed, open are {opened}")
            elif opened and max(opened) != offset:
                self.wrong.append(f"document {key}: {kind} at {offset}, and open failures {opened}")
            elif shown != expected:
                self.wrong.append(f"document {key}: shows {shown}, its row is {expected} (offset {offset}), open {opened}")
        assert not self.wrong, f"{self.wrong}\n{self.events}\n{self.written}"

    def _name(self, kind: str) -> str:
        return POISON if kind == POISON else "x"


async def run(seed: int, directory: Path) -> None:
    """Raises AssertionError with what is wrong, and what led to it."""
    async with new_world(directory) as world:
        await RetrySchedule(world, seed).run()


if __name__ == "__main__":
    sys.exit(by_hand(run, 90))
