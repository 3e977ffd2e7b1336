"""A real connector over a database of its own, and what it wrote: for the connector's tests and the capture of envelopes."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
from confluent_kafka import Consumer, KafkaException, Message
from confluent_kafka.admin import AdminClient, NewTopic
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from sync_worker.adapters.debezium.connect import ConnectClient
from sync_worker.adapters.debezium.status import ConnectorStatus
from sync_worker.adapters.debezium.template import ConnectorSettings, render_connector
from sync_worker.adapters.source.prepare import drop_slot, prepare_source
from sync_worker.testing.stack import Stack

WITHIN_S = 60.0


class SystemClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True)
class Addresses:
    """Where the parts are; the last two as Connect sees them."""

    kafka_bootstrap: str
    connect_url: str
    database_url: str
    connect_database_url: str
    connect_kafka_bootstrap: str

    @staticmethod
    def of(stack: Stack) -> Addresses:
        return Addresses(
            stack.kafka_bootstrap,
            stack.connect_url,
            stack.database_url,
            stack.connect_database_url,
            stack.connect_kafka_bootstrap,
        )


@dataclass
class Place:
    """One database and the settings of a connector for it."""

    addresses: Addresses
    database_url: str
    settings: ConnectorSettings
    started: list[str] = field(default_factory=list)

    def execute(self, *statements: str | sql.Composed, autocommit: bool = True) -> None:
        with psycopg.connect(self.database_url, autocommit=autocommit) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[arg-type]

    def with_tables(self, *tables: str, **changes: Any) -> Place:
        self.settings = replace(self.settings, tables=tables, **changes)
        return self

    def client(self) -> ConnectClient:
        return ConnectClient(self.addresses.connect_url, clock=SystemClock())

    def start(self, overrides: Mapping[str, str] | None = None) -> ConnectorStatus:
        """Publication, signal topic, connector; returns once its task runs."""
        self.create_signal_topic()
        if overrides:
            self.settings = replace(self.settings, overrides=overrides)

        async def started() -> ConnectorStatus:
            await prepare_source(self.database_url, self.settings.tables, self.settings.publication)
            async with self.client() as client:
                return await client.apply(self.settings.name, render_connector(self.settings), steady_s=0.5)

        self.started.append(self.settings.name)
        return asyncio.run(started())

    def create_signal_topic(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.addresses.kafka_bootstrap, "log_level": 0})
        for made in admin.create_topics([NewTopic(self.settings.signal_topic, 1, 1)]).values():
            try:
                made.result(timeout=30)
            except KafkaException as error:
                if error.args[0].name() != "TOPIC_ALREADY_EXISTS":
                    raise

    def records(self, topic: str, enough: Callable[[Sequence[Message]], bool]) -> list[Message]:
        """Everything in the topic from its beginning, once that is enough."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.addresses.kafka_bootstrap,
                "group.id": f"read-{secrets.token_hex(5)}",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "topic.metadata.refresh.interval.ms": 500,
                "allow.auto.create.topics": False,
                "log_level": 0,
            }
        )
        consumer.subscribe([topic])
        read: list[Message] = []
        deadline = time.monotonic() + WITHIN_S
        try:
            while not enough(read):
                if time.monotonic() > deadline:
                    raise AssertionError(f"{topic}: {len(read)} records, not enough within {WITHIN_S} s")
                message = consumer.poll(0.2)
                if message is None:
                    assert (failure := self.failure()) is None, failure
                elif message.error() is None:
                    read.append(message)
        finally:
            consumer.close()
        return read

    def failure(self) -> str | None:
        """What stopped a task, None while all run."""

        async def asked() -> str | None:
            async with self.client() as client:
                status = await client.status(self.settings.name)
                return status.error if status is not None else None

        return asyncio.run(asked())

    def stop(self) -> None:
        async def stopped() -> None:
            async with self.client() as client:
                for name in self.started:
                    await client.delete(name)
            await _drop_free_slot(self.database_url, self.settings.slot)

        asyncio.run(stopped())


async def _drop_free_slot(database_url: str, slot: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            await drop_slot(database_url, slot)
            return
        except Exception:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)


@contextmanager
def place(addresses: Addresses) -> Iterator[Place]:
    """A fresh database and names for a connector; both are gone afterwards."""
    name = f"dbz_{secrets.token_hex(5)}"
    seen_by_connect = conninfo_to_dict(addresses.connect_database_url)
    with psycopg.connect(addresses.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        user, password = connection.info.user, connection.info.password
    made = Place(
        addresses,
        f"{addresses.database_url.rpartition('/')[0]}/{name}",
        ConnectorSettings(
            name=name,
            topic_prefix=name,
            hostname=str(seen_by_connect["host"]),
            port=int(seen_by_connect.get("port") or 5432),
            user=user,
            password=password or "unused",
            database=name,
            tables=(),
            slot=name,
            publication=f"{name}_publication",
            bootstrap_servers=addresses.connect_kafka_bootstrap,
        ),
    )
    try:
        yield made
    finally:
        made.stop()
        with psycopg.connect(addresses.database_url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
