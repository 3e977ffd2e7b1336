"""One poison document among 20,000 on a full index, until the others are searchable and it is in the dead letters.

Against one payload of the same 20,000 without it, posted straight to the same index. Two poisons that a real server refuses and
that pass the check before sending:

- *named* by the server: a vector of the wrong length, through a hook, for an embedder that the declaration does not know.
- *unnamed*: a json column with 65,530 names, which no index can hold; the server fails the whole batch and says of whom only
  that "a document cannot contain more than 65,535 fields".
"""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from confluent_kafka import Consumer, TopicPartition

from benchmarks import cities
from benchmarks.harness import Figure, Goal, NotMeasuredError, Setting, seconds, until
from benchmarks.server import Server
from benchmarks.site import Site, site

PARTS = ("kafka", "meilisearch")
_CHANGED = 20_000
_ROUNDS = 2
_POISONED_AT = 12_345
_MARK = "poison"
_HOOK_FILE = "bench_vectors.py"
_HOOK = f"""
def add_vector(document, row):
    vector = [0.5, 0.5] if row["other_names"] == ["{_MARK}"] else None
    return document | {{"_vectors": {{"profile": vector}}}}
"""
_EMBEDDERS = {"profile": {"source": "userProvided", "dimensions": 3}}


def measure(setting: Setting) -> list[Figure]:
    found = cities.rows(setting.rows)
    many = {f"k{number}": 1 for number in range(65_530)}
    vectors = cities.DECLARATION | {"hook": f"{_HOOK_FILE.removesuffix('.py')}:add_vector"}
    (setting.folder / _HOOK_FILE).write_text(_HOOK)
    return [
        _measure(setting, found, "named", vectors, [_MARK], "invalid_vector_dimensions", Goal(at_most=3.5)),
        _measure(setting, found, "unnamed", cities.DECLARATION, many, "max_fields_limit_exceeded", Goal(at_most=6.0)),
    ]


def _measure(
    setting: Setting, found: list[cities.Row], kind: str, declared: Mapping[str, Any], poison: Any, code: str, goal: Goal
) -> Figure:
    server = Server(setting.stack)
    changed = found[: min(_CHANGED, len(found))]
    poisoned_at = min(_POISONED_AT, len(changed) // 2)
    more: dict[str, Any] = {"_vectors": {"profile": None}} if kind == "named" else {}
    bare: list[float] = []
    ours: list[float] = []
    with site(setting.stack, setting.folder, declaration=declared) as mine:
        cities.create_topic(setting.stack.kafka_bootstrap, mine.topic)
        server.create(mine.name, cities.DECLARATION["settings"])
        if kind == "named":
            server.patch_settings(mine.name, {"embedders": _EMBEDDERS})
        server.load(mine.name, (_line(row, row["population"], more) for row in found))
        worker = mine.start()
        worker.wait_ready()
        for turn in range(_ROUNDS):
            lines = [_line(row, 100_000_000 * (2 * turn + 1), more) for row in changed]
            bare.append(seconds(lambda lines=lines: server.applied(server.post(mine.name, lines))))  # type: ignore[misc]
            events = _events(changed, 100_000_000 * (2 * turn + 2), poisoned_at, poison)
            ours.append(_one_poisoned(setting, server, mine, events, 100_000_000 * (2 * turn + 2), len(changed) - 1, turn + 1))
            setting.say(f"poison, {kind}: {ours[-1]:.1f} s, one flush without it {bare[-1]:.1f} s")
        _check_recorded(mine, str(changed[poisoned_at]["id"]), code)
        worker.stop()
        server.delete(mine.name)
    server.close()
    a, b = statistics.median(ours), statistics.median(bare)
    detail = f"{a:.1f} s, one flush of {len(changed):,} {b:.1f} s, on an index of {len(found):,}; medians of {_ROUNDS}; {code}"
    return Figure(f"poison, {kind}", a / b, "of one flush without it", goal, detail)


def _line(row: cities.Row, population: int, more: Mapping[str, Any]) -> bytes:
    document = {name: row[name] for name in ("id", "name", "country", "region", "timezone", "other_names")}
    geo = {"lat": row["latitude"], "lng": row["longitude"]}
    return orjson.dumps(document | {"population": population, "_geo": geo} | dict(more))


def _events(changed: list[cities.Row], population: int, poisoned_at: int, poison: Any) -> Iterator[tuple[bytes, bytes]]:
    for number, row in enumerate(changed):
        after = row | {"population": population}
        if number == poisoned_at:
            after["other_names"] = poison
        yield cities.key(row), cities.envelope(after, operation="u", snapshot="false", number=number)


def _one_poisoned(
    setting: Setting,
    server: Server,
    mine: Site,
    events: Iterator[tuple[bytes, bytes]],
    population: int,
    healthy: int,
    letters: int,
) -> float:
    """Seconds from the first record until all healthy ones are searchable and the letter is in its topic."""
    began = time.perf_counter()
    cities.produce(setting.stack.kafka_bootstrap, mine.topic, events)
    until(lambda: server.matching(mine.name, f"population = {population}") == healthy, "the healthy documents", within_s=600)
    until(lambda: _letters(setting, mine) == letters, "the dead letter", within_s=60)
    return time.perf_counter() - began


def _letters(setting: Setting, mine: Site) -> int:
    """Records in the dead-letter topic."""
    consumer = Consumer({"bootstrap.servers": setting.stack.kafka_bootstrap, "group.id": f"{mine.name}-look"})
    try:
        return int(consumer.get_watermark_offsets(TopicPartition(f"{mine.name}.dead-letters", 0), timeout=10)[1])
    finally:
        consumer.close()


def _check_recorded(mine: Site, document_id: str, code: str) -> None:
    """The server's own verdict about that very document, or the figure measured something else."""

    def recorded() -> set[tuple[str, str]]:
        with sqlite3.connect(f"file:{mine.folder}/{mine.name}.db?mode=ro", uri=True) as state:
            return set(state.execute("SELECT document_id, code FROM failed_work"))

    until(lambda: recorded(), "a row of failed_work", within_s=30)
    if recorded() != {(document_id, code)}:
        raise NotMeasuredError(f"failed_work holds {recorded()}, expected {document_id} with {code}")
