"""Records/s through the real stream into a sink that answers at once, against a bare consumer that does the same work.

Ours: broker, Faust agent, decode, project, coalesce, encode, settle, acknowledge. Bare: confluent-kafka, decode, project,
encode, join into payloads of 50,000. Each side is a process of its own with one interpreter; both read the same topic.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks import cities
from benchmarks.harness import Figure, Goal, NotMeasuredError, Setting

PARTS = ("kafka",)
_ROUNDS = 3
_TOPIC = "bench-agent.public.cities"


def measure(setting: Setting) -> list[Figure]:
    servers = setting.stack.kafka_bootstrap
    topic = f"{setting.folder.name}.{_TOPIC}"
    cities.create_topic(servers, topic)
    count = cities.produce(servers, topic, cities.snapshot_events(cities.rows(setting.rows)))
    rates: dict[str, list[float]] = {"bare": [], "ours": []}
    costs: dict[str, list[float]] = {"bare": [], "ours": []}
    for turn in range(_ROUNDS):
        for side in rates:
            rate, cost = _run(side, servers, topic, count, setting.folder / f"{side}{turn}")
            rates[side].append(rate)
            costs[side].append(cost)
            setting.say(f"agent, {side}: {rate:,.0f} records/s, {cost:.1f} µs of processor time each")
    bare, ours = (statistics.median(rates[side]) for side in ("bare", "ours"))
    detail = f"{ours:,.0f} records/s through the worker, {bare:,.0f} bare; medians of {_ROUNDS}, {count:,} records"
    spent = {side: statistics.median(costs[side]) for side in costs}
    return [
        Figure("agent", ours / bare, "of a bare consumer's records/s", Goal(at_least=0.8), detail),
        Figure(
            "  processor time",
            spent["ours"] / spent["bare"],
            "of a bare consumer's processor time",
            None,
            f"{spent['ours']:.1f} µs a record through the worker, {spent['bare']:.1f} µs bare",
        ),
    ]


def _run(side: str, servers: str, topic: str, count: int, folder: Path) -> tuple[float, float]:
    """Records/s, and µs of processor time (all threads) for each."""
    folder.mkdir()
    command = [sys.executable, "-m", f"benchmarks.agent_{side}", servers, topic, str(count), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise NotMeasuredError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
    said = json.loads(done.stdout.splitlines()[-1])
    return count / float(said["wall_s"]), 1e6 * float(said["processor_s"]) / count
