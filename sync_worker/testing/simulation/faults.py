"""What strikes: each fault with its weight, what it does, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sync_worker.testing.meilisearch import tasks as made
from sync_worker.testing.meilisearch.core import State
from sync_worker.testing.meilisearch.index import Index
from sync_worker.testing.simulation import engine

if TYPE_CHECKING:
    from sync_worker.testing.simulation.world import World

_UNFINISHED = ("enqueued", "processing")


@dataclass(frozen=True, slots=True)
class Fault:
    """`strike` gets the world; `weight` is how often it comes, relative to the others."""

    weight: float
    strike: Callable[[World], None]


FAULTS: dict[str, Fault] = {}


def fault(weight: float) -> Callable[[Callable[[World], None]], Callable[[World], None]]:
    def listed(strike: Callable[[World], None]) -> Callable[[World], None]:
        FAULTS[strike.__name__.replace("_", " ")] = Fault(weight, strike)
        return strike

    return listed


class Faults:
    """Strikes now and then until `over`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.over = False
        self.dumps: list[State] = []

    async def strike(self) -> None:
        weights = self._world.profile.weights
        total = sum(weights.values())
        while total and not self.over:
            await asyncio.sleep((0.1, 0.4, 1.0, 2.5)[engine.choose(4)])
            if self.over:
                return
            name = self._drawn(weights, total)
            self._world.struck[name] += 1
            engine.say("fault:", name)
            FAULTS[name].strike(self._world)

    def _drawn(self, weights: dict[str, float], total: float) -> str:
        left = total * (engine.choose(1000) + 0.5) / 1000
        for name, weight in weights.items():
            left -= weight
            if left < 0:
                return name
        return next(name for name, weight in weights.items() if weight)

    def mend(self) -> None:
        """Everything is well again; what was lost stays lost, and a stalled worker sleeps its time out."""
        world, server = self._world, self._world.server
        world.weather.away.clear()
        world.weather.fates.clear()
        world.weather.effect_lost = world.weather.slow = 0.0
        world.connector.stopped_until = 0.0
        server.sick = server.full = server.paused = False
        server.start()


# Workers


@fault(4)
def worker_stalls(world: World) -> None:
    """Shorter or longer than the session time-out; it wakes right where it was, perhaps between a check and a write."""
    if world.living:
        engine.pick(world.living).process.stalled_until = engine.now() + (0.5, 3.0, 9.0, 20.0)[engine.choose(4)]


@fault(3)
def worker_dies(world: World) -> None:
    if world.living:
        worker = engine.pick(world.living)
        if world.letters.letters and any(
            place in world.broker.ends and world.broker.offsets.get(place, 0) <= offset
            for _, place, offset in world.letters.letters
        ):
            world.checks.sometimes["a worker dies between a dead letter and its acknowledgement"] += 1
        worker.kill()


@fault(2)
def worker_leaves(world: World) -> None:
    if world.living:
        asyncio.get_running_loop().create_task(engine.pick(world.living).stop())


@fault(3)
def rebalance(world: World) -> None:
    world.group.rebalance()


# Meilisearch


@fault(3)
def server_pauses(world: World) -> None:
    """Tasks pile up, and merge."""
    world.server.paused = True

    def resume() -> None:
        world.server.paused = False
        world.server.kick()

    engine.after(0.5 + engine.choose(8), resume)


@fault(2)
def server_crashes(world: World) -> None:
    world.server.crash(after_index_commit=engine.chance(0.3), forget_newest=0)
    engine.after(0.2 + engine.choose(4), world.server.start)


@fault(0.4)
def server_forgets_what_it_accepted(world: World) -> None:
    """It dies, and the newest tasks never reached its disk."""
    if any(task.status == "enqueued" for task in world.server.core.state.tasks.values()):
        world.checks.causes.add("tasks forgotten by a crash")
        world.checks.forget()
        world.server.crash(after_index_commit=False, forget_newest=1 + engine.choose(2))
        engine.after(0.2 + engine.choose(4), world.server.start)


@fault(1)
def server_is_sick(world: World) -> None:
    """Every batch fails as `internal`, whatever it holds."""
    world.server.sick = True
    engine.after(1.0 + engine.choose(6), lambda: setattr(world.server, "sick", False))


@fault(1)
def disk_is_full(world: World) -> None:
    world.server.full = True
    engine.after(1.0 + engine.choose(6), lambda: setattr(world.server, "full", False))


@fault(3)
def answer_is_lost(world: World) -> None:
    world.weather.fates.append("answer")


@fault(2)
def request_is_lost(world: World) -> None:
    world.weather.fates.append("request")


