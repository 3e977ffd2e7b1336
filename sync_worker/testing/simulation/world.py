"""One run: a world whose shape, workload and faults are chosen by the seed; quiescence; the books."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from sync_worker.batch.pace import Limits
from sync_worker.change.model import TopicPartition
from sync_worker.failure.flood import FloodLimits
from sync_worker.testing.meilisearch import tasks as made
from sync_worker.testing.memory_state import MemoryState
from sync_worker.testing.simulation import engine
from sync_worker.testing.simulation.broker import Broker, Coordinator
from sync_worker.testing.simulation.checks import Checks, Target
from sync_worker.testing.simulation.faults import FAULTS, Faults
from sync_worker.testing.simulation.operator import Operator
from sync_worker.testing.simulation.ports import EPOCH_S, DeadLetterTopic, Weather
from sync_worker.testing.simulation.sink import NAMED, POISON, SHY, Server
from sync_worker.testing.simulation.source import Connector, Source
from sync_worker.testing.simulation.workers import SimWorker

TABLES = ("public.things", "public.others")
_QUIET_S = 11.0
_PATIENCE_S = 300.0
_ENTRY_BYTES = 700
_CHUNK = 6


@dataclass(frozen=True, slots=True)
class Profile:
    """What kind of world it is.

    Attributes:
        partitions: of each topic.
        weights: fault → how often, relative to the others; a focus leaves out what it does not name.
        lost_commits: how likely a commit never reaches the group.
        events: how many changes the application makes.
    """

    tables: int
    partitions: int
    second_index: bool
    workers: int
    keys: int
    events: int
    scratch: bool
    limits: Limits
    flood: FloodLimits
    max_payload: int
    weights: dict[str, float]
    poison: float
    truncates: float
    lost_commits: float
    may_lose_creates: bool = False


@dataclass(frozen=True, slots=True)
class Focus:
    """Narrows what a seed may choose, so that one kind of trouble comes often. None leaves it to the seed."""

    faults: tuple[str, ...] | None = None
    partitions: int | None = None
    tables: int | None = None
    workers: int | None = None
    second_index: bool | None = None
    scratch: bool | None = None
    poison: float | None = None
    truncates: float | None = None
    tight: bool | None = None
    flood: int | None = None
    lost_commits: float | None = None
    events: int | None = None
    may_lose_creates: bool = False


def _profile(focus: Focus) -> Profile:
    pick = engine.pick
    tight = engine.chance(0.15) if focus.tight is None else focus.tight
    few = engine.chance(0.15)
    names = focus.faults if focus.faults is not None else tuple(FAULTS)
    weights = {name: FAULTS[name].weight for name in names}
    if focus.faults is None:
        for name in names:  # most runs know only some faults, so that each gets room
            if engine.chance(0.55):
                weights[name] = 0.0
    return Profile(
        tables=focus.tables or 1 + engine.chance(0.25),
        partitions=focus.partitions or 1 + engine.chance(0.3),
        second_index=engine.chance(0.15) if focus.second_index is None else focus.second_index,
        workers=focus.workers or pick((1, 2, 2, 3)),
        keys=3 + engine.choose(5),
        events=focus.events or 10 + engine.choose(30),
        scratch=engine.chance(0.5) if focus.scratch is None else focus.scratch,
        limits=Limits(flush_documents=4, flush_bytes=3_000, in_flight_documents=8, in_flight_bytes=12_000) if tight else Limits(),
        flood=FloodLimits(run=focus.flood or (4 if few else 500)),
        max_payload=1_000 if tight else 50_000_000,
        weights=weights,
        poison=pick((0.0, 0.1, 0.25)) if focus.poison is None else focus.poison,
        truncates=pick((0.0, 0.0, 0.04)) if focus.truncates is None else focus.truncates,
        lost_commits=pick((0.0, 0.0, 0.3)) if focus.lost_commits is None else focus.lost_commits,
        may_lose_creates=focus.may_lose_creates,
    )


class World:
    """Everything of one run."""

    def __init__(self, focus: Focus) -> None:
        self.profile = profile = _profile(focus)
        self.weather = Weather()
        self.server = Server()
        self.broker = Broker()
        self.group = Coordinator(self.broker)
        self.source = Source()
        self.state = MemoryState(lambda: EPOCH_S + engine.now())
        self.tables = TABLES[: profile.tables]
        self.targets = [Target(table.partition(".")[2], table.partition(".")[2], table) for table in self.tables]
        if profile.second_index:
            self.targets.append(Target("copies", "copies", TABLES[0]))
        self.checks = Checks(self.targets, self.source, self.state, self.server, self.group)
        self.letters = DeadLetterTopic(self.checks.dead_lettered)
        self.connector = Connector(self.source, self.broker, self.checks.told, may_lose=profile.may_lose_creates)
        self.checks.connector = self.connector
        self.highest: dict[TopicPartition, int] = {}
        self.workers: list[SimWorker] = []
        self.struck: Counter[str] = Counter()
        self.operator = Operator(self)
        self.faults = Faults(self)
        self._names = 0
        self._connecting = True

    # Shape

    def _build(self) -> None:
        for table in self.tables:
            self.source.tables[table] = {}
            self.broker.create(f"app.{table}", self.profile.partitions)
        for target in self.targets:
            self.server.core.enqueue(target.uid, "indexCreation", made.IndexCreation("id"), {})
            batch = self.server.core.begin()
            assert batch is not None
            self.server.core.finish(batch)
        self.server.processed, self.server.registered = self.checks.processed, self.checks.registered
        if self.profile.limits.flush_documents < 10:
            self.server.small_payloads = True
        self.group.start()

    def hire(self) -> SimWorker:
        self._names += 1
        worker = SimWorker(self, f"w{self._names}")
        self.workers.append(worker)
        worker.start()
        return worker

    @property
    def living(self) -> list[SimWorker]:
        return [worker for worker in self.workers if worker.alive and not worker.stopping]

    # One run

    async def run(self) -> None:
        self._build()
        engine.after_each_step(self._check, "what must never happen")
        for _ in range(self.profile.workers):
            self.hire()
        spawn = asyncio.get_running_loop().create_task
        helpers = [spawn(self._connect()), spawn(self._orchestrate()), spawn(self.operator.work()), spawn(self.faults.strike())]
        await self._apply_changes()
        self.faults.over = True
        self.weather.calm = True
        self.faults.mend()
        await self._until_quiet()
        self.checks.at_the_end()
        self._check()
        for helper in helpers:
            helper.cancel()

    def _check(self) -> None:
        if self.checks.problem:
            raise engine.Violation(self.checks.problem)

    async def _apply_changes(self) -> None:
        """The application: bursts of changes, with pauses between them."""
        left = self.profile.events
        while left > 0:
            for _ in range(min(left, 1 + engine.choose(5))):
                left -= 1
                self._change()
            await asyncio.sleep((0.05, 0.2, 0.6, 1.5, 4.0)[engine.choose(5)])

    def _change(self) -> None:
        table, key = engine.pick(self.tables), 1 + engine.choose(self.profile.keys)
        source = self.source
        if engine.chance(self.profile.truncates):
            source.truncate(table)
        elif engine.chance(0.2):
            source.delete(table, key)
        elif engine.chance(0.07):
            source.move(table, key, 1 + engine.choose(self.profile.keys))
        elif engine.chance(self.profile.poison):
            what = engine.pick(("bad", POISON, NAMED, SHY))
            source.upsert(table, key, "x" if what == "bad" else what, bad=what == "bad", large=engine.chance(0.5))
        else:
            source.upsert(table, key, "x", large=engine.chance(0.5))

    async def _connect(self) -> None:
        while True:
            if not self.connector.idle:
                self.connector.step(1 + engine.choose(4))
            await asyncio.sleep((0.05, 0.2, 0.4)[engine.choose(3)])

    async def _orchestrate(self) -> None:
        """Start again what ended."""
        while True:
            await asyncio.sleep(1.0)
            for _ in range(self.profile.workers - len(self.living)):
                self.hire()

    async def _until_quiet(self) -> None:
        """Everything is acknowledged, nothing is in flight, and the keepers have looked again since."""
        since: float | None = None
        seen = -1
        end = engine.now() + _PATIENCE_S
        while since is None or engine.now() - since < _QUIET_S:
            if engine.now() > end:
                raise engine.Violation(f"it never comes to rest: {self._why_not_quiet()}")
            await asyncio.sleep(0.5)
            before, seen = seen, self.server.core.state.next_task
            if (why := self._why_not_quiet()) or seen != before:
                since = None
                if "nothing shows" in why and engine.chance(0.1):
                    # By the rule it waits for other documents to show who is to blame: life goes on.
                    self.source.upsert(self.tables[0], 50 + engine.choose(20), "x")
                    for table in self.tables[1:]:
                        self.source.upsert(table, 50 + engine.choose(20), "x")
            elif since is None:
                since = engine.now()

    def _why_not_quiet(self) -> str:
        broker = self.broker
        if not self.connector.idle:
            return "the connector has work"
        if not self.server.idle:
            return "Meilisearch has work"
        for place in broker.places:
            if broker.offsets.get(place, 0) < broker.ends[place] and broker.starts[place] < broker.ends[place]:
                holds = [(w.process.name, hold) for w in self.living for hold in w.pipeline.health.holds()]
                return f"{place} is committed up to {broker.offsets.get(place)} of {broker.ends[place]}, holds: {holds}"
            if not any(worker.group.owns(place, self.group.generation) for worker in self.living):
                return f"nobody owns {place}"
        for worker in self.living:
            if worker.process.stalled_until > engine.now():
                return f"{worker.process.name} sleeps"
            if not worker.settled or worker.pipeline.health.holds():
                return f"{worker.process.name} has work, holds: {worker.pipeline.health.holds()}"
        if self.operator.busy:
            return "the operator has work"
        return ""

    # Bounds

    def look_at_memory(self, worker: SimWorker) -> None:
        """Called after each chunk that a worker took (invariant 7)."""
        lanes = worker.pipeline._lanes.values()
        limits = self.profile.limits
        size = sum(lane.size for lane in lanes)
        bound = limits.in_flight_bytes + len(self.targets) * self.profile.partitions * _CHUNK * _ENTRY_BYTES
        if size > limits.in_flight_bytes:
            self.checks.sometimes["memory is full"] += 1
        if size > bound:
            self.checks.fail(f"{worker.process.name} holds {size} bytes, allowed are {bound}")


def scenario(focus: Focus, seen: Callable[[World], None]) -> Callable[[], object]:
    """What the engine runs; `seen` is given each world as it is made, to read its counters afterwards."""

    async def main() -> None:
        world = World(focus)
        seen(world)
        await world.run()

    return main
