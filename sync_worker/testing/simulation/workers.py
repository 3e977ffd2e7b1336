"""Workers: the real pipeline in a process that fetches, commits, stalls, wakes as a zombie, dies, and is started again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any, cast

from sync_worker.change.model import TopicPartition
from sync_worker.document.declaration import IndexDeclaration
from sync_worker.document.projection import Projector
from sync_worker.errors import LogUnavailable, StartAgain
from sync_worker.pipeline.model import Index, WorkerIdentity
from sync_worker.pipeline.pipeline import Pipeline
from sync_worker.ports import Chunk
from sync_worker.testing.simulation import engine
from sync_worker.testing.simulation.broker import Beat, OutOfRange
from sync_worker.testing.simulation.checks import Target
from sync_worker.testing.simulation.ports import (
    NoTelemetry,
    Process,
    RemoteLog,
    SimClock,
    remote_letters,
    remote_source,
    remote_state,
)
from sync_worker.testing.simulation.sink import SimSink

if TYPE_CHECKING:
    from sync_worker.testing.simulation.world import World

GROUP = "group"
_FIELDS = {"name": "text", "n": "integer", "big": "text", "at": "integer"}
_BEAT_S = 1.0
_COMMIT_S = 0.7
_RESTART_S = 1.0


@cache
def _projector(target: Target) -> Projector:
    given = {
        "name": target.name,
        "uid": target.uid,
        "table": target.table,
        "primary_key": "id",
        "fields": _FIELDS,
        "settings": {},
    }
    return Projector(IndexDeclaration.model_validate(given))


class Group:
    """Implements `ports.Membership`: the group as one process knows it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.owned: dict[TopicPartition, int] = {}
        self.delivered: dict[TopicPartition, int] = {}
        self.pending: dict[TopicPartition, int] = {}

    def owns(self, partition: TopicPartition, generation: int) -> bool:
        return self.owned.get(partition) == generation

    def acknowledge(self, partition: TopicPartition, generation: int, next_offset: int) -> None:
        if self.owns(partition, generation):
            if next_offset > self.delivered[partition]:
                what = f"{partition} acknowledged {next_offset}, delivered were {self.delivered[partition]}"
                if not self._world.checks.relaxed:
                    self._world.checks.fail(what)
                raise ValueError(what)
            self._world.checks.acknowledged(partition, next_offset, self.delivered[partition])
            self.pending[partition] = next_offset

    def backlog(self, partition: TopicPartition) -> int | None:
        if partition not in self.delivered:
            return None
        return max(0, self._world.broker.ends[partition] - self.delivered[partition])


