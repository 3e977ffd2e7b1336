"""TRUNCATE while rows are read anew, topics deleted under a running worker: on the real parts."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from sync_worker.testing.stack import Stack

sys.path.append(str(Path(__file__).parents[1] / "acceptance"))

from chain import Pair, Site, eventually

pytestmark = pytest.mark.long

TABLES = """
CREATE TABLE rows (id bigint PRIMARY KEY, name text NOT NULL, n integer NOT NULL);
INSERT INTO rows SELECT i, 'row ' || i, 1 FROM generate_series(1, 30000) AS i;
"""

INDEXES = """
[indexes.rows]
uid = "{index}-rows"
table = "public.rows"
primary_key = "id"
hook = "hooks:picky"
fields = { name = "text", n = "integer" }
"""

HOOKS = """
def picky(document, row):
    if row["name"] == "raise":
        raise KeyError("no")
    return document
"""

PAIRS = (Pair("rows", "SELECT * FROM rows", lambda row: row),)


@pytest.fixture
def site(stack: Stack, tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "hooks.py").write_text(HOOKS)
    made = Site(stack, tmp_path, TABLES, INDEXES, PAIRS)
    try:
        yield made.set_up()
    finally:
        made.remove()


def snapshot(site: Site) -> None:
    """What a backfill will send: read all rows again, chunk by chunk, while changes stream."""
    producer = Producer({"bootstrap.servers": site.stack.kafka_bootstrap})
    value = {
        "id": str(time.time()),
        "type": "execute-snapshot",
        "data": {"data-collections": ["public.rows"], "type": "incremental"},
    }
    producer.produce(f"{site.name}.signals", key=site.name.encode(), value=json.dumps(value).encode())
    assert producer.flush(30) == 0


def ends(site: Site) -> int:
    return sum(end for _, end in site.positions().values())


def test_a_truncate_while_rows_are_read_anew_leaves_no_ghosts(site: Site) -> None:
    """A document that the source no longer has does not come back (invariant 3)."""
    site.worker()
    site.wait_settled(90)
    before = ends(site)
    snapshot(site)
    eventually(lambda: ends(site) > before + 3000, 60, "the incremental snapshot does not begin")
    site.execute("TRUNCATE rows", "INSERT INTO rows VALUES (7, 'after', 2)")
    site.wait_settled(60)


def test_rows_that_change_while_they_are_read_anew_stay_right(site: Site) -> None:
    """The last change in offset order wins (invariant 2), whatever the watermarks let through."""
    worker = site.worker()
    site.wait_settled(90)
    before = ends(site)
    snapshot(site)
    eventually(lambda: ends(site) > before + 1000, 60, "the incremental snapshot does not begin")
    for round_ in range(2, 12):
        site.execute(
            f"UPDATE rows SET n = {round_} WHERE id % 7 = {round_ % 7}",
            f"DELETE FROM rows WHERE id % 11 = {round_ % 11} AND id < 25000",
            f"UPDATE rows SET id = id + 100000 WHERE id % 501 = {round_}",
        )
        if round_ == 5:
            worker.kill9()
            worker = site.worker()
    site.wait_settled(90)


def test_the_dead_letter_topic_deleted_under_a_running_worker_loses_no_letter(site: Site) -> None:
    """A failure is acknowledged only once its letter is delivered (invariant 1): without the topic the worker holds, and goes on
    once it is there again."""
    worker = site.worker()
    site.wait_settled(90)
    site.delete_topic(f"{site.name}.dead-letters")
    site.execute("UPDATE rows SET name = 'raise' WHERE id = 5", "UPDATE rows SET n = 9 WHERE id = 6")
    worker.wait_for_hold("dead letters")
    worker.kill9()
    worker = site.worker()
    eventually(lambda: len(site.dead_letters()) == 1, 60, worker.tail)
    eventually(lambda: [f["status"] for f in site.failures()] == ["open"], 30, worker.tail)
    site.wait_equal(60, except_documents={"rows": {5}})


def test_a_topic_made_anew_while_the_worker_holds_is_noticed(site: Site) -> None:
    """A changed topic id means hold (protocol 14), also where the new topic has grown past the old position by the time the
    worker reads again."""
    worker = site.worker()
    site.wait_settled(90)
    topic = site.topic("public.rows")

    old = [(message.key(), message.value()) for message in site.records(topic)][:5]
    worker.pause()
    site.cli("connector", "delete")
    site.delete_topic(topic)
    site.create_topic(topic)
    site.produce(topic, old * 7000)
    worker.resume()
    eventually(lambda: ("log-replaced", f"{topic}:0") in site.findings(), 60, worker.tail)
