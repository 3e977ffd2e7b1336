"""What the delete of a key change says about the key to come, for keys of every kind, and where its create is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import orjson
import pytest
from confluent_kafka import Message
from connector_harness import Addresses, Place, place

from sync_worker.adapters.kafka.range_reader import stored
from sync_worker.change.decode import decode
from sync_worker.change.header import answered_key, promised_key, run_id
from sync_worker.change.partitioner import partition_of
from sync_worker.testing.stack import Stack

KEYS = {
    "bigint": ("7", "8"),
    "text": ("'Zürich, \"7\"'", "'naïve ☃ \\ 東京'"),
    "uuid": ("'00000000-0000-0000-0000-000000000007'", "'00000000-0000-0000-0000-000000000008'"),
    "numeric(10,2)": ("7.00", "8.50"),
    "date": ("'2024-02-07'", "'2024-02-08'"),
    "timestamptz": ("'2024-02-07 01:02:03.5+01'", "'2024-02-08 01:02:03.5+01'"),
    "boolean": ("true", "false"),
}


@pytest.fixture
def here(stack: Stack) -> Iterator[Place]:
    with place(Addresses.of(stack)) as made:
        yield made


@pytest.mark.parametrize("kind", KEYS)
def test_the_promised_key_is_the_key_of_the_create(here: Place, kind: str) -> None:
    """Column by column, value by value; and Kafka's default partitioner, asked with it, names the create's partition."""
    old, new = KEYS[kind]
    here.execute(
        f"CREATE TABLE things (a {kind}, b int, name text, PRIMARY KEY (a, b))", f"INSERT INTO things VALUES ({old}, 1, 'n')"
    )
    here.with_tables("public.things", partitions=5).start()
    topic = f"{here.settings.topic_prefix}.public.things"
    here.records(topic, lambda read: len(read) >= 1)
    here.execute(f"UPDATE things SET a = {new}, b = 2")

    def complete(read: Sequence[Message]) -> bool:
        return any(promised_key(stored(one)) for one in read) and any(answered_key(stored(one)) for one in read)

    records = [stored(message) for message in here.records(topic, complete)]
    gone = next(record for record in records if promised_key(record) is not None)
    come = next(record for record in records if answered_key(record) is not None)
    promised, created = promised_key(gone), decode(come)
    assert promised is not None
    assert created is not None
    assert promised == created.key
    assert run_id(gone) == run_id(come)
    assert come.key == orjson.dumps(promised)
    assert partition_of(orjson.dumps(promised), 5) == come.partition
