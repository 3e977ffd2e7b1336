"""A table in memory, the double for Meilisearch, and a worker that applies what was committed when a barrier is asked for."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import orjson

from sync_worker.adapters.meilisearch.admin import MeilisearchAdmin
from sync_worker.adapters.meilisearch.documents import MeilisearchDocuments
from sync_worker.document.declaration import IndexDeclaration
from sync_worker.document.ids import decode
from sync_worker.document.projection import Projector
from sync_worker.drift.model import Key, SourceRow
from sync_worker.operations.barrier import BarrierReport, Stage, Verdict
from sync_worker.operations.drift import Compared, DriftParts
from sync_worker.testing.meilisearch import MeilisearchDouble
from sync_worker.testing.memory_state import MemoryState

FIELDS = {"name": "text", "n": "integer"}


class Clock:
    """Its sleeps take no time."""

    def __init__(self) -> None:
        self.slept = 0.0

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic() + self.slept

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds


class State(MemoryState):
    """With the failed work that operators see."""

    async def failed_work(self, **_: Any) -> Sequence[Any]:
        return [row.frozen() for row in self.failed.values()]

    async def workers(self) -> Sequence[Any]:
        return self.seen

    seen: Sequence[Any] = ()


class Table:
    """Implements `Rows` and `Snapshot`: key → row, and a version for each change."""

    def __init__(self) -> None:
        self.held: dict[int, dict[str, Any]] = {}
        self.versions: dict[int, int] = {}
        self.changes = 0

    def put(self, key: int, **row: Any) -> None:
        self.changes += 1
        self.held[key] = {"id": key, "name": None, "n": None, "gone": None} | row
        self.versions[key] = self.changes

    def delete(self, key: int) -> None:
        del self.held[key]

    def _row(self, key: int) -> SourceRow:
        return SourceRow({"id": key}, dict(self.held[key]), str(self.versions[key]))

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Table]:
        seen = Table()
        seen.held = {key: dict(row) for key, row in self.held.items()}
        seen.versions = dict(self.versions)
        yield seen

    async def rows(self, where: str | None = None, *, page: int = 100) -> AsyncIterator[Sequence[SourceRow]]:
        keys = sorted(self.held)
        for start in range(0, len(keys), page):
            yield [self._row(key) for key in keys[start : start + page]]

    async def sample(self, count: int, *, page: int = 100) -> AsyncIterator[Sequence[SourceRow]]:
        yield [self._row(key) for key in Random(1).sample(sorted(self.held), min(count, len(self.held)))]

    async def count(self, where: str | None = None) -> int:
        return len(self.held)

    async def page(self, after: Key | None, size: int) -> Sequence[SourceRow]:
        return [self._row(key) for key in sorted(self.held) if after is None or key > after["id"]][:size]

    async def now(self, keys: Sequence[Key]) -> Sequence[SourceRow | None]:
        return [self._row(key["id"]) if key["id"] in self.held else None for key in keys]

    async def key_of(self, document_id: str) -> Key | None:
        try:
            return {"id": int(decode(document_id, 1)[0])}
        except ValueError:
            return None


class Site:
    """One table, one index.

    Attributes:
        on_barrier: called with each barrier, before it passes: the worker applies, and others go on changing rows.
    """

    def __init__(self, double: MeilisearchDouble, **declared: Any) -> None:
        given = {"name": "things", "table": "public.things", "primary_key": "id", "fields": FIELDS, "settings": {}} | declared
        self.declaration = IndexDeclaration.model_validate(given)
        self.double = double
        self.table = Table()
        self.state = State(now=time.time)
        self.clock = Clock()
        self.projector = Projector(self.declaration)
        self.admin = MeilisearchAdmin(double.url, "masterKey", compress="none")
        self.documents = MeilisearchDocuments(double.url, "masterKey")
        self.on_barrier: Callable[[], Any] | None = None
        self.barriers = 0
        filtered = self.declaration.predicate is not None or self.declaration.soft_delete is not None
        self.target = Compared(
            "things",
            "things",
            "id",
            "app.public.things",
            self.projector,
            self.table,
            self.documents,
            alone=True,
            filtered=filtered,
        )
        self.parts = DriftParts(self.state, self, self.clock, Random(1))  # type: ignore[arg-type]

    async def open(self) -> Site:
        await self.admin.create_index("things", "id", self.declaration.settings)
        return self

    async def close(self) -> None:
        await self.admin.close()
        await self.documents.close()

    async def require(self, indexes: Collection[str] = (), *, strict: bool = True, timeout_s: float) -> BarrierReport:
        assert strict, "a record that the connector is still repeating would be called drift"
        self.barriers += 1
        if self.on_barrier is not None:
            await self.on_barrier()
        return BarrierReport(Verdict.PASSED, tuple(indexes), strict, Stage.APPLIED, "", (), (), "", 0.0)

    async def apply(self, *keys: int) -> None:
        """What the worker does: these documents become what their rows say, all of them without names."""
        for key in keys or sorted(self.table.held):
            row = self.table.held.get(key)
            document = None if row is None else self.projector.document(row, {"id": key})
            if document is None:
                await self._done(await self.admin.delete("things", [str(key)], metadata="w"))
            else:
                await self.plant(document)

    async def fill(self) -> None:
        documents = [self.projector.document(row, {"id": key}) for key, row in self.table.held.items()]
        await self._done(
            await self.admin.write("things", b"\n".join(orjson.dumps(one) for one in documents if one is not None), metadata="w")
        )

    async def plant(self, document: dict[str, Any]) -> None:
        """A document that is there, whoever wrote it."""
        await self._done(await self.admin.write("things", orjson.dumps(document), metadata="x"))

    async def remove(self, *keys: Any) -> None:
        await self._done(await self.admin.delete("things", [str(key) for key in keys], metadata="x"))

    async def _done(self, uid: Any) -> None:
        while not (task := (await self.admin.tasks([uid]))[uid]).status.finished:
            pass
        assert task.status.value == "succeeded", task