@fault(3)
def request_is_late(world: World) -> None:
    """Given up by the worker; it arrives seconds later."""
    world.weather.fates.append("late")


@fault(1)
def request_is_refused(world: World) -> None:
    world.weather.fates.append("refused")


@fault(1)
def task_is_canceled(world: World) -> None:
    uids = frozenset(task.uid for task in world.server.core.state.tasks.values() if task.status == "enqueued" and task.index_uid)
    if uids:
        world.server.core.enqueue(None, "taskCancelation", made.TaskCancelation(uids), {})
        world.server.kick()


@fault(0.7)
def history_is_pruned(world: World) -> None:
    """Finished tasks vanish but for the newest, as the oldest do on a real server."""
    finished = [task.uid for task in world.server.core.state.tasks.values() if task.status not in _UNFINISHED and task.index_uid]
    world.server.core.prune(finished[: -3 - engine.choose(5)])
    world.checks.causes.add("history pruned")


@fault(0.6)
def dump_is_taken_and_restored(world: World) -> None:
    """The first time a dump is taken, later the server goes back to it."""
    dumps = world.faults.dumps
    if not dumps:
        if world.server.idle:
            dumps.append(world.server.core.state.copied())
        return
    world.checks.causes.add("restored")
    world.checks.forget()
    world.server.restore(dumps.pop())


@fault(0.3)
def index_is_made_anew(world: World) -> None:
    """Deleted and created again under its name by somebody; what waits for it goes to the new one."""
    world.checks.causes.add("restored")
    world.checks.forget()
    target = engine.pick(world.targets)
    world.server.core.state.indexes[target.uid] = Index(target.uid, "id", f"2027-01-01T00:00:{engine.choose(1000) / 10}Z")


@fault(0.3)
def somebody_else_writes(world: World) -> None:
    world.checks.causes.add("foreign write")
    world.checks.forget()
    target = engine.pick(world.targets)
    world.server.enqueue(target.uid, made.Deletion((str(1 + engine.choose(world.profile.keys)),)), "documentDeletion", None)


# Around


def _away(part: str) -> Callable[[World], None]:
    def strike(world: World) -> None:
        world.weather.away[part] = engine.now() + (0.3, 1.0, 4.0, 9.0)[engine.choose(4)]

    return strike


FAULTS["state database is away"] = Fault(2, _away("state"))
FAULTS["log is away"] = Fault(1, _away("log"))
FAULTS["source is away"] = Fault(1, _away("source"))
FAULTS["dead letters are away"] = Fault(1, _away("dead letters"))
FAULTS["sink reads fail"] = Fault(1, _away("sink"))


@fault(1)
def state_database_loses_answers(world: World) -> None:
    """It does what it is told, and the connection breaks."""
    world.weather.effect_lost = 0.3
    engine.after(3.0, lambda: setattr(world.weather, "effect_lost", 0.0))


@fault(1)
def everything_is_slow(world: World) -> None:
    world.weather.slow = 0.4
    engine.after(3.0, lambda: setattr(world.weather, "slow", 0.0))


@fault(2)
def connector_restarts(world: World) -> None:
    world.connector.restart()


@fault(1)
def connector_stops(world: World) -> None:
    world.connector.stopped_until = engine.now() + 1.0 + engine.choose(5)


@fault(1)
def snapshot_is_asked_for(world: World) -> None:
    world.connector.snapshot(engine.pick(world.tables))


def _is_first_start(world: World) -> bool:
    """Before the first bookmark there is nothing that could tell that events are missing."""
    return any(place not in world.state.marks for place in world.broker.places)


@fault(0.7)
def retention_takes_what_was_read(world: World) -> None:
    for place in world.broker.places:
        world.broker.retain_from(place, world.broker.offsets.get(place, 0))
    world.checks.causes.add("retention")


@fault(0.25)
def retention_takes_what_was_not_read(world: World) -> None:
    if _is_first_start(world):
        return
    world.checks.causes.add("retention")
    for place in world.broker.places:
        if world.broker.offsets.get(place, 0) < world.broker.ends[place]:
            world.checks.sometimes["retention takes what was not read"] += 1
            world.checks.forget()
            world.broker.retain_from(place, world.broker.ends[place])


@fault(0.25)
def topic_is_made_anew(world: World) -> None:
    if _is_first_start(world):
        return
    world.checks.causes.add("topic made anew")
    world.checks.forget()
    topic = engine.pick(list(world.broker.topics))
    world.checks.topic_is_new(topic)
    world.broker.create(topic, world.profile.partitions, f"id-{engine.choose(1000) + 2}")
    world.connector.snapshot(topic.removeprefix("app."))
