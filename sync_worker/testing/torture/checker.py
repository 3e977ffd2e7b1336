"""Both sides, read plainly and compared: rows by SQL, documents by Meilisearch's own interface, failures and letters by hand."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from confluent_kafka import Consumer, Message, TopicPartition

from sync_worker.change.unavailable import PLACEHOLDER
from sync_worker.testing.torture.site import Site
from sync_worker.testing.torture.tables import MANY, TABLES, Key, Row, Table

SHOWN = 4
"""Examples of each kind of difference that are told."""


@dataclass(slots=True)
class Verdict:
    """What both sides hold.

    Attributes:
        violations: one line each; empty where all is as it must be.
        rows, documents: how many were compared.
        letters: dead letters; superseded: failures that a later change closed.
    """

    violations: list[str] = field(default_factory=list)
    rows: int = 0
    documents: int = 0
    letters: int = 0
    open_failures: int = 0
    superseded: int = 0
    findings: list[str] = field(default_factory=list)

    def say(self, what: str, examples: Iterable[object]) -> None:
        found = sorted(examples, key=repr)
        if found:
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            self.violations.append(f"{what}: {'; '.join(str(example) for example in found[:SHOWN])}{more}")


def check(site: Site) -> Verdict:
    """Everything at rest: nobody writes, nothing is on its way."""
    verdict = Verdict()
    failed = _failures(site, verdict)
    with psycopg.connect(site.database_url) as connection, site.meilisearch() as client:
        for table in TABLES:
            cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
            rows = {table.key_in(row): row for row in cursor.execute(f"SELECT * FROM {table.name}".encode())}
            documents = site.documents(client, table.name)
            compare(verdict, table, rows, documents, failed[table.name])
        cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
        some = {
            MANY.table.key_in(row): row for row in cursor.execute(f"SELECT * FROM {MANY.table.name} WHERE {MANY.where}".encode())
        }
        compare_some(verdict, some, site.documents(client, MANY.name))
    with psycopg.connect(site.state_url) as state:
        for kind, subject, evidence, blocking in state.execute(
            "SELECT kind, subject, evidence, blocking FROM findings WHERE cleared_at IS NULL ORDER BY id"
        ):
            verdict.findings.append(f"{kind} {subject}")
            what = "an operator is needed" if blocking else "told of, though nobody did anything that would need it"
            verdict.violations.append(f"{what}: {kind} {subject}: {evidence}")
    return verdict


def compare(
    verdict: Verdict, table: Table, rows: Mapping[Key, Row], documents: list[dict[str, Any]], failed: Mapping[Key, list[int]]
) -> None:
    held = {table.key_in(document): document for document in documents}
    verdict.rows += len(rows)
    verdict.documents += len(documents)
    bad = {key for key, row in rows.items() if row["poison"] is not None}
    good = rows.keys() - bad
    name = table.name
    if len(held) != len(documents):
        verdict.violations.append(f"{name}: {len(documents)} documents for {len(held)} keys")
    verdict.say(f"{name}: rows without a document", (f"{key} v{rows[key]['v']}" for key in good - held.keys()))
    verdict.say(f"{name}: documents without a row", (f"{key} v{held[key]['v']}" for key in held.keys() - rows.keys()))
    verdict.say(f"{name}: documents that differ", _differences(table, rows, held, good & held.keys()))
    verdict.say(
        f"{name}: documents of rows that can't be one", (key for key in bad & held.keys() if held[key]["v"] >= rows[key]["v"])
    )
    verdict.say(
        f"{name}: bad rows whose newest change is no open failure",
        (
            f"{key} v{rows[key]['v']}, failed {failed.get(key, [])}"
            for key in bad
            if not {rows[key]["v"], _READ} & set(failed.get(key, []))
        ),
    )
    verdict.say(f"{name}: failures open without a bad row", (f"{key} v{failed[key]}" for key in failed.keys() - bad))


def _differences(table: Table, rows: Mapping[Key, Row], held: dict[Key, dict[str, Any]], keys: Iterable[Key]) -> Iterable[str]:
    for key in keys:
        wanted, found = table.document(rows[key]), {**held[key], **dict(zip(table.key, table.key_in(held[key]), strict=True))}
        wrong = [name for name, value in wanted.items() if name not in found or found[name] != value]
        if wrong:
            yield f"{key}: {', '.join(wrong)}: is v{found.get('v')}, must be v{wanted['v']}"


def compare_some(verdict: Verdict, rows: Mapping[Key, Row], documents: list[dict[str, Any]]) -> None:
    held = {MANY.table.key_in(document): document for document in documents}
    verdict.documents += len(documents)
    verdict.say(f"{MANY.name}: rows without a document", rows.keys() - held.keys())
    verdict.say(f"{MANY.name}: documents without a row", held.keys() - rows.keys())
    verdict.say(
        f"{MANY.name}: documents that differ",
        (
            f"{key}: is v{held[key]['v']}, must be v{rows[key]['v']}"
            for key in rows.keys() & held.keys()
            if (rows[key]["v"], rows[key]["n"]) != (held[key]["v"], held[key]["n"])
        ),
    )


_READ = -1
"""In place of a version: the row was read on request, in whatever version it had then."""


def _failures(site: Site, verdict: Verdict) -> dict[str, dict[Key, list[int]]]:
    """Each failure against its letter. Returns the open ones: index → key → versions of the row."""
    letters = {(letter.partition(), letter.offset()): letter for letter in _letters(site)}
    verdict.letters = len(letters)
    with psycopg.connect(site.state_url) as state:
        cursor = state.cursor(row_factory=psycopg.rows.dict_row)
        failures = cursor.execute("SELECT * FROM failed_work ORDER BY id").fetchall()
    tables = {table.name: table for table in TABLES}
    found: dict[str, dict[Key, list[int]]] = defaultdict(lambda: defaultdict(list))
    poisoned = {
        (table.name, table.key_in(row))
        for letter in letters.values()
        if (table := tables.get(_place(letter)[3])) is not None
        and (row := _row(letter)) is not None
        and row["poison"] is not None
    }
    recorded = set()
    for failure in failures:
        place = tuple(str(failure[name]) for name in ("topic", "partition", "offset", "index_name", "request"))
        recorded.add(place)
        letter = letters.get((failure["dlq_partition"], failure["dlq_offset"]))
        if letter is None or _place(letter) != place:
            verdict.violations.append(f"failure {failure['id']} ({place}) has no letter at {failure['dlq_offset']}")
            continue
        table = tables.get(failure["index_name"])
        if failure["request"] and table is not None:
            if failure["status"] == "open":
                found[table.name][table.key_in(json.loads(failure["request"]))].append(_READ)
                verdict.open_failures += 1
            verdict.superseded += failure["status"] == "superseded"
            continue
        row = _row(letter)
        if table is not None and _lacks_columns(row) and (key := table.key_in(json.loads(letter.key() or b"{}"))) in poisoned:
            # What it lacks came from the source, where the row was a bad one by then.
            if failure["status"] == "open":
                found[table.name][key].append(_READ)
                verdict.open_failures += 1
            verdict.superseded += failure["status"] == "superseded"
            continue
        if table is None or row is None or row["poison"] is None:
            verdict.violations.append(f"an innocent change was given up: {place}: {failure['code']}: {failure['message'][:200]}")
            continue
        if failure["status"] == "open":
            found[table.name][table.key_in(row)].append(row["v"])
            verdict.open_failures += 1
        verdict.superseded += failure["status"] == "superseded"
    verdict.say("letters without a failure", (_place(letter) for letter in letters.values() if _place(letter) not in recorded))
    return found


def _row(letter: Message) -> dict[str, Any] | None:
    """The row after the change that the letter keeps; None where it left none."""
    row: dict[str, Any] | None = (json.loads(letter.value() or b"{}") or {}).get("after")
    return row


def _lacks_columns(row: dict[str, Any] | None) -> bool:
    """Whether the worker reads the source for this change: a delete of a moved key, or an unchanged TOAST column."""
    return row is None or (row["poison"] is None and PLACEHOLDER in row.values())


def _place(letter: Message) -> tuple[str, ...]:
    told = {name: value.decode() if isinstance(value, bytes) else value for name, value in dict(letter.headers() or ()).items()}
    names = (
        "__connect.errors.topic",
        "__connect.errors.partition",
        "__connect.errors.offset",
        "sync_worker.index",
        "sync_worker.request",
    )
    return tuple(told.get(name) or "" for name in names)


def _letters(site: Site) -> list[Message]:
    """All that the dead-letter topic holds."""
    settings = {"bootstrap.servers": site.stack.kafka_bootstrap, "group.id": f"{site.name}-look", "enable.auto.commit": False}
    consumer = Consumer({**settings, "log_level": 0})
    try:
        read: list[Message] = []
        for number in consumer.list_topics(site.dead_letter_topic, timeout=10).topics[site.dead_letter_topic].partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(site.dead_letter_topic, number), timeout=10)
            consumer.assign([TopicPartition(site.dead_letter_topic, number, low)])
            while low < high:
                message = consumer.poll(10)
                if message is None or message.error() is not None:
                    raise TimeoutError(f"{site.dead_letter_topic}/{number} can't be read from {low} to {high}")
                read.append(message)
                low += 1
        return read
    finally:
        consumer.close()
