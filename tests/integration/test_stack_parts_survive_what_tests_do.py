"""Killing, stopping and pausing parts is how other tests bring about faults, so it is proved here once."""

from __future__ import annotations

import contextlib

import httpx
import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from sync_worker.testing.stack import Stack


def _topics(stack: Stack) -> set[str]:
    return set(AdminClient({"bootstrap.servers": stack.kafka_bootstrap, "log_level": 0}).list_topics(timeout=10).topics)


def test_a_killed_broker_comes_back_at_its_address_with_its_topics(stack: Stack, fresh_topic: str) -> None:
    """`kill` is a SIGKILL that loses nothing that was written, and `start` waits until the broker answers."""
    admin = AdminClient({"bootstrap.servers": stack.kafka_bootstrap})
    admin.create_topics([NewTopic(fresh_topic, 1)])[fresh_topic].result(timeout=10)

    stack.kafka.kill()
    assert not stack.kafka.is_running()
    stack.kafka.start()

    assert fresh_topic in _topics(stack)


def test_topics_are_not_created_by_a_mistyped_name(stack: Stack, fresh_topic: str) -> None:
    """A typo in a topic's name must fail instead of making a topic with the broker's defaults."""
    AdminClient({"bootstrap.servers": stack.kafka_bootstrap}).list_topics(fresh_topic, timeout=10)
    assert fresh_topic not in _topics(stack)


@pytest.mark.parametrize("way", ["kill", "stop"])
def test_postgres_comes_back_with_its_rows(stack: Stack, fresh_schema: str, way: str) -> None:
    """After a crash as after an orderly stop, what was committed is there."""
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {fresh_schema}.rows AS SELECT 7 AS id".encode())

    getattr(stack.postgres, way)()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(stack.database_url, connect_timeout=3)
    stack.postgres.start()

    with psycopg.connect(stack.database_url) as connection:
        assert connection.execute(f"SELECT id FROM {fresh_schema}.rows".encode()).fetchone() == (7,)


def test_postgres_is_ready_for_logical_decoding(stack: Stack) -> None:
    """Debezium needs wal_level=logical; the state database lies beside the source."""
    with psycopg.connect(stack.database_url) as connection:
        assert connection.execute("SHOW wal_level").fetchone() == ("logical",)
    with psycopg.connect(stack.state_url) as connection:
        assert connection.info.dbname == "sync_worker"


def test_a_killed_connect_comes_back_and_has_the_connector(stack: Stack) -> None:
    """The worker must find Connect at the same address after a crash."""
    stack.connect.kill()
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"{stack.connect_url}/connectors", timeout=3)
    stack.connect.start()
    plugins = httpx.get(f"{stack.connect_url}/connector-plugins", timeout=10).json()
    assert "io.debezium.connector.postgresql.PostgresConnector" in {plugin["class"] for plugin in plugins}


def test_a_paused_meilisearch_answers_nothing_until_it_is_resumed(stack: Stack) -> None:
    """Pausing is the fault in which connections stay open and no answer comes."""
    if stack.meilisearch.kind == "outside":
        pytest.skip("Meilisearch was given from outside, so it is not ours to pause")
    with contextlib.ExitStack() as undo:
        undo.callback(stack.meilisearch.resume)
        stack.meilisearch.pause()
        with pytest.raises(httpx.TimeoutException):
            httpx.get(f"{stack.meili_url}/health", timeout=1)
    assert httpx.get(f"{stack.meili_url}/health", timeout=10).json() == {"status": "available"}
