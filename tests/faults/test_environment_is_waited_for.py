"""Faults of the environment: the worker holds, says what it waits for, loses nothing, dead-letters nothing, and goes on alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from chain import Site, Worker, eventually
from psycopg import sql

from sync_worker.testing.stack import Kind


def touch(site: Site) -> None:
    site.execute("UPDATE items SET n = (n + 7) % 1000 WHERE id < 200", "DELETE FROM lines WHERE item = 3")
    site.execute("INSERT INTO lines SELECT 3, i, 'again' FROM generate_series(1, 9) AS i")


def assert_nothing_was_given_up(site: Site, worker: Worker) -> None:
    site.wait_settled(60)
    assert worker.process.poll() is None, "it waits; it does not end"
    assert site.failures() == []
    assert site.dead_letters() == []


def test_meilisearch_is_away_for_many_attempts(site: Site) -> None:
    """Ready is 503 and names Meilisearch, alive stays 200, and no offset moves; afterwards it goes on by itself."""
    meilisearch = site.stack.meilisearch
    if meilisearch.kind in (Kind.OUTSIDE, Kind.DOUBLE):
        pytest.skip("needs a Meilisearch of ours that keeps its data: put `meilisearch` on PATH, or start Docker")
    worker = site.worker()
    site.wait_settled()
    before = site.positions()
    meilisearch.stop()
    touch(site)
    report = worker.wait_for_hold("SinkUnavailable")
    assert any("eilisearch" in reason or "items" in reason for reason in report["reasons"]), report
    eventually(lambda: worker.readyz()[1]["holds"][0]["for_s"] > 5, 30, lambda: f"{worker.readyz()}")
    assert worker.metric("sync_worker_holds") >= 1
    assert {place: where[0] for place, where in site.positions().items()} == {place: where[0] for place, where in before.items()}
    meilisearch.start()
    assert_nothing_was_given_up(site, worker)


def test_meilisearch_is_away_when_the_worker_starts(site: Site) -> None:
    """It starts, says what it waits for, and works once the server is there."""
    meilisearch = site.stack.meilisearch
    if meilisearch.kind in (Kind.OUTSIDE, Kind.DOUBLE):
        pytest.skip("needs a Meilisearch of ours that keeps its data: put `meilisearch` on PATH, or start Docker")
    meilisearch.stop()
    touch(site)
    worker = site.worker()
    worker.wait_for_hold("eilisearch")
    meilisearch.start()
    assert_nothing_was_given_up(site, worker)


@pytest.mark.long
def test_kafka_is_away_when_the_worker_starts(site: Site) -> None:
    """The same for the log."""
    if site.stack.kafka.kind is Kind.OUTSIDE:
        pytest.skip("Kafka was given from outside, so it is not ours to stop")
    site.stack.kafka.kill()
    worker = site.worker()
    worker.wait_for_hold("afka")
    site.stack.kafka.start()
    touch(site)
    assert_nothing_was_given_up(site, worker)


def test_the_workers_key_is_deleted_and_made_again(site: Site) -> None:
    """Hold with `SinkDenied`. `sync-worker keys` makes the very same key again, so that no restart is needed."""
    worker = site.worker()
    site.wait_settled()
    key = site.environment["SYNC_WORKER_MEILISEARCH__API_KEY"]
    with site.meilisearch() as client:
        client.delete(f"/keys/{key}").raise_for_status()
    touch(site)
    report = worker.wait_for_hold("SinkDenied")
    assert key not in str(report), "a key is shown"
    site.make_keys()
    assert site.environment["SYNC_WORKER_MEILISEARCH__API_KEY"] == key
    assert_nothing_was_given_up(site, worker)
    assert key not in worker.log.read_text()


@contextmanager
def without_database(site: Site, name: str) -> Iterator[None]:
    """Nobody can connect to that database, and nobody is."""
    with psycopg.connect(site.stack.database_url, autocommit=True) as connection:
        allow = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")
        connection.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        try:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            yield
        finally:
            connection.execute(allow.format(sql.Identifier(name), sql.SQL("true")))


def test_the_state_database_is_away(site: Site) -> None:
    """What is applied meanwhile is acknowledged only once the bookmark could be stored."""
    worker = site.worker()
    site.wait_settled()
    before = site.positions()
    with without_database(site, f"{site.name}_state"):
        touch(site)
        worker.wait_for_hold("StateUnavailable")
        eventually(lambda: not site.difference(), 60, site.difference)
        assert {place: at[0] for place, at in site.positions().items()} == {place: at[0] for place, at in before.items()}
    assert_nothing_was_given_up(site, worker)


def test_the_dead_letter_topic_is_missing(site: Site) -> None:
    """A bad record is not acknowledged before its dead letter is confirmed: without the topic the worker holds. Once somebody has
    made the topic it goes on by itself."""
    worker = site.worker()
    site.wait_settled()
    topic = f"{site.name}.dead-letters"
    site.delete_topic(topic)
    before = site.positions()[f"{site.topic('public.items')}/0"]
    site.produce(site.topic("public.items"), [(b'{"id": 1}', b"{")])
    touch(site)
    worker.wait_for_hold("dead letters")
    assert site.positions()[f"{site.topic('public.items')}/0"][0] == before[0]
    site.create_topic(topic, retention_ms="-1", max_message_bytes=str(20 * 1024 * 1024))
    site.wait_equal(60)
    # One bad record for each of the table's two indexes.
    assert sorted(failure["index_name"] for failure in site.failures()) == ["items", "many"]
    assert {failure["offset"] for failure in site.failures()} == {before[1]}
    assert len(site.dead_letters()) == 2
    eventually(worker.ready, 20, lambda: f"{worker.readyz()}")
    assert worker.process.poll() is None
