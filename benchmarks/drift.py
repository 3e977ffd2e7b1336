"""Comparing all cities with their documents, against reading the same rows and fetching the same documents without comparing;
and the memory of a comparison of a million rows, in a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import resource
import secrets
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import orjson
import psycopg

from benchmarks import cities
from benchmarks.harness import Figure, Goal, NotMeasuredError, Setting
from benchmarks.server import Server
from sync_worker.adapters.clock import SystemClock
from sync_worker.adapters.meilisearch.documents import MeilisearchDocuments
from sync_worker.adapters.source.table import PostgresTable
from sync_worker.document.declaration import IndexDeclaration
from sync_worker.document.projection import Projector
from sync_worker.operations.barrier import BarrierReport
from sync_worker.operations.drift import Compared, DriftParts, IndexDrift, Wanted, compare
from sync_worker.testing.memory_state import MemoryState

PARTS = ("postgres", "meilisearch")
_ROUNDS = 3
_MILLION = 1_000_000
_AT_ONCE = 3
_SMALL: dict[str, Any] = {"table": "public.small", "primary_key": "id", "fields": {"name": "text"}, "settings": {}}


class _Still:
    """Nothing changes meanwhile: the second look is never needed."""

    async def require(self, indexes: object = (), *, strict: bool = True, timeout_s: float) -> BarrierReport:
        raise NotMeasuredError("rows and documents differ")


class _State(MemoryState):
    async def failed_work(self, **_: object) -> list[Any]:
        return []


@asynccontextmanager
async def _target(dsn: str, url: str, key: str, uid: str, declaration: IndexDeclaration) -> AsyncIterator[Compared]:
    async with AsyncExitStack() as stack:
        projector = Projector(declaration)
        rows = PostgresTable(dsn, "", declaration.table, declaration.primary_key, sorted(declaration.columns))
        stack.push_async_callback(rows.close)
        documents = MeilisearchDocuments(url, key)
        stack.push_async_callback(documents.close)
        yield Compared("cities", uid, "id", "topic", projector, rows, documents, filtered=False)


async def _bare(target: Compared) -> int:
    """As many requests at the same time as the comparison has."""
    running: deque[asyncio.Task[Any]] = deque()
    count = 0
    async with target.rows.snapshot() as snapshot:
        async for page in snapshot.rows():
            ids = [str(row.key["id"]) for row in page]
            running.append(asyncio.ensure_future(target.documents.fetch(target.uid, "id", ids, vectors=False)))
            if len(running) >= _AT_ONCE:
                count += len(await running.popleft())
    return count + sum([len(await task) for task in running])


async def _compare(target: Compared) -> IndexDrift:
    parts = DriftParts(_State(), _Still(), SystemClock(), Random())  # type: ignore[arg-type]
    drift, _ = await compare(parts, target, Wanted())
    if not drift.in_sync:
        raise NotMeasuredError(f"rows and documents differ: {drift.counts}")
    return drift


def measure(setting: Setting) -> list[Figure]:
    name = f"drift{secrets.token_hex(4)}"
    server = Server(setting.stack)
    with psycopg.connect(setting.stack.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    dsn = f"{setting.stack.database_url.rpartition('/')[0]}/{name}"
    try:
        return [*_speed(setting, server, dsn, name), _memory(setting, server, dsn, f"{name}-small")]
    finally:
        server.close()
        with psycopg.connect(setting.stack.database_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _speed(setting: Setting, server: Server, dsn: str, uid: str) -> list[Figure]:
    found, declaration = cities.rows(setting.rows), cities.declaration()
    cities.load(dsn, found)
    projector = Projector(declaration)
    server.create(uid, cities.DECLARATION["settings"])
    server.load(uid, (orjson.dumps(projector.document(row, {"id": row["id"]})) for row in found))

    async def both() -> tuple[float, float]:
        bare, whole = [], []
        async with _target(dsn, setting.stack.meili_url, setting.stack.meili_key, uid, declaration) as target:
            for _ in range(_ROUNDS):
                began = time.perf_counter()
                if await _bare(target) != len(found):
                    raise NotMeasuredError("not every document is there")
                between = time.perf_counter()
                await _compare(target)
                bare.append(between - began)
                whole.append(time.perf_counter() - between)
                setting.say(f"drift: {bare[-1]:.1f} s read and fetched, {whole[-1]:.1f} s compared")
        return min(bare), min(whole)

    bare, whole = asyncio.run(both())
    server.delete(uid)
    detail = f"{whole:.1f} s, ids of all documents included, for {len(found):,} rows; {bare:.1f} s without; best of {_ROUNDS}"
    return [Figure("drift --content", whole / bare, "of reading and fetching alone", Goal(at_most=1.3), detail)]


def _memory(setting: Setting, server: Server, dsn: str, uid: str) -> Figure:
    with psycopg.connect(dsn) as connection:
        connection.execute(b"CREATE TABLE small (id int PRIMARY KEY, name text)")
        connection.execute(b"INSERT INTO small SELECT n, 'row ' || n %% 1000 FROM generate_series(1, %s) n", [_MILLION])
    server.create(uid, {"searchableAttributes": ["name"]})
    server.load(uid, (orjson.dumps({"id": n, "name": f"row {n % 1000}"}) for n in range(1, _MILLION + 1)))
    arguments = [dsn, setting.stack.meili_url, setting.stack.meili_key, uid]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.drift", *arguments], capture_output=True, text=True, timeout=600, check=False
    )
    server.delete(uid)
    if done.returncode:
        raise NotMeasuredError(done.stderr[-500:])
    told = json.loads(done.stdout)
    detail = f"the whole process at its highest; {told['rows']:,} rows of two columns in {told['seconds']:.0f} s"
    return Figure("  memory at a million rows", told["mib"], "MiB", Goal(at_most=300.0), detail)


async def _alone(dsn: str, url: str, key: str, uid: str) -> None:
    """In a process of its own, so that its highest memory is the comparison's."""
    async with _target(dsn, url, key, uid, IndexDeclaration.model_validate(_SMALL | {"name": "small"})) as target:
        drift = await _compare(target)
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": drift.rows, "seconds": drift.seconds, "mib": mib}))


if __name__ == "__main__":
    asyncio.run(_alone(*sys.argv[1:]))
