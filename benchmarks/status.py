"""How long `status` takes on a quiet stack, beside a worker that has nothing to do: the look itself, and the whole process."""

from __future__ import annotations

import asyncio
import time

from benchmarks import cities
from benchmarks.harness import Figure, Goal, NotMeasuredError, Setting, quantile
from benchmarks.server import Server
from benchmarks.site import site, started
from sync_worker import api
from sync_worker.config import Config

PARTS = ("postgres", "kafka", "connect", "meilisearch")
_ROWS = 1_000
_SAMPLES = 20
_RUNS = 5


def measure(setting: Setting) -> list[Figure]:
    server = Server(setting.stack)
    with site(setting.stack, setting.folder) as mine:
        mine.create_database()
        worker = started(server, mine, cities.rows(_ROWS))
        config = api.read_config(mine.config)
        looks = asyncio.run(_looks(config))
        command: list[float] = []
        for _ in range(_RUNS):
            began = time.perf_counter()
            mine.cli("status")
            command.append(time.perf_counter() - began)
        worker.stop()
        server.delete(mine.name)
    server.close()
    detail = f"p95 {1000 * quantile(looks, 0.95):.0f} ms; every connection is opened for each look"
    return [
        Figure("status, p50", 1000 * quantile(looks, 0.5), "ms", Goal(at_most=300.0), detail),
        Figure("  whole process", 1000 * quantile(command, 0.5), "ms", None, f"Python's start and imports included; of {_RUNS}"),
    ]


async def _looks(config: Config) -> list[float]:
    taken = []
    for _ in range(_SAMPLES):
        began = time.perf_counter()
        report = await api.status(config)
        taken.append(time.perf_counter() - began)
        if report.unreachable:
            raise NotMeasuredError(f"a part did not answer: {report.unreachable}")
    return taken
