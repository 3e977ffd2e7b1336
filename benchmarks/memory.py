"""Resident memory of the worker over a backlog of a million events."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import httpx

from benchmarks import cities
from benchmarks.harness import Figure, Goal, NotMeasuredError, Setting
from benchmarks.server import Server
from benchmarks.site import Worker, site

PARTS = ("kafka", "meilisearch")
_EVENTS = 1_000_000
_WITHIN_S = 1800.0
_EVERY_S = 0.5
_FLAT_MIB = 40.0


def measure(setting: Setting) -> list[Figure]:
    found = cities.rows(setting.rows)
    events = min(_EVENTS, 5 * len(found))
    server = Server(setting.stack)
    with site(setting.stack, setting.folder) as mine:
        cities.create_topic(setting.stack.kafka_bootstrap, mine.topic)
        cities.produce(setting.stack.kafka_bootstrap, mine.topic, _updates(found, events))
        server.create(mine.name, cities.DECLARATION["settings"])
        worker = mine.start()
        worker.wait_ready()
        last = found[(events - 1) % len(found)]["id"]
        samples = _watch(worker, lambda: _shows(server, mine.name, last, events - 1))
        took = time.time() - worker.began
        worker.stop()
        server.delete(mine.name)
    server.close()
    third = len(samples) // 3
    early, late = (statistics.median(part) for part in (samples[third : 2 * third], samples[2 * third :]))
    thirds = f"median of the second third {early:.0f} MiB, of the last {late:.0f}"
    detail = f"{events:,} events in {took:.0f} s, {len(samples)} samples; {thirds}"
    return [
        Figure("memory, peak", max(samples), "MiB resident", Goal(at_most=400.0), detail),
        Figure(
            "memory, growth", late - early, "MiB from the second third of the run to the last", Goal(at_most=_FLAT_MIB), detail
        ),
    ]


def _updates(found: list[cities.Row], events: int) -> Iterator[tuple[bytes, bytes]]:
    """Every city over and over, as streamed updates."""
    for number in range(events):
        row = found[number % len(found)] | {"population": number}
        yield cities.key(row), cities.envelope(row, operation="u", snapshot="false", number=number)


def _shows(server: Server, uid: str, document_id: int, population: int) -> bool:
    """Whether a reader sees the last event of the backlog."""
    try:
        return bool(server.document(uid, document_id, "population") == population)
    except httpx.HTTPStatusError:
        return False


def _watch(worker: Worker, done: Callable[[], bool]) -> list[float]:
    """Resident memory, MiB, until the last event is searchable."""
    samples: list[float] = []
    began = time.time()
    while time.time() - began < _WITHIN_S:
        if worker.process.poll() is not None:
            raise NotMeasuredError(f"the worker ended with {worker.process.returncode}: {worker.tail()}")
        samples.append(worker.rss_mib())
        if done():
            return samples
        time.sleep(_EVERY_S)
    raise NotMeasuredError(f"the backlog was not drained within {_WITHIN_S:.0f} s")
