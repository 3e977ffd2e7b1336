"""An application waits until its own commit is searchable, and a chain that is dead says so."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from chain import Pair, Site, Worker, eventually

from sync_worker.testing.stack import Stack

TABLES = """
CREATE TABLE things (id bigint PRIMARY KEY, name text);
CREATE TABLE notes (id bigint PRIMARY KEY, name text);
INSERT INTO things SELECT i, 'thing ' || i FROM generate_series(1, 50) AS i;
"""

INDEXES = """
[indexes.things]
uid = "{index}-things"
table = "public.things"
primary_key = "id"
fields = { name = "text" }

[indexes.notes]
uid = "{index}-notes"
table = "public.notes"
primary_key = "id"
fields = { name = "text" }
"""

PAIRS = tuple(Pair(name, f"SELECT * FROM {name}", lambda row: row) for name in ("things", "notes"))


@pytest.fixture
def site(stack: Stack, tmp_path: Path) -> Iterator[Site]:
    site = Site(stack, tmp_path, TABLES, INDEXES, PAIRS, settings={"worker": {"canary_limit_s": 6.0}})
    try:
        yield site.set_up()
    finally:
        site.remove()


def barrier(worker: Worker, **query: Any) -> tuple[int, dict[str, Any]]:
    answer = httpx.get(f"{worker.url}/barrier", params=query, timeout=90)
    return answer.status_code, answer.json()


def test_what_was_committed_before_the_wait_is_there_after_it(site: Site) -> None:
    """In each form, right after each commit; any worker answers for the tables of all of them."""
    workers = [site.worker(), site.worker()]
    site.wait_settled()
    owners = eventually(
        lambda: len([w for w in workers if httpx.get(f"{w.url}/positions").json()["positions"]]) == 2, 60, "each has a table"
    )
    assert owners
    with psycopg.connect(site.database_url, autocommit=True) as connection:
        for number in range(1, 13):
            table = ("things", "notes")[number % 2]
            connection.execute(f"INSERT INTO {table} VALUES (%s, %s)".encode(), [1000 + number, f"new {number}"])
            lsn = connection.execute(b"SELECT pg_current_wal_insert_lsn()::text").fetchone()
            assert lsn is not None
            forms: tuple[dict[str, Any], ...] = ({}, {"lsn": lsn[0]}, {"strict": "false"}, {"index": ["things", "notes"]})
            status, said = barrier(workers[number % 4 // 2], **forms[number % 4])
            assert (status, said["verdict"]) == (200, "passed"), said
            assert {"id": 1000 + number, "name": f"new {number}"} in site.documents(table), f"{forms[number % 4]}: {said}"
        connection.execute(b"DELETE FROM things WHERE id > 1000")
        said = json.loads(site.cli("wait", "things", "--json", "--timeout", "60").stdout)
        assert said["verdict"] == "passed"
        assert not [document for document in site.documents("things") if document["id"] > 1000]


def test_what_is_behind_and_what_stands_in_the_way_is_named(site: Site) -> None:
    """1 where it was not in time, 2 for a mistake in the call, 3 where it can't pass; without a worker too."""
    first = site.worker()
    site.wait_settled()
    assert barrier(first, index="nope")[0] == 400
    site.cli("wait", "nope", status=2)
    site.cli("wait", "--lsn", "nonsense", status=2)
    far = json.loads(site.cli("wait", "--lsn", "FFFFFFF/0", "--timeout", "2", "--json", status=1).stdout)
    assert (far["verdict"], far["stage"]) == ("behind", "message")

    first.kill9()
    assert site.cli("wait", "--timeout", "60").stdout.startswith("passed"), "nothing is open: the bookmarks show it"
    site.execute("INSERT INTO things VALUES (2000, 'nobody reads it')")
    late = json.loads(site.cli("wait", "things", "--json", "--timeout", "4", status=1).stdout)
    assert [(one["topic"], one["end"] - one["applied"]) for one in late["behind"]] == [(site.topic("public.things"), 1)]
    assert site.cli("wait", "notes", "--timeout", "60").stdout.startswith("passed"), "another table is not behind"

    second = site.worker()
    site.cli("wait", "things", "--timeout", "90")
    assert {"id": 2000, "name": "nobody reads it"} in site.documents("things")

    site.stack.meilisearch.stop()
    try:
        site.execute("INSERT INTO things VALUES (2001, 'held')")
        second.wait_for_hold("SinkUnavailable")
        status, said = barrier(second, index="things", timeout="5")
        assert (status, said["verdict"]) == (409, "blocked")
        assert said["obstacles"][0]["kind"] == "SinkUnavailable"
        held = json.loads(site.cli("wait", "things", "--json", "--timeout", "4", status=3).stdout)
        assert held["obstacles"][0]["subject"] == "things"
    finally:
        site.stack.meilisearch.start()
    site.cli("wait", "things", "--timeout", "90")
    site.wait_settled()


def test_a_dead_chain_is_said_to_be_dead_and_restarts_nobody(site: Site) -> None:
    """Connect down, and later a connector whose task is stopped: silent, with the link named; alive again by itself."""
    worker = site.worker()
    site.wait_settled()
    eventually(lambda: worker.metric("sync_worker_alive") == 1, 20, "alive")
    assert worker.metric("sync_worker_canary_age_seconds") < 6

    def silent(words: str) -> bool:
        report = httpx.get(f"{worker.url}/healthz").json()
        return not report["alive"] and words in (report["silence"] or "")

    site.stack.connect.kill()
    eventually(lambda: silent("Kafka Connect does not answer"), 60, lambda: httpx.get(f"{worker.url}/healthz").text)
    worker.wait_for_hold("canary")
    assert worker.metric("sync_worker_alive") == 0
    site.stack.connect.start()
    eventually(lambda: worker.ready() and worker.metric("sync_worker_alive") == 1, 90, lambda: str(worker.readyz()))

    httpx.put(f"{site.stack.connect_url}/connectors/{site.name}/stop", timeout=30).raise_for_status()
    eventually(lambda: silent("the connector does not run"), 60, lambda: httpx.get(f"{worker.url}/healthz").text)
    httpx.put(f"{site.stack.connect_url}/connectors/{site.name}/resume", timeout=30).raise_for_status()
    eventually(worker.ready, 60, lambda: str(worker.readyz()))
    site.wait_settled()


def test_the_canary_survives_a_broker_that_restarts_and_a_topic_that_is_made_anew(site: Site) -> None:
    """What tells of the chain must not be the link that breaks."""
    worker = site.worker()
    site.wait_settled()
    site.stack.kafka.kill()
    eventually(lambda: not httpx.get(f"{worker.url}/healthz").json()["alive"], 60, "the silence is seen")
    site.stack.kafka.start()
    eventually(lambda: httpx.get(f"{worker.url}/healthz").json()["alive"], 90, lambda: httpx.get(f"{worker.url}/healthz").text)

    site.delete_topic(f"{site.name}.message")
    began = time.monotonic()
    site.create_topic(f"{site.name}.message")
    assert eventually(lambda: worker.metric("sync_worker_canary_age_seconds") < 3, 60, "no canary") is True
    assert time.monotonic() - began < 60
    assert barrier(worker)[0] == 200