class SimWorker:
    """One run of a worker. `ended` is set when it left or crashed by itself."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.process = Process(name, world.weather)
        self.group = Group(world)
        self.telemetry = NoTelemetry()
        self.generation = -1
        self.stopping = False
        clock = SimClock(self.process)
        sink = SimSink(world.server, self.process, world.checks.lost)
        self.pipeline = Pipeline(
            [self._index(target, sink) for target in world.targets],
            state=remote_state(self.process, world.state),
            log_port=cast("Any", RemoteLog(self.process, world.broker)),
            dead_letters=remote_letters(self.process, world.letters),
            source=remote_source(self.process, world.source),
            membership=self.group,
            clock=clock,
            telemetry=self.telemetry,
            random=Random(engine.choose(1000)),
            worker=WorkerIdentity(GROUP, name),
            worker_name=name,
            limits=world.profile.limits,
            flood=world.profile.flood,
        )
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []

    def _index(self, target: Target, sink: SimSink) -> Index:
        return Index(
            name=target.name,
            uid=target.uid,
            table=target.table,
            topic=f"app.{target.table}",
            id_field="id",
            projector=_projector(target),
            sink=sink,
            scratch=sink if self.world.profile.scratch else None,
            truncate="clear",
            max_payload=self.world.profile.max_payload,
        )

    @property
    def alive(self) -> bool:
        return not self.process.dead

    def start(self) -> None:
        self._spawn(self._live(), "life")

    def _spawn(self, work: Any, name: str) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work, name=f"{self.process.name} {name}"))

    def kill(self) -> None:
        """SIGKILL: it does nothing any more; what is under way arrives."""
        engine.say(self.process.name, "ends")
        self.process.dead = True

    async def stop(self) -> None:
        """Graceful: drain, commit, leave the group."""
        self.stopping = True
        await self.pipeline.stop(drain_s=2.0)
        self._commit(self.generation)
        self.world.group.leave(self.process.name)
        self.kill()

    # Its life

    async def _live(self) -> None:
        await self.pipeline.start()
        self._spawn(self._commit_for_ever(), "commits")
        self._spawn(self._end_with_the_pipeline(), "watch")
        while not self.stopping:
            await self.process.travel("group", LogUnavailable)
            generation, places = await self.world.group.join(self.process.name)
            await self.process.gate()
            await self._member(generation, places)

    async def _member(self, generation: int, places: list[TopicPartition]) -> None:
        group, broker = self.group, self.world.broker
        engine.say(self.process.name, "is assigned", [f"{p.topic}:{p.partition}" for p in places], "in generation", generation)
        self.generation = generation
        group.owned = dict.fromkeys(places, generation)
        group.pending.clear()
        await self.pipeline.assigned(frozenset(places), generation)
        fetching = []
        for place in places:
            committed, start = broker.offsets.get(place), broker.starts[place]
            inside = committed is not None and start <= committed <= broker.ends[place]
            group.delivered[place] = committed if committed is not None and inside else start
            if group.delivered[place] < self.world.highest.get(place, 0):
                self.world.checks.sometimes["records are delivered again"] += 1
            fetching.append(asyncio.get_running_loop().create_task(self._fetch(place, generation)))
        while True:
            await self._clock.sleep(_BEAT_S)
            if self.stopping:
                return
            if self.world.group.heartbeat(self.process.name, generation) is not Beat.STABLE:
                break
        for task in fetching:
            task.cancel()
        if not self.world.server.idle:
            self.world.checks.sometimes["partitions change hands while tasks are unfinished"] += 1
        engine.say(self.process.name, "loses its partitions of generation", generation)
        await self.pipeline.revoked(frozenset(places))
        self._commit(generation)
        group.owned = {}

    async def _fetch(self, place: TopicPartition, generation: int) -> None:
        group, broker, world = self.group, self.world.broker, self.world
        event = asyncio.Event()
        broker.waiting.append(event)
        while True:
            await self.process.gate()
            try:
                records = broker.fetch(place, group.delivered[place], 1 + engine.choose(6))
            except OutOfRange as gone:
                engine.say(self.process.name, "can't read on:", gone)
                world.checks.sometimes["what is read next is not in the log"] += 1
                self._commit(generation)
                world.group.leave(self.process.name)
                self.kill()
                return
            if not records:
                event.clear()
                await event.wait()
                if (seconds := self.process.delay()) > 0:
                    await asyncio.sleep(seconds)
                continue
            following = records[-1].offset + 1
            engine.say(self.process.name, "fetches", f"{place.topic}:{place.partition}", f"{records[0].offset}..{following - 1}")
            group.delivered[place] = following
            world.highest[place] = max(following, world.highest.get(place, 0))
            try:
                await self.pipeline.take(Chunk(place, generation, records, following))
            except Exception as error:
                # The stream ends the process then. A log that was replaced between two looks at it may do that.
                if not world.checks.relaxed:
                    world.checks.fail(f"{self.process.name} could not take {place}: {type(error).__name__}: {error}")
                self.kill()
                return
            world.look_at_memory(self)

    async def _commit_for_ever(self) -> None:
        while True:
            await self._clock.sleep(_COMMIT_S)
            if not self.stopping:
                self._commit(self.generation)

    def _commit(self, generation: int) -> None:
        if not self.group.pending or self.process.dead:
            return
        if self.world.weather.is_away("log"):
            return
        if not self.world.weather.calm and engine.chance(self.world.profile.lost_commits):
            self.world.checks.sometimes["a commit is lost"] += 1
            return
        engine.say(self.process.name, "commits", dict(self.group.pending), "in generation", generation)
        if self.world.group.commit(self.process.name, generation, self.group.pending):
            self.group.pending.clear()
        else:
            self.world.checks.sometimes["a commit is refused"] += 1

    async def _end_with_the_pipeline(self) -> None:
        tasks = self.pipeline.tasks
        await tasks.crashed.wait()
        await self.process.gate()
        if not isinstance(tasks.crash, StartAgain):
            self.world.checks.fail(f"{self.process.name} crashed: {type(tasks.crash).__name__}: {tasks.crash}")
        self._commit(self.generation)
        self.world.group.leave(self.process.name)
        self.kill()

    @property
    def settled(self) -> bool:
        """Owns what it should, has prepared it, and has nothing to do."""
        lanes = cast("Mapping[str, Any]", self.pipeline._lanes)
        return all(lane.quiet for lane in lanes.values()) and (not self.group.owned or self.pipeline.health.ready())
