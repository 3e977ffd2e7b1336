"""Kafka and Connect where they lose or stop without a word: the worker finds the word, and says what mends it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from chain import Pair, Site, Worker, eventually
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from psycopg import sql

from sync_worker.testing.stack import Stack

TABLES = """
CREATE TABLE aged (id bigint PRIMARY KEY, name text, extra json);
CREATE TABLE steady (id bigint PRIMARY KEY, name text, extra json);
INSERT INTO aged SELECT i, 'row ' || i FROM generate_series(1, 100) AS i;
INSERT INTO steady SELECT i, 'row ' || i FROM generate_series(1, 100) AS i;
"""

INDEXES = "".join(
    f"""
[indexes.{name}]
uid = "{{index}}-{name}"
table = "public.{name}"
primary_key = "id"
fields = {{ name = "text", extra = "json" }}
"""
    for name in ("aged", "steady")
)

PAIRS = tuple(Pair(name, f"SELECT * FROM {name}", lambda row: row) for name in ("aged", "steady"))
PASSWORD = "connects"


@pytest.fixture(scope="module")
def shared(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Connect reads with a role of its own, which can be locked out without anybody else."""
    site = Site(stack, tmp_path_factory.mktemp("silent"), TABLES, INDEXES, PAIRS)
    host = stack.connect_database_url.rpartition("@")[2].rpartition("/")[0]
    site.settings = {
        "connector": {"database_url": f"postgresql://{site.name}:{PASSWORD}@{host}/{site.name}"},
        "worker": {"canary_limit_s": 6.0},
    }
    role = sql.Identifier(site.name)
    try:
        with psycopg.connect(stack.database_url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}").format(role, PASSWORD))
        yield site.set_up()
    finally:
        site.remove()
        with psycopg.connect(stack.database_url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.fixture
def site(shared: Site) -> Iterator[Site]:
    yield shared
    shared.stop_workers()


def remedy(site: Site, kind: str, subject: str) -> str:
    rows = site.state("SELECT remedy FROM findings WHERE cleared_at IS NULL AND kind = %s AND subject = %s", kind, subject)
    assert rows, site.findings()
    return str(rows[0][0])


def silence(worker: Worker) -> str:
    report: dict[str, Any] = httpx.get(f"{worker.url}/healthz", timeout=10).json()
    return "" if report["alive"] else report["silence"] or ""


def test_a_connector_that_runs_and_retries_for_ever(site: Site) -> None:
    """Locked out of the database, it goes on saying RUNNING. The canary tells it, and names the link that is silent."""
    worker = site.worker()
    site.wait_settled(90)
    role = sql.Identifier(site.name)
    with psycopg.connect(site.stack.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(role))
        try:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [site.name])
            site.execute("INSERT INTO steady VALUES (500, 'waits in the WAL')")
            eventually(lambda: "says RUNNING" in silence(worker), 60, lambda: f"{silence(worker)} {site.connector_status()}")
            states = httpx.get(f"{site.stack.connect_url}/connectors/{site.name}/status", timeout=10).json()
            assert [task["state"] for task in states["tasks"]] == ["RUNNING"], "that is what makes it quiet"
            worker.wait_for_hold("canary")
            assert "connector" in silence(worker)
        finally:
            connection.execute(sql.SQL("ALTER ROLE {} LOGIN").format(role))
    site.cli("connector", "restart")
    site.wait_settled(90)


def set_limit(site: Site, topic: str, limit: int) -> None:
    entry = ConfigEntry("max.message.bytes", str(limit), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = site.admin()
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(30)


def test_an_event_that_the_dead_letters_do_not_take(site: Site) -> None:
    """It is not acknowledged and not forgotten: the index holds, names the topic, and goes on once the topic takes it."""
    worker = site.worker()
    site.wait_settled(90)
    topic = f"{site.name}.dead-letters"
    set_limit(site, topic, 10_000)
    before = site.positions()[f"{site.topic('public.steady')}/0"][0]
    site.execute(f"INSERT INTO steady VALUES (600, repeat('x', 50000), '{'[' * 200}{']' * 200}')")
    report = worker.wait_for_hold("dead letters")
    assert any(word in str(report) for word in ("large", "max.message.bytes")), report
    assert site.positions()[f"{site.topic('public.steady')}/0"][0] == before
    set_limit(site, topic, 30_000_000)
    site.wait_equal(90, except_documents={"steady": {600}})
    assert [(failure["document_id"], failure["status"]) for failure in site.failures()] == [("600", "open")]
    assert len(site.dead_letters()) == 1
    site.execute("DELETE FROM steady WHERE id = 600")
    site.wait_settled(60)


def test_the_retention_passed_what_was_not_read(site: Site) -> None:
    """Down for longer than the topic keeps its records: nothing is skipped in silence. The finding blocks, and names the fill."""
    worker = site.worker()
    site.wait_settled(90)
    worker.sigterm()
    site.execute("UPDATE aged SET name = 'lost' WHERE id <= 50", "DELETE FROM aged WHERE id > 90")
    site.wait_for_marker(30)
    place = f"{site.topic('public.aged')}/0"
    (committed, end) = site.positions()[place]
    assert committed < end
    partition = TopicPartition(site.topic("public.aged"), 0, end - 3)
    admin = site.admin()
    for done in admin.delete_records([partition]).values():
        done.result(30)

    worker = site.worker()
    subject = f"{site.topic('public.aged')}:0"
    worker.wait_for_hold("log-replaced")
    assert "sync-worker backfill" in remedy(site, "log-replaced", subject)
    assert site.positions()[place] == (committed, end), "it goes on only when somebody has decided"
    site.execute("UPDATE steady SET name = 'goes on' WHERE id = 1")
    eventually(lambda: {"id": 1, "name": "goes on", "extra": None} in site.documents("steady"), 30, worker.tail)

    site.execute("CREATE TEMP TABLE kept AS SELECT * FROM aged; TRUNCATE aged; INSERT INTO aged SELECT * FROM kept")
    site.cli("findings", "clear", "log-replaced", subject, "--reason", "filled again", "--unproven")
    # It begins anew, as its orchestrator would have it: what it has fetched may be of the log that is gone.
    assert eventually(lambda: worker.process.poll() is not None, 30, worker.tail)
    assert worker.process.returncode == 1, worker.tail()
    site.worker()
    site.wait_equal(90)


def test_a_slot_that_was_dropped(site: Site) -> None:
    """Every change since is gone: it says so at the next look, for every index, and names the command. The doubt outlives it."""
    httpx.put(f"{site.stack.connect_url}/connectors/{site.name}/stop", timeout=30).raise_for_status()

    def dropped() -> bool:
        with psycopg.connect(site.stack.database_url, autocommit=True) as connection:
            connection.execute("SELECT pg_drop_replication_slot(%s)", [site.name])
        return True

    eventually(dropped, 60, "the slot is in use")
    site.execute("DELETE FROM steady WHERE id = 2")
    worker = site.worker()
    wanted = {("slot-missing", site.name), ("changes-lost", "aged"), ("changes-lost", "steady")}
    eventually(lambda: wanted <= set(site.findings()), 60, lambda: f"{site.findings()} {worker.tail()}")
    assert "sync-worker connector apply" in remedy(site, "slot-missing", site.name)
    assert "sync-worker backfill steady --prune" in remedy(site, "changes-lost", "steady")
    worker.wait_for_hold("changes-lost")
    assert 2 in {document["id"] for document in site.documents("steady")}, "a ghost, and nothing but the finding tells"
