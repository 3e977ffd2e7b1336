"""A whole system in one process: memory for Kafka and the source, SQLite for the state, the double for Meilisearch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import orjson

from sync_worker.adapters.meilisearch.admin import MeilisearchAdmin
from sync_worker.adapters.meilisearch.client import MeilisearchSink
from sync_worker.adapters.state import StateDatabase
from sync_worker.batch.pace import Limits
from sync_worker.change.model import TopicPartition
from sync_worker.document.declaration import IndexDeclaration
from sync_worker.document.projection import Projector
from sync_worker.errors import StartAgain
from sync_worker.failure.flood import FloodLimits
from sync_worker.pipeline.model import Index, WorkerIdentity
from sync_worker.pipeline.pipeline import Pipeline
from sync_worker.testing.meilisearch import MeilisearchDouble
from sync_worker.testing.meilisearch.errors import ApiError
from sync_worker.testing.meilisearch.tasks import Addition
from sync_worker.testing.memory import MemoryDeadLetters, MemoryGroup, MemoryLog, MemorySource, envelope

TABLE = "public.things"
TOPIC = "app.public.things"
PLACE = TopicPartition(TOPIC, 0)
FIELDS = {"name": "text", "n": "integer"}


class QuickClock:
    """Twenty times as fast, so that the worker's own waits (backoff, polls, idle checks) are short."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic() * 20

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 20)


@dataclass
class Numbers:
    """A Telemetry that keeps what it was told."""

    counters: dict[tuple[str, tuple[tuple[str, str], ...]], float] = field(default_factory=dict)

    def count(self, metric: str, value: float = 1, **labels: str) -> None:
        key = (metric, tuple(sorted(labels.items())))
        self.counters[key] = self.counters.get(key, 0) + value

    def gauge(self, metric: str, value: float, **labels: str) -> None:
        self.counters[(metric, tuple(sorted(labels.items())))] = value

    def observe(self, metric: str, value: float, **labels: str) -> None:
        pass

    def total(self, metric: str) -> float:
        return sum(value for (name, _), value in self.counters.items() if name == metric)


class Worker:
    """One worker: its pipeline and its view of the group."""

    def __init__(self, world: World, name: str, **overrides: Any) -> None:
        self.world = world
        self.group = MemoryGroup(world.log)
        self.numbers = Numbers()
        self.name = name
        self.sinks = [MeilisearchSink(world.double.url, "masterKey", compress="none") for _ in range(1)]
        self.scratch = MeilisearchAdmin(world.double.url, "masterKey", compress="none") if world.with_scratch else None
        self.pipeline = Pipeline(
            [self._index(declaration) for declaration in world.declarations],
            state=world.state,
            log_port=world.log,
            dead_letters=world.dead_letters,
            source=world.source,
            membership=self.group,
            clock=QuickClock(),
            telemetry=self.numbers,
            random=Random(1),
            worker=WorkerIdentity("group", name),
            worker_name=name,
            limits=overrides.get("limits", world.limits),
            flood=overrides.get("flood", world.flood),
        )

    def _index(self, declaration: IndexDeclaration) -> Index:
        return Index(
            name=declaration.name,
            uid=declaration.uid,
            table=declaration.table,
            topic=f"app.{declaration.table}",
            id_field=declaration.id_field,
            projector=Projector(declaration),
            sink=self.sinks[0],
            scratch=self.scratch,
            truncate=str(declaration.truncate),
            max_payload=self.world.max_payload,
        )

    async def assign(self, generation: int, places: Sequence[TopicPartition] = (PLACE,)) -> None:
        """The group gives it these partitions."""
        self.group.assign(places, generation)
        await self.pipeline.assigned(frozenset(places), generation)

    async def deliver(self, place: TopicPartition = PLACE, most: int = 1_000_000) -> None:
        """Everything that is in the log and was not delivered yet."""
        while (chunk := self.group.fetch(place, most)) is not None:
            await self.pipeline.take(chunk)

    async def die(self) -> None:
        """SIGKILL: nothing is finished, nothing acknowledged."""
        self.group.owned = {}
        await self.pipeline.tasks.cancel_all()
        for sink in [*self.sinks, *([self.scratch] if self.scratch else [])]:
            await sink.close()


