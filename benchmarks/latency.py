"""Commit to searchable of single updates on a small index, against a bare write of the same document on the same server.

Interleaved, one of ours and one bare. Ours: from the return of COMMIT until a reader sees the new value. Bare: from just
before the request until its task is seen succeeded, asked for as often as one connection allows.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import orjson
import psycopg
from confluent_kafka import Consumer, TopicPartition

from benchmarks import cities
from benchmarks.harness import Figure, Goal, Setting, quantile, until
from benchmarks.server import Server, moment
from benchmarks.site import Site, Worker, site, started

PARTS = ("postgres", "kafka", "connect", "meilisearch")
_ROWS = 1_000
_SAMPLES = 300
_LOOK_S = 0.001


def measure(setting: Setting) -> list[Figure]:
    found = cities.rows(_ROWS)
    server = Server(setting.stack)
    with site(setting.stack, setting.folder) as mine:
        mine.create_database()
        worker = started(server, mine, found, (sys.executable, "-m", "benchmarks.traced_worker"))
        ours: list[float] = []
        bare: list[float] = []
        bare_seen: list[float] = []
        commits: list[float] = []
        with psycopg.connect(mine.database_url, autocommit=True) as connection:
            for number in range(_SAMPLES):
                row = found[number % _ROWS]
                value = 10_000_000 + number
                connection.execute(b"UPDATE cities SET population = %s WHERE id = %s", [value, row["id"]])
                commits.append(time.time())
                ours.append(1000 * until_seen(server, mine.name, row["id"], value))
                _quiet(server, mine.name)
                took, seen = _bare(server, mine.name, _document(row, value + 1_000_000))
                bare.append(took)
                bare_seen.append(seen)
                _quiet(server, mine.name)
        stages = _stages(setting, server, mine, worker, commits)
        worker.stop()
        server.delete(mine.name)
    server.close()
    figures = []
    for share, limit in ((0.5, 15.0), (0.99, 30.0)):
        a, b = quantile(ours, share), quantile(bare, share)
        seen = quantile(bare_seen, share)
        detail = f"{a:.1f} ms, bare {b:.1f} ms (a reader sees the bare write after {seen:.1f} ms); {_SAMPLES} each, interleaved"
        figures.append(Figure(f"latency p{share * 100:g}", a - b, "ms added to a bare write", Goal(at_most=limit), detail))
    return figures + stages


def _document(row: cities.Row, population: int) -> bytes:
    document = {name: row[name] for name in ("id", "name", "country", "region", "timezone")}
    geo = {"lat": row["latitude"], "lng": row["longitude"]}
    return orjson.dumps(document | {"population": population, "other_names": row["other_names"], "_geo": geo})


def until_seen(server: Server, uid: str, document_id: int, value: int) -> float:
    """Seconds from now until a reader sees the value."""
    what = f"population {value} of {document_id}"
    return until(lambda: server.document(uid, document_id, "population") == value, what, within_s=30, every_s=_LOOK_S)


def _bare(server: Server, uid: str, line: bytes) -> tuple[float, float]:
    """Milliseconds until its task is seen succeeded, and until the server says that it had finished it."""
    began, began_at = time.perf_counter(), time.time()
    task = server.applied(server.post(uid, [line]), every_s=_LOOK_S)
    return 1000 * (time.perf_counter() - began), 1000 * (moment(task["finishedAt"]) - began_at)


def _quiet(server: Server, uid: str) -> None:
    """Nothing of one side may run into the other's measurement."""
    until(lambda: not server.busy(uid), "a quiet server", within_s=30)
    time.sleep(0.02)


# Where each millisecond goes

_STAGES = (
    "commit to connector",
    "connector to Kafka record",
    "Kafka record to taken",
    "taken to sent",
    "sent to accepted",
    "accepted to task started",
    "task started to finished",
    "finished to seen settled",
)


def _stages(setting: Setting, server: Server, mine: Site, worker: Worker, commits: list[float]) -> list[Figure]:
    """Medians of the way of each update, by the clocks of everybody on it (one machine, one clock)."""
    records = _records(setting, mine, len(commits))
    taken, sent, settled = ({int(line["offset"]): line for line in worker.lines(event)} for event in ("taken", "sent", "settled"))
    times: dict[str, list[float]] = {stage: [] for stage in _STAGES}
    for commit, record in zip(commits, records, strict=True):
        offset = record["offset"]
        if not (offset in taken and offset in sent and offset in settled):
            continue
        task = server.task(int(sent[offset]["task"]))
        points = [
            commit,
            record["connector"],
            record["kafka"],
            float(taken[offset]["at"]),
            float(sent[offset]["from_s"]),
            float(sent[offset]["at"]),
            moment(task["startedAt"]),
            moment(task["finishedAt"]),
            float(settled[offset]["at"]),
        ]
        for stage, (a, b) in zip(_STAGES, pairwise(points), strict=True):
            times[stage].append(1000 * (b - a))
    return [
        Figure(f"  {stage}", statistics.median(values), "ms, median", None, f"p99 {quantile(values, 0.99):.1f} ms")
        if values
        else Figure(f"  {stage}", None, "ms", None, "no update could be followed all the way")
        for stage, values in times.items()
    ]


def _records(setting: Setting, mine: Site, count: int) -> list[Mapping[str, Any]]:
    """The last `count` updates in the topic: their offset, when the connector made them and when they were produced."""
    consumer = Consumer({"bootstrap.servers": setting.stack.kafka_bootstrap, "group.id": f"{mine.name}-look"})
    try:
        end = consumer.get_watermark_offsets(TopicPartition(mine.topic, 0), timeout=10)[1]
        consumer.assign([TopicPartition(mine.topic, 0, 0)])
        found: list[Mapping[str, Any]] = []
        offset = -1
        while offset < end - 1:
            message = consumer.poll(10)
            if message is None:
                break
            offset = int(message.offset() or 0)
            event = orjson.loads(message.value() or b"{}")
            if event.get("op") == "u":
                kafka = message.timestamp()[1] / 1000
                found.append({"offset": offset, "connector": event["ts_us"] / 1e6, "kafka": kafka})
        return found[-count:]
    finally:
        consumer.close()
