"""Random schedules: changes, deliveries, pauses, poison, lost answers, kills and late writes in any order; then the books.

By hand, for many: `python -m tests.unit.pipeline.schedule FIRST COUNT`.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from random import Random
from typing import Any

import orjson

from sync_worker.batch.metadata import WriteMetadata
from sync_worker.testing.meilisearch.errors import ApiError
from sync_worker.testing.meilisearch.faults import LoseAnswer, LoseRequest, Operation, Reject
from sync_worker.testing.meilisearch.tasks import Addition

from .world import PLACE, Worker, World, new_world

KEYS = range(1, 7)
POISON = "poison"


class Schedule:
    """One run. `events` is what was done, for the message of a failure."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = Random(seed)
        self.worker: Worker
        self.generation = 1
        self.version = 0
        self.written: dict[int, tuple[str, int | None, int]] = {}
        self.zombies = 0
        self.delivery: asyncio.Task[None] | None = None
        self.events: list[str] = []
        self.wrong: list[str] = []

    async def run(self) -> None:
        self.world.with_scratch = self.random.random() < 0.5
        self.world.double.core.batch_fault = self._poisoned
        self.worker = await self.world.start()
        self._watch()
        steps = self.steps()
        for _ in range(self.random.randint(15, 60)):
            (step,) = self.random.choices([step for step, _ in steps], [weight for _, weight in steps])
            self.events.append(step.__name__)
            await step()
        await self.settle()
        await self.audit()

    # Steps

    def steps(self) -> list[tuple[Callable[[], Awaitable[None]], float]]:
        """What may happen, and how often."""
        return [
            (self.change, 10), (self.deliver, 8), (self.rest, 6), (self.pause, 2), (self.resume, 3),
            (self.lose, 2), (self.reject, 1), (self.kill, 1), (self.rebalance, 1), (self.zombie, 2), (self.truncate, 0.7),
            (self.catch_up, 1.5),
        ]  # fmt: skip

    async def change(self) -> None:
        for _ in range(self.random.randint(1, 5)):
            key = self.random.choice(KEYS)
            self.version += 1
            kind = self.random.choices(["good", "delete", "bad", POISON], [7, 2, 1, 1])[0]
            if kind == "delete":
                offset = self.world.change("d", key)
            elif kind == "good":
                self._good(key)
                continue
            else:
                n: Any = "not a number" if kind == "bad" else self.version
                offset = self.world.change("u", key, name=POISON if kind == POISON else "x", n=n)
            self.written[offset] = (kind, key, self.version)

    def _good(self, key: int) -> None:
        self.version += 1
        self.written[self.world.change("u", key, name="x", n=self.version)] = ("good", key, self.version)

    async def truncate(self) -> None:
        self.version += 1
        self.written[self.world.truncate()] = ("truncate", None, self.version)

    async def deliver(self) -> None:
        worker, most = self.worker, self.random.choice([1, 2, 5, 100])
        before = self.delivery

        async def one() -> None:
            if before is not None:
                await before
            if self.worker is worker and (chunk := worker.group.fetch(PLACE, most)) is not None:
                await worker.pipeline.take(chunk)

        self.delivery = asyncio.ensure_future(one())
        await asyncio.sleep(0)

    async def rest(self) -> None:
        await asyncio.sleep(self.random.choice([0, 0.001, 0.005, 0.02]))

    async def catch_up(self) -> None:
        """Everything is read and acknowledged: what lands from now on of an earlier generation is late."""
        self.world.double.faults.clear()
        self.world.double.resume()
        if self.delivery is not None:
            await self.delivery
            self.delivery = None
        self._good(self.random.choice(KEYS))  # without a scratch index the last of several bad ones waits for one that passes
        await self.worker.deliver()
        await self.world.acknowledged(self.world.log.end(PLACE))

    async def pause(self) -> None:
        self.world.double.pause()

    async def resume(self) -> None:
        self.world.double.resume()

    async def lose(self) -> None:
        operation = self.random.choice([Operation.ADD_DOCUMENTS, Operation.DELETE_DOCUMENTS, Operation.CLEAR_DOCUMENTS])
        fault = LoseAnswer() if self.random.random() < 0.5 else LoseRequest()
        self.world.double.queue_fault(operation, fault)
        self.zombies += operation is Operation.CLEAR_DOCUMENTS  # a rebalance makes a lost one late

    async def reject(self) -> None:
        self.world.double.queue_fault(self.random.choice([Operation.ADD_DOCUMENTS, Operation.READ_TASKS]), Reject(503))

    async def kill(self) -> None:
        if self.delivery is not None:
            self.delivery.cancel()
            self.delivery = None
        await self.worker.die()
        self.world.workers.remove(self.worker)
        self.generation += 1
        self.worker = await self.world.worker(f"w{self.generation}")
        self._watch()
        await self.worker.assign(self.generation)

    async def rebalance(self) -> None:
        if self.delivery is not None:
            self.delivery.cancel()
            self.delivery = None
        self.generation += 1
        await self.worker.assign(self.generation)

    async def zombie(self) -> None:
        """An earlier owner's write of some range lands now, or its clear."""
        end = self.world.log.end(PLACE)
        if end < 2 or self.generation < 2:
            return
        low = self.random.randrange(end)
        high = min(end - 1, low + self.random.randint(0, 4))
        newest: dict[int, tuple[str, int]] = {}
        for offset in range(low, high + 1):
            kind, key, version = self.written[offset]
            if kind == "truncate":
                await self._clear_late(offset)
                return
            if key is not None and kind in ("good", "delete"):
                newest[key] = (kind, version)
        metadata = WriteMetadata("write", "group", "zombie", self.generation - 1, "late", {PLACE: (low, high)}).encode()
        rows = [{"id": key, "name": "x", "n": version} for key, (kind, version) in newest.items() if kind == "good"]
        gone = [str(key) for key, (kind, _) in newest.items() if kind == "delete"]
        self.zombies += 1
        core = self.world.double
        core.faults.clear()
        if rows:
            await self.worker.sinks[0].write("things", b"\n".join(orjson.dumps(row) for row in rows), metadata=metadata)
        if gone:
            await self.worker.sinks[0].delete("things", gone, metadata=metadata)

    async def _clear_late(self, offset: int) -> None:
        metadata = WriteMetadata("clear", "group", "zombie", self.generation - 1, "late", {PLACE: (offset, offset)}).encode()
        self.zombies += 1
        self.world.double.faults.clear()
        await self.worker.sinks[0].clear("things", metadata=metadata)

    # What is watched

    def _poisoned(self, tasks: Sequence[Any]) -> ApiError | None:
        for task in tasks:
            if isinstance(task.content, Addition) and any(d.fields.get("name") == POISON for d in task.content.documents):
                return ApiError("internal", "internal: something is wrong.")
        return None

    def _watch(self) -> None:
        """Nothing is acknowledged that is not applied, superseded, or in the dead letters (invariant 1)."""
        real = self.worker.group.acknowledge

        def acknowledge(partition: Any, generation: int, next_offset: int) -> None:
            if self.worker.group.owns(partition, generation):
                self._look(next_offset)
            real(partition, generation, next_offset)

        self.worker.group.acknowledge = acknowledge  # type: ignore[method-assign]

    def _look(self, next_offset: int) -> None:
        letters = {failure.offset for failure, _ in self.world.dead_letters.letters}
        documents = self.world.documents()
        for key in KEYS:
            newest, later_gone = None, False
            for offset, (kind, changed, version) in self.written.items():
                if changed == key or kind == "truncate":
                    if offset < next_offset:
                        newest = (offset, kind, version)
                    elif kind in ("delete", "truncate"):
                        later_gone = True
            if newest is None:
                continue
            offset, kind, version = newest
            shown = documents.get(str(key), {}).get("n")
            if kind in ("bad", POISON) and offset not in letters and (shown is None or shown < version) and not later_gone:
                self.wrong.append(f"{next_offset} acknowledged, failure at {offset} not recorded")
            if not self.zombies and kind == "good" and (shown or 0) < version and not later_gone:
                self.wrong.append(f"{next_offset} acknowledged, {offset} (document {key}) not applied: {shown} < {version}")

    # The end

    async def settle(self) -> None:
        world, worker = self.world, self.worker
        await self.catch_up()
        for _ in range(3):
            worker.pipeline._keepers[PLACE.topic]._checked_at = -1e9
            await worker.pipeline._tick(PLACE.topic)
            await world.until(lambda: worker.pipeline._lanes["things"].quiet, "the lane is quiet")
            await world.double.wait_idle()

    async def audit(self) -> None:
        """Every row equals its document, or has an open failure that is its newest change; no ghosts."""
        newest: dict[int, tuple[int, str, int]] = {}
        for offset, (kind, key, version) in self.written.items():
            for changed in KEYS if key is None else [key]:
                newest[changed] = (offset, kind, version)
        documents = self.world.documents()
        failures = await self.world.state.open_failures("things", PLACE)
        for key in KEYS:
            offset, kind, version = newest.get(key, (-1, "delete", 0))
            open_offsets = [failed.offset for failed in failures if failed.document_id == str(key)]
            shown = documents.get(str(key))
            if kind in ("bad", POISON):
                if not open_offsets or max(open_offsets) != offset:
                    self.wrong.append(f"document {key}: its newest change {offset} failed, open are {open_offsets}")
                continue
            if open_offsets:
                self.wrong.append(f"document {key}: {kind} at {offset}, and open failures {open_offsets}")
            expected = {"id": key, "name": "x", "n": version} if kind == "good" else None
            if shown != expected:
                self.wrong.append(f"document {key}: shows {shown}, its row is {expected} (offset {offset})")
        assert not self.wrong, f"{self.wrong}\n{self.events}\n{self.written}"


async def run(seed: int, directory: Path) -> None:
    """Raises AssertionError with what is wrong, and what led to it."""
    async with new_world(directory) as world:
        await Schedule(world, seed).run()


def by_hand(run: Callable[[int, Path], Coroutine[Any, Any, None]], limit_s: float) -> int:
    """The seeds that the command line names, one after the other; the exit status."""
    first, count = map(int, sys.argv[1:])
    broken = 0
    for seed in range(first, first + count):
        with tempfile.TemporaryDirectory() as directory:
            try:
                asyncio.run(asyncio.wait_for(run(seed, Path(directory)), limit_s))
            except Exception as error:
                broken += 1
                print(f"seed {seed}: {type(error).__name__}: {error}", flush=True)
    print(f"{broken} of {count} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(by_hand(run, 60))