class World:
    """The parts, and one or more workers."""

    def __init__(self, double: MeilisearchDouble, state: StateDatabase) -> None:
        self.double = double
        self.state = state
        self.log = MemoryLog()
        self.dead_letters = MemoryDeadLetters()
        self.source = MemorySource()
        self.declarations: list[IndexDeclaration] = []
        self.limits = Limits()
        self.flood = FloodLimits()
        self.max_payload = 50_000_000
        self.with_scratch = True
        self.workers: list[Worker] = []

    def declare(self, name: str = "things", **more: Any) -> None:
        given = {"name": name, "table": TABLE, "primary_key": "id", "fields": FIELDS, "settings": {}} | more
        self.declarations.append(IndexDeclaration.model_validate(given))

    async def start(self, partitions: int = 1) -> Worker:
        """Topic and indexes made; one worker started that owns every partition."""
        if not self.declarations:
            self.declare()
        for topic in {f"app.{declaration.table}" for declaration in self.declarations}:
            self.log.create(topic, partitions)
        admin = MeilisearchAdmin(self.double.url, "masterKey", compress="none")
        for declaration in self.declarations:
            await admin.create_index(declaration.uid, declaration.id_field, declaration.settings)
        await admin.close()
        worker = await self.worker("w1")
        await worker.assign(1, list(self.log.partitions))
        return worker

    async def worker_with(self, **overrides: Any) -> Worker:
        """As `start`, with other limits."""
        first = await self.start()
        await self.until(first.pipeline.health.ready, "the partitions are prepared")
        await first.die()
        self.workers.remove(first)
        worker = await self.worker("w2", **overrides)
        await worker.assign(2, list(self.log.partitions))
        return worker

    async def worker(self, name: str, **overrides: Any) -> Worker:
        worker = Worker(self, name, **overrides)
        await worker.pipeline.start()
        self.workers.append(worker)
        return worker

    async def written_and_never_stored(self, worker: Worker, versions: int) -> None:
        """Versions of document 1 are applied one by one; the worker is killed before any progress was stored."""
        await self.until(worker.pipeline.health.ready, "the partition is prepared")

        async def away(*_: object) -> None:
            await asyncio.Event().wait()

        real, self.state.save_progress = self.state.save_progress, away  # type: ignore[method-assign,assignment]
        for version in range(1, versions + 1):
            self.change("u", 1, name="x", n=version)
            await worker.deliver()
            await self.until(lambda v=version: self.documents().get("1", {}).get("n") == v, f"version {version}")  # type: ignore[misc]
        await worker.die()
        self.state.save_progress = real  # type: ignore[method-assign]

    async def started_again(self, worker: Worker, name: str, generation: int) -> Worker:
        """It ended itself to begin anew, as after a decision about its log; another one owns the partition in its place."""
        await asyncio.wait_for(worker.pipeline.tasks.crashed.wait(), 10)
        assert isinstance(worker.pipeline.tasks.crash, StartAgain)
        await worker.die()
        self.workers.remove(worker)
        again = await self.worker(name)
        await again.assign(generation)
        return again

    # What happens in the source

    def change(self, operation: str, key: int, *, place: TopicPartition = PLACE, table: str = TABLE, **row: Any) -> int:
        """A change of one row arrives in the log; its offset."""
        now = int(time.time() * 1000)
        after = {"id": key, "name": None, "n": None} | row if operation != "d" else None
        if operation == "d":
            self.source.tables[table].pop((key,), None)
        else:
            self.source.tables[table][(key,)] = dict(after or {})
        value = envelope(table, operation, row=after, before={"id": key}, source_ms=now)
        return self.log.append(place, orjson.dumps({"id": key}), value, timestamp=now)

    def snapshot_row(
        self, row: Mapping[str, Any], *, place: TopicPartition = PLACE, table: str = TABLE, is_old: bool = False
    ) -> int:
        """This row comes as one of an incremental snapshot; its offset. An old one is not what the table holds."""
        if not is_old:
            self.source.tables[table][(row["id"],)] = dict(row)
        now = int(time.time() * 1000)
        value = envelope(table, "r", row=dict(row), source_ms=now, snapshot="incremental")
        return self.log.append(place, orjson.dumps({"id": row["id"]}), value, timestamp=now)

    def truncate(self, place: TopicPartition = PLACE, table: str = TABLE) -> int:
        now = int(time.time() * 1000)
        self.source.tables[table].clear()
        return self.log.append(place, None, envelope(table, "t", source_ms=now), timestamp=now)

    # What is to be seen

    def documents(self, uid: str = "things") -> dict[str, dict[str, Any]]:
        """Document id → document, as the index holds them now."""
        index = self.double.core.state.indexes[uid]
        return {key: dict(stored.fields) for key, stored in index.ordered()}

    def tasks(self, uid: str = "things") -> list[Any]:
        """Document tasks of the index, oldest first."""
        kinds = {"documentAdditionOrUpdate", "documentDeletion"}
        return [task for task in self.double.core.state.tasks.values() if task.index_uid == uid and task.type in kinds]

    async def until(self, condition: Callable[[], Any], what: str, timeout_s: float = 15.0) -> None:
        """Wait for a condition; the message of the failure says what did not come."""
        end = time.monotonic() + timeout_s
        while not condition():
            for worker in self.workers:
                if worker.pipeline.tasks.crash is not None:
                    raise AssertionError(f"{worker.name} crashed while waiting for: {what}") from worker.pipeline.tasks.crash
            if time.monotonic() > end:
                raise AssertionError(f"never came: {what}")
            await asyncio.sleep(0.005)

    def poison(self, *document_ids: str) -> None:
        """Whatever batch contains one of these documents fails as a whole with `internal`, naming nobody."""

        def fault(tasks: Sequence[Any]) -> ApiError | None:
            additions = [task.content for task in tasks if isinstance(task.content, Addition)]
            ids = {str(incoming.fields.get("id")) for addition in additions for incoming in addition.documents}
            return ApiError("internal", "internal: something is wrong.") if ids & set(document_ids) else None

        self.double.core.batch_fault = fault

    async def failures(self, status: str | None = None) -> list[tuple[str | None, str, str]]:
        """(document id, code, status) of failed work, oldest first."""
        rows = await self.state.failed_work(limit=10_000)
        found = [(row.failure.document_id, row.failure.code, row.status.value) for row in reversed(rows)]
        return [row for row in found if status is None or row[2] == status]

    async def found(self, kind: str, timeout_s: float = 15.0) -> None:
        """Wait until a finding of this kind is open in the state database."""
        end = time.monotonic() + timeout_s
        while kind not in [finding.kind for finding in await self.state.findings()]:
            assert time.monotonic() < end, f"no finding {kind}"
            await asyncio.sleep(0.01)

    async def acknowledged(self, offset: int, place: TopicPartition = PLACE) -> None:
        await self.until(lambda: self.log.offsets.get(place, 0) >= offset, f"acknowledgement of {offset}")


@asynccontextmanager
async def new_world(tmp_path: Path) -> AsyncIterator[World]:
    """A fresh world; every worker in it is stopped at the end."""
    state = await StateDatabase.open(f"sqlite:///{tmp_path}/state.db")
    async with MeilisearchDouble("masterKey") as double:
        world = World(double, state)
        try:
            yield world
        finally:
            for worker in world.workers:
                await worker.die()
            await state.close()
