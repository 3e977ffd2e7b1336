"""Where topics, partitions and the group stand, asked of a real broker."""

from __future__ import annotations

import asyncio
import uuid
from typing import Protocol

import pytest
from confluent_kafka import Consumer, Producer, TopicCollection
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient

from sync_worker.adapters.kafka import KafkaLog, KafkaTopics
from sync_worker.change.model import TopicPartition
from sync_worker.errors import ConfigurationError, LogUnavailable


class HasKafka(Protocol):
    kafka_bootstrap: str


@pytest.fixture
def bootstrap(stack: HasKafka) -> str:
    return stack.kafka_bootstrap


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4().hex}"


@pytest.fixture
def log(bootstrap: str, group: str) -> KafkaLog:
    return KafkaLog(bootstrap, group, {})


@pytest.fixture
async def topic(bootstrap: str, fresh_topic: str) -> str:
    assert await KafkaTopics(bootstrap, {}).create(fresh_topic, 2, {"retention.ms": "-1"})
    return fresh_topic


async def test_a_recreated_topic_has_another_id(bootstrap: str, log: KafkaLog, topic: str) -> None:
    """The name stays, the id does not: that is how a replaced log is noticed (rule 14)."""
    before = (await log.topic_ids([topic]))[topic]
    assert (await log.topic_ids([topic]))[topic] == before
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.delete_topics([topic])[topic].result(10)
    async with asyncio.timeout(10):
        while await log.topic_ids([topic]):
            pass
    assert await KafkaTopics(bootstrap, {}).create(topic, 2, {})
    assert (await log.topic_ids([topic]))[topic] not in ("", before)


async def test_missing_topics_are_left_out_and_not_made(bootstrap: str, log: KafkaLog, topic: str) -> None:
    """A worker that starts before its topic must not create it with the broker's defaults."""
    missing = f"missing-{uuid.uuid4().hex}"
    assert await log.partition_counts([topic, missing]) == {topic: 2}
    assert set(await log.topic_ids([topic, missing])) == {topic}
    assert set(await KafkaTopics(bootstrap, {}).describe([topic, missing])) == {topic}
    with pytest.raises(LogUnavailable):
        await log.bounds([TopicPartition(missing, 0)])
    with pytest.raises(LogUnavailable):
        [chunk async for chunk in log.read(TopicPartition(missing, 0), 0, 1)]
    assert missing not in AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=10).topics
    assert (await log.topic_ids([]), await log.bounds([]), await log.committed([])) == ({}, {}, {})


async def test_bounds_follow_retention_and_count_open_transactions(bootstrap: str, log: KafkaLog, topic: str) -> None:
    """The start moves with what is deleted; the end is the next offset to be written, whoever may read up to it."""
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": topic})
    producer.init_transactions(10)
    producer.begin_transaction()
    for _ in range(5):
        producer.produce(topic, b"x", partition=0)
    producer.commit_transaction(10)
    producer.begin_transaction()
    producer.produce(topic, b"open", partition=0)
    producer.flush(10)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    [deleted] = admin.delete_records([KafkaPartition(topic, 0, 2)]).values()
    deleted.result(10)
    assert await log.bounds([first, second]) == {first: (2, 7), second: (0, 0)}
    producer.abort_transaction(10)


async def test_committed_offsets_are_the_groups(bootstrap: str, log: KafkaLog, group: str, topic: str) -> None:
    """None where nothing was committed: a first start is not offset 0."""
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    assert await log.committed([first, second]) == {first: None, second: None}
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    consumer.commit(offsets=[KafkaPartition(topic, 1, 42)], asynchronous=False)
    consumer.close()
    assert await log.committed([first, second]) == {first: None, second: 42}


async def test_topic_facts_are_the_brokers(bootstrap: str, topic: str) -> None:
    """`check` judges what the topic is, not what somebody meant it to be; creating it again changes nothing."""
    topics = KafkaTopics(bootstrap, {})
    assert await topics.create(topic, 7, {"retention.ms": "1"}) is False
    facts = (await topics.describe([topic]))[topic]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    described = admin.describe_topics(TopicCollection([topic]))[topic].result(10)
    assert facts.topic_id == str(described.topic_id)
    assert (facts.partitions, facts.retention_ms, facts.cleanup_policy) == (2, -1, "delete")
    assert facts.in_sync == facts.replication >= 1
    assert facts.max_message_bytes > 0


@pytest.mark.parametrize("configuration", [{"cleanup.policy": "sometimes"}, {"no.such.setting": "1"}])
async def test_a_topic_with_impossible_settings_is_told(bootstrap: str, configuration: dict[str, str]) -> None:
    """The broker's own words, and no topic."""
    name = f"impossible-{uuid.uuid4().hex}"
    with pytest.raises(ConfigurationError):
        await KafkaTopics(bootstrap, {}).create(name, 1, configuration)
    assert await KafkaTopics(bootstrap, {}).describe([name]) == {}


async def test_a_broker_that_is_gone_is_log_unavailable() -> None:
    """Within a bounded time, so that the worker shows what it holds for."""
    with pytest.raises(LogUnavailable):
        await KafkaLog("127.0.0.1:1", "group", {}).topic_ids(["any"])
