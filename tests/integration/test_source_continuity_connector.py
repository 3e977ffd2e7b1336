"""The watch over a real connector: what PostgreSQL, Connect and Kafka say together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from connector_harness import Addresses, Place, place

from sync_worker.adapters.debezium.continuity import ConnectContinuity
from sync_worker.adapters.kafka import KafkaLog, KafkaTopics
from sync_worker.adapters.kafka.continuity import KafkaContinuity
from sync_worker.adapters.source.continuity import PostgresContinuity
from sync_worker.change.model import TopicPartition
from sync_worker.operations.watch import WatchParts, compare
from sync_worker.testing.stack import Stack
from sync_worker.watch.facts import ConnectorSeen, Watched, WatchedIndex
from sync_worker.watch.snapshots import completed_scans

WITHIN_S = 60.0


class Site:
    """A connector over two tables, one of them empty, and what the watch recorded of it."""

    def __init__(self, here: Place) -> None:
        self.here = here
        self.recorded: dict[tuple[str, str], Any] = {}
        settings = here.settings
        self.topics = {table: settings.data_topic(table) for table in ("public.t", "public.empty")}
        indexes = {
            table.removeprefix("public."): WatchedIndex(table, topic, ("id",), frozenset({"id"}), "d")
            for table, topic in self.topics.items()
        }
        self.watched = Watched(
            settings.name, settings.slot, settings.publication, settings.retention_ms, settings.max_message_bytes, indexes
        )

    def look(self) -> dict[str, list[str]]:
        """Kind → subjects of one look; what it saw is recorded."""
        return asyncio.run(self._look())

    async def _look(self) -> dict[str, list[str]]:
        settings = self.here.settings
        async with self.here.client() as client:
            parts = WatchParts(
                PostgresContinuity(self.here.database_url, slot=settings.slot, publication=settings.publication),
                ConnectContinuity(client, settings.name),
                KafkaContinuity(KafkaTopics(self.here.addresses.kafka_bootstrap, {})),
            )
            comparison = await compare(parts, self.watched, self.recorded, now=time.time())
        assert comparison.unanswered == {}
        self.recorded.update(comparison.facts)
        kinds: dict[str, list[str]] = {}
        for noticed in comparison.noticed:
            kinds.setdefault(noticed.kind.value, []).append(noticed.subject)
        return {kind: sorted(subjects) for kind, subjects in kinds.items()}

    def connector(self) -> ConnectorSeen | None:
        async def asked() -> ConnectorSeen | None:
            async with self.here.client() as client:
                return await ConnectContinuity(client, self.here.settings.name).seen()

        return asyncio.run(asked())

    def until(self, condition: Any, what: str) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not condition():
            assert time.monotonic() < deadline, f"never came: {what}"
            time.sleep(0.2)

    def ask_connect(self, method: str, path: str, body: Any = None) -> None:
        async def asked() -> None:
            async with self.here.client() as client:
                await client._request(method, f"/connectors/{self.here.settings.name}{path}", json=body)

        asyncio.run(asked())


@pytest.fixture
def site(stack: Stack) -> Iterator[Site]:
    with place(Addresses.of(stack)) as here:
        here.execute(
            "create table t (id integer primary key)", "create table empty (id integer primary key)", "insert into t values (1)"
        )
        here.with_tables("public.t", "public.empty")
        site = Site(here)
        here.start()
        site.until(lambda: (seen := site.connector()) is not None and seen.position is not None, "a stored position")
        assert site.look() == {}
        yield site


LOST = ["empty", "t"]


def test_a_connector_at_work_is_never_behind_its_slot(site: Site) -> None:
    """The slot is confirmed after Connect has stored the position, whatever the load: else this watch would cry every minute."""
    for start in range(10, 400, 10):
        site.here.execute(f"insert into t select generate_series({start}, {start + 9})")
        assert site.look() == {}


def test_a_snapshot_tells_of_the_empty_table_too(site: Site) -> None:
    """The only sign that an empty table was read: its index is filled without one record."""

    async def scans() -> dict[str, int]:
        topic = TopicPartition(site.here.settings.notification_topic, 0)
        log = KafkaLog(site.here.addresses.kafka_bootstrap, "g", {})
        start, end = (await log.bounds([topic]))[topic]
        records = [record async for chunk in log.read(topic, start, end) for record in chunk]
        return {table: scan.rows for table, scan in completed_scans(records).items()}

    assert asyncio.run(scans()) == {"public.t": 1, "public.empty": 0}


def test_a_slot_advanced_behind_a_stopped_connector(site: Site) -> None:
    """Nobody else compares the slot with Connect's offset: Debezium goes on from the slot without a word."""
    site.ask_connect("PUT", "/stop")
    site.until(lambda: site.look().get("connector-down"), "a stopped connector")
    assert "changes-lost" not in site.look()
    site.here.execute("insert into t values (7777)")
    site.until(lambda: _advanced(site), "a slot that nobody reads")
    assert site.look() == {"connector-down": [site.watched.connector], "changes-lost": LOST}


def _advanced(site: Site) -> bool:
    try:
        site.here.execute(f"select pg_replication_slot_advance('{site.watched.slot}', pg_current_wal_lsn())")
    except Exception:
        return False
    return True


def test_a_connector_that_was_told_to_drop_events(site: Site) -> None:
    """Somebody changed the live configuration; the declaration still says otherwise."""

    async def changed() -> None:
        async with site.here.client() as client:
            config = {**(await client.config(site.watched.connector) or {}), "database.password": site.here.settings.password}
            await client._request(
                "PUT", f"/connectors/{site.watched.connector}/config", json={**config, "errors.tolerance": "all"}
            )

    asyncio.run(changed())
    site.until(lambda: site.look().get("connector-loses") == [site.watched.connector], "options that lose")


def test_a_connector_that_is_gone(site: Site) -> None:
    """Deleted by hand: nothing comes, and the slot fills the disk."""
    site.ask_connect("DELETE", "")
    site.until(lambda: site.look().get("connector-down") == [site.watched.connector], "a missing connector")


@pytest.mark.parametrize(
    ("name", "value", "mend"),
    [
        ("cleanup.policy", "compact", "cleanup.policy=delete"),
        ("retention.ms", "3600000", "retention.ms="),
        ("max.message.bytes", "1000000", "max.message.bytes="),
    ],
)
def test_a_topic_that_was_reconfigured(site: Site, name: str, value: str, mend: str) -> None:
    """What an outage keeps from being read must still be there afterwards."""
    topic = site.topics["public.t"]
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": site.here.addresses.kafka_bootstrap, "log_level": 0})
    for altered in admin.incremental_alter_configs([resource]).values():
        altered.result(timeout=30)
    site.until(lambda: site.look() == {"topic-loses": [topic]}, f"{name}={value}")
