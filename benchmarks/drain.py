"""A filled topic drained into a fresh index, against posting the same NDJSON straight into one with the same settings."""

from __future__ import annotations

import statistics
import time

from benchmarks import cities
from benchmarks.harness import Figure, Goal, Setting, seconds
from benchmarks.server import PAYLOAD, Server
from benchmarks.site import Site, moment, site
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
            whole, ready, flushes = _drain(server, mine, count)
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


def _drain(server: Server, mine: Site, count: int) -> tuple[float, float, str]:
    """Seconds until all is searchable, how many of them the start took, and the flushes."""
    server.create(mine.name, cities.DECLARATION["settings"])
    worker = mine.start()
    ready = worker.wait_ready() - worker.began
    server.until_searchable(mine.name, count, within_s=900)
    took = time.time() - worker.began
    processor = worker.processor_s()
    # The flush that made the last documents searchable is in the log once it settled.
    time.sleep(1.0)
    applied = worker.lines("flush applied")
    shown = ", ".join(f"{line['document_count']:,} at {moment(line) - worker.began:.1f} s" for line in applied)
    worker.stop()
    shown += f"; server batches {server.batches(mine.name)}; processor {processor:.1f} s"
    server.delete(mine.name)
    return took, ready, shown
