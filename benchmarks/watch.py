"""What the watch costs: the drain and the latency of updates with it and without it, in turns.

The watch looks every five seconds here, twelve times as often as for users, so that each run holds looks at all.
"""

from __future__ import annotations

import statistics
import sys

import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition

from benchmarks import cities
from benchmarks.drain import drained
from benchmarks.harness import Figure, Goal, Setting, quantile, until
from benchmarks.latency import until_seen
from benchmarks.server import Server
from benchmarks.site import site
from benchmarks.watch_worker import LOOK_EVERY_S

PARTS = ("postgres", "kafka", "connect", "meilisearch")
_ROUNDS = 3
_SAMPLES = 200
_PROGRAM = (sys.executable, "-m", "benchmarks.watch_worker")


def measure(setting: Setting) -> list[Figure]:
    server = Server(setting.stack)
    drains: dict[str, list[float]] = {"off": [], "on": []}
    updates: dict[str, list[float]] = {"off": [], "on": []}
    for _ in range(_ROUNDS):
        for watch in drains:
            drain, latencies = _round(setting, server, watch)
            drains[watch].append(drain)
            updates[watch].extend(latencies)
            setting.say(f"watch {watch}: drained in {drain:.1f} s, updates p99 {quantile(latencies, 0.99):.1f} ms")
    server.close()
    without, with_it = (statistics.median(drains[watch]) for watch in drains)
    often = f"a look every {LOOK_EVERY_S:g} s instead of 60"
    figures = [
        Figure(
            "watch, drain",
            with_it / without,
            "of the drain without the watch",
            Goal(at_most=1.02),
            f"{with_it:.1f} s with, {without:.1f} s without; medians of {_ROUNDS}, without process start; {often}",
        )
    ]
    for share, goal in ((0.5, None), (0.99, Goal(at_most=1.0))):
        a, b = quantile(updates["on"], share), quantile(updates["off"], share)
        detail = f"{a:.1f} ms with, {b:.1f} ms without; {len(updates['on'])} updates each; {often}"
        figures.append(Figure(f"watch, latency p{share * 100:g}", a - b, "ms added", goal, detail))
    return figures


def _round(setting: Setting, server: Server, watch: str) -> tuple[float, list[float]]:
    """Seconds of the drain without process start, and milliseconds of each update, from COMMIT until a reader sees it."""
    found = cities.rows(setting.rows)
    with site(setting.stack, setting.folder, environment={"BENCH_WATCH": watch}) as mine:
        mine.create_database()
        cities.load(mine.database_url, found)
        mine.cli("connector", "apply")
        until(lambda: _end(setting, mine.topic) >= len(found), "the snapshot in the topic", within_s=300, every_s=0.5)
        worker, whole, ready = drained(server, mine, len(found), _PROGRAM)
        updates: list[float] = []
        with psycopg.connect(mine.database_url, autocommit=True) as connection:
            for number in range(_SAMPLES):
                row, value = found[number], 10_000_000 + number
                connection.execute(b"UPDATE cities SET population = %s WHERE id = %s", [value, row["id"]])
                updates.append(1000 * until_seen(server, mine.name, row["id"], value))
        worker.stop()
        server.delete(mine.name)
    return whole - ready, updates


def _end(setting: Setting, topic: str) -> int:
    """Records in the topic's one partition; 0 while there is no topic."""
    consumer = Consumer({"bootstrap.servers": setting.stack.kafka_bootstrap, "group.id": f"{topic}-look"})
    try:
        return int(consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1])
    except KafkaException:
        return 0
    finally:
        consumer.close()
