"""From `connector apply` until every row is searchable, against reading the table and posting it directly."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import orjson
import psycopg
from confluent_kafka import Consumer, TopicPartition

from benchmarks import cities
from benchmarks.harness import Figure, Goal, NotMeasuredError, Setting, seconds
from benchmarks.server import PAYLOAD, Server
from benchmarks.site import Site, moment, site
from sync_worker.testing.stack import Stack
from sync_worker.testing.stack.part import NativePart

PARTS = ("postgres", "kafka", "connect", "meilisearch")
_ROUNDS = 2


def measure(setting: Setting) -> list[Figure]:
    found = cities.rows(setting.rows)
    server = Server(setting.stack)
    direct: list[float] = []
    started: list[float] = []
    running: list[float] = []
    phases = ""
    for turn in range(_ROUNDS):
        with site(setting.stack, setting.folder) as mine:
            mine.create_database()
            cities.load(mine.database_url, found)
            uid = f"read{turn}-{mine.name}"
            server.create(uid, cities.DECLARATION["settings"])
            before = _spent(setting.stack)
            direct.append(seconds(lambda mine=mine, uid=uid: server.load(uid, _read(mine))))  # type: ignore[misc]
            account = _account(before, _spent(setting.stack))
            batches = server.batches(uid)
            server.delete(uid)
            setting.say(f"initial sync, directly: {direct[-1]:.1f} s; server batches {batches}; {account}")
            whole, ready, phases = _sync(setting, server, mine, len(found))
        started.append(whole)
        running.append(whole - ready)
        setting.say(f"initial sync, by the worker: {whole:.1f} s; {phases}")
    server.close()
    bare = statistics.median(direct)
    detail = f"{bare:.1f} s directly, payloads of {PAYLOAD:,}; medians of {_ROUNDS}; last: {phases}"
    return [
        Figure(
            "initial sync",
            statistics.median(started) / bare,
            "of reading and posting directly, process starts included",
            Goal(at_most=1.25),
            detail,
        ),
        Figure(
            "initial sync, running",
            statistics.median(running) / bare,
            "of reading and posting directly, without process starts",
            Goal(at_most=1.15),
            detail,
        ),
    ]


def _read(mine: Site) -> Iterator[bytes]:
    """The documents of the table, encoded while they are read."""
    with psycopg.connect(mine.database_url) as connection, connection.cursor("read", binary=True) as cursor:
        cursor.itersize = 10_000
        for row in cursor.execute(f"SELECT {', '.join(cities.COLUMNS)} FROM cities".encode()):
            document = dict(zip(cities.COLUMNS, row, strict=True))
            document["_geo"] = {"lat": document.pop("latitude"), "lng": document.pop("longitude")}
            yield orjson.dumps(document)


def _sync(setting: Setting, server: Server, mine: Site, count: int) -> tuple[float, float, str]:
    """Seconds from the first command, how many of them until worker and connector work, and what took how long.

    They work once the partition is ready and the first row is in Kafka.

    The command that applies the connector returns later: it waits until the connector has run steadily for a while.
    """
    server.create(mine.name, cities.DECLARATION["settings"])
    before = _spent(setting.stack)
    began = time.time()
    worker = mine.start()
    mine.cli("connector", "apply")
    applied = time.time()
    server.until_searchable(mine.name, count, within_s=900)
    took = time.time() - began
    account = _account(before, _spent(setting.stack) | {"worker": worker.processor_s()})
    time.sleep(1.0)
    flushes = ", ".join(f"{line['document_count']:,} at {moment(line) - began:.1f} s" for line in worker.lines("flush applied"))
    partition = worker.wait_ready()
    first, last = (_written(setting, mine, offset) for offset in (0, count - 1))
    phases = (
        f"connector applied {applied - began:.1f} s, partition ready {partition - began:.1f} s, rows in Kafka from "
        f"{first - began:.1f} to {last - began:.1f} s, flushes {flushes}; server batches {server.batches(mine.name)}; "
        f"{account}"
    )
    worker.stop()
    server.delete(mine.name)
    return took, max(partition, first) - began, phases


def _spent(stack: Stack) -> dict[str, float]:
    """Seconds of processor time of each part that is a process of this machine."""
    return {part.name: part.processor_s() for part in stack.parts if isinstance(part, NativePart)}


def _account(before: dict[str, float], after: dict[str, float]) -> str:
    """Who needed how much of the machine in between: the sum over the number of cores is the least that it can take."""
    spent = {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}
    shown = ", ".join(f"{name} {seconds:.1f}" for name, seconds in spent.items())
    return f"processor seconds: {shown}; together {sum(spent.values()):.1f}"


def _written(setting: Setting, mine: Site, offset: int) -> float:
    """Seconds since 1970 at which the record was made."""
    consumer = Consumer({"bootstrap.servers": setting.stack.kafka_bootstrap, "group.id": f"{mine.name}-look"})
    try:
        consumer.assign([TopicPartition(mine.topic, 0, offset)])
        message = consumer.poll(10)
        if message is None:
            raise NotMeasuredError(f"no record at offset {offset} of {mine.topic}")
        return float(message.timestamp()[1]) / 1000
    finally:
        consumer.close()
