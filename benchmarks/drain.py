"""A filled topic drained into a fresh index, against posting the same NDJSON straight into one with the same settings."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from benchmarks import cities
from benchmarks.harness import Figure, Goal, Setting, seconds
from benchmarks.server import PAYLOAD, Server
from benchmarks.site import WORKER, Site, Worker, moment, site
from sync_worker.change.decode import decode
from sync_worker.change.model import StoredRecord
from sync_worker.document.action import Write
from sync_worker.document.projection import Projector

PARTS = ("kafka", "meilisearch")
_ROUNDS = 2
_GOAL = Goal(at_most=1.05)


def measure(setting: Setting) -> list[Figure]:
    found = cities.rows(setting.rows)
    lines = documents(found)
    server = Server(setting.stack)
    direct: list[float] = []
    started: list[float] = []
    running: list[float] = []
    flushes = ""
    for turn in range(_ROUNDS):
        took, batches = _direct(server, lines, f"direct{turn}-{setting.folder.name}")
        direct.append(took)
        setting.say(f"drain, directly: {took:.1f} s; server batches {batches}")
        with site(setting.stack, setting.folder) as mine:
            cities.create_topic(setting.stack.kafka_bootstrap, mine.topic)
            count = cities.produce(setting.stack.kafka_bootstrap, mine.topic, cities.snapshot_events(found))
            worker, whole, ready = drained(server, mine, count)
            flushes = _flushes(server, mine, worker)
        started.append(whole)
        running.append(whole - ready)
        setting.say(f"drain, by the worker: {whole:.1f} s, {ready:.1f} s of it until its partition was ready; flushes {flushes}")
    server.close()
    bare = statistics.median(direct)
    detail = f"{bare:.1f} s directly, payloads of {PAYLOAD:,}; medians of {_ROUNDS}; last flushes: {flushes}"
    return [
        Figure("drain", statistics.median(started) / bare, "of posting directly, process start included", _GOAL, detail),
        Figure("drain, running", statistics.median(running) / bare, "of posting directly, without process start", _GOAL, detail),
    ]


def documents(found: list[cities.Row]) -> list[bytes]:
    """The NDJSON that the worker makes of these rows."""
    projector = Projector(cities.declaration())
    lines = []
    for number, (key, value) in enumerate(cities.snapshot_events(found)):
        change = decode(StoredRecord("", 0, number, 0, key, value))
        assert change is not None
        action = projector.project(change)
        assert isinstance(action, Write)
        lines.append(action.line)
    return lines


def _direct(server: Server, lines: list[bytes], uid: str) -> tuple[float, str]:
    server.create(uid, cities.DECLARATION["settings"])
    took = seconds(lambda: server.load(uid, iter(lines)))
    shown = server.batches(uid)
    server.delete(uid)
    return took, shown


def drained(server: Server, mine: Site, count: int, program: Sequence[str] = WORKER) -> tuple[Worker, float, float]:
    """A worker that has filled a fresh index, seconds until all was searchable, and how many of them its start took."""
    server.create(mine.name, cities.DECLARATION["settings"])
    worker = mine.start(program)
    ready = worker.wait_ready() - worker.began
    server.until_searchable(mine.name, count, within_s=900)
    return worker, time.time() - worker.began, ready


def _flushes(server: Server, mine: Site, worker: Worker) -> str:
    """The worker's flushes and what the server made of them; stops the one and deletes the other's index."""
    processor = worker.processor_s()
    # The flush that made the last documents searchable is in the log once it settled.
    time.sleep(1.0)
    applied = worker.lines("flush applied")
    shown = ", ".join(f"{line['document_count']:,} at {moment(line) - worker.began:.1f} s" for line in applied)
    worker.stop()
    shown += f"; server batches {server.batches(mine.name)}; processor {processor:.1f} s"
    server.delete(mine.name)
    return shown
