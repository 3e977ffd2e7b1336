"""Reading a range of the log again, on a real broker: everything committed in it, nothing else, and always an end."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Sequence
from typing import Protocol

import pytest
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient

from sync_worker.adapters.kafka import KafkaLog, KafkaTopics
from sync_worker.change.model import Record, StoredRecord, TopicPartition
from sync_worker.errors import LogUnavailable
from sync_worker.ports import Log


class HasKafka(Protocol):
    kafka_bootstrap: str


@pytest.fixture
def bootstrap(stack: HasKafka) -> str:
    return stack.kafka_bootstrap


@pytest.fixture
def log(bootstrap: str) -> Log:
    return KafkaLog(bootstrap, "ranges", {})


async def new_topic(bootstrap: str, **configuration: str) -> TopicPartition:
    name = f"ranges-{uuid.uuid4().hex}"
    assert await KafkaTopics(bootstrap, {}).create(
        name, 1, {key.replace("_", "."): value for key, value in configuration.items()}
    )
    return TopicPartition(name, 0)


@pytest.fixture
async def partition(bootstrap: str) -> TopicPartition:
    return await new_topic(bootstrap)


def write(bootstrap: str, partition: TopicPartition, values: Sequence[bytes | None], **settings: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, **settings})
    for number, value in enumerate(values):
        while True:
            try:
                producer.produce(partition.topic, value, key=b"%d" % number, partition=0, headers=[("h", b"%d" % number)])
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(30) == 0


def transaction(bootstrap: str, partition: TopicPartition) -> Producer:
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": uuid.uuid4().hex})
    producer.init_transactions(10)
    producer.begin_transaction()
    for number in range(3):
        producer.produce(partition.topic, b"in transaction %d" % number, partition=0)
    producer.flush(10)
    return producer


async def read(log: Log, partition: TopicPartition, start: int, end: int) -> list[Record]:
    async with asyncio.timeout(40):
        return [record async for chunk in log.read(partition, start, end) for record in chunk]


def offsets(records: Sequence[Record]) -> list[int]:
    return [record.offset for record in records]


async def test_a_range_comes_whole_and_as_it_was_written(bootstrap: str, log: Log, partition: TopicPartition) -> None:
    """Start counts, end does not; keys, headers and tombstones as they are."""
    write(bootstrap, partition, [b"zero", b"one", None, b"three"])
    records = await read(log, partition, 1, 3)
    assert offsets(records) == [1, 2]
    [one, tombstone] = records
    assert one == StoredRecord(*partition, 1, one.timestamp, b"1", b"one", (("h", b"1"),))
    assert one.timestamp > 1_700_000_000_000
    assert tombstone.value is None
    assert await read(log, partition, 3, 3) == []


async def test_an_end_behind_the_log_is_the_log_end(bootstrap: str, log: Log, partition: TopicPartition) -> None:
    """A wait for an offset that will never be written would hang."""
    assert await read(log, partition, 0, 100) == []
    write(bootstrap, partition, [b"zero"])
    assert offsets(await read(log, partition, 0, 100)) == [0]
    assert await read(log, partition, 50, 100) == []


async def test_what_retention_took_is_skipped(bootstrap: str, log: Log, partition: TopicPartition) -> None:
    """The range begins at the log's start, where that has moved into it."""
    write(bootstrap, partition, [b"x"] * 10)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    [deleted] = admin.delete_records([KafkaPartition(partition.topic, 0, 6)]).values()
    deleted.result(10)
    assert offsets(await read(log, partition, 0, 8)) == [6, 7]
    assert await read(log, partition, 0, 5) == []


@pytest.mark.parametrize("followed", [False, True])
async def test_markers_and_aborted_records_are_passed(
    bootstrap: str, log: Log, partition: TopicPartition, followed: bool
) -> None:
    """Aborted changes never happened, and their markers count as read, at the end of the log as in the middle."""
    write(bootstrap, partition, [b"zero"])
    transaction(bootstrap, partition).commit_transaction(10)
    transaction(bootstrap, partition).abort_transaction(10)
    if followed:
        write(bootstrap, partition, [b"nine"])
    assert offsets(await read(log, partition, 0, 9)) == [0, 1, 2, 3]
    assert offsets(await read(log, partition, 0, 100)) == [0, 1, 2, 3, *([9] if followed else [])]


async def test_an_open_transaction_is_told_and_not_taken_for_the_end(bootstrap: str, log: Log, partition: TopicPartition) -> None:
    """A range that ends early without a word would leave an old change in the index."""
    write(bootstrap, partition, [b"zero"])
    open_one = transaction(bootstrap, partition)
    assert offsets(await read(log, partition, 0, 1)) == [0]
    with pytest.raises(LogUnavailable, match="transaction open at offset 1"):
        await read(log, partition, 0, 3)
    open_one.commit_transaction(10)
    assert offsets(await read(log, partition, 0, 3)) == [0, 1, 2]


async def test_compacted_offsets_are_passed(bootstrap: str, log: Log, fresh_topic: str) -> None:
    """What compaction took is not waited for, also where a whole range of it is gone."""
    eager = {"segment.ms": "100", "min.cleanable.dirty.ratio": "0.001", "max.compaction.lag.ms": "100"}
    assert await KafkaTopics(bootstrap, {}).create(fresh_topic, 1, {"cleanup.policy": "compact", **eager})
    partition = TopicPartition(fresh_topic, 0)
    for _ in range(5):
        write(bootstrap, partition, [b"old"] * 20)
    async with asyncio.timeout(90):
        while len(left := await read(log, partition, 0, 100)) == 100:
            await asyncio.sleep(0.5)
            write(bootstrap, partition, [b"roll the segment"])
    assert len(left) < 100
    assert offsets(left) == sorted(offsets(left))
    assert await read(log, partition, 1, 10) == []


async def test_chunks_are_bounded_and_in_order(bootstrap: str, log: Log, partition: TopicPartition) -> None:
    """Memory does not follow the range: 2,000 records, or 4 MiB and one record."""
    write(bootstrap, partition, [b"x" * 20_000] * 1_500 + [b"x"] * 5_000)
    sizes: list[tuple[int, int]] = []
    seen: list[int] = []
    async for chunk in log.read(partition, 0, 6_500):
        sizes.append((len(chunk), sum(len(record.value or b"") for record in chunk)))
        seen.extend(offsets(chunk))
    assert seen == list(range(6_500))
    assert max(count for count, _ in sizes) <= 2_000
    assert max(size for _, size in sizes) <= 4 * 1024 * 1024 + 20_000


async def test_a_reader_left_in_the_middle_leaves_nothing_behind(bootstrap: str, log: Log, partition: TopicPartition) -> None:
    """A revoked partition ends the replay at once: consumer closed, thread gone, no group on the broker."""
    write(bootstrap, partition, [b"x"] * 5_000)

    async def replay() -> None:
        async for _ in log.read(partition, 0, 5_000):
            reading.set()
            await asyncio.Event().wait()

    reading = asyncio.Event()
    task = asyncio.create_task(replay())
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for thread in threading.enumerate():
        if thread.name.startswith("kafka-read"):
            await asyncio.to_thread(thread.join, 10)
            assert not thread.is_alive()
    admin = AdminClient({"bootstrap.servers": bootstrap})
    groups = admin.list_consumer_groups().result(10).valid
    assert not [found.group_id for found in groups if found.group_id.startswith("ranges-read-")]
