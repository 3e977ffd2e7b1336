"""What the worker asks Kafka beside its consumption has to survive a crash of the broker, too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from chain import eventually
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from sync_worker.adapters.kafka import KafkaLog
from sync_worker.change.model import TopicPartition
from sync_worker.errors import LogUnavailable
from sync_worker.testing.stack import Kind, Stack


@pytest.fixture
def topic(stack: Stack, fresh_name: Callable[[str], str]) -> Iterator[str]:
    name = fresh_name("positions")
    admin = AdminClient({"bootstrap.servers": stack.kafka_bootstrap, "log_level": 0})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(30)
    yield name
    stack.kafka.start()
    admin.delete_topics([name])[name].result(30)


def test_a_client_that_knew_the_leader_before_the_crash_finds_it_again(stack: Stack, topic: str) -> None:
    """The broker comes back with a new leader epoch. librdkafka's administration client goes on asking with the old one and is
    fenced for ever; a partition that was being prepared would wait for ever."""
    if stack.kafka.kind is Kind.OUTSIDE:
        pytest.skip("Kafka was given from outside, so it is not ours to kill")
    producer = Producer({"bootstrap.servers": stack.kafka_bootstrap, "log_level": 0})
    producer.produce(topic, b"value")
    assert producer.flush(30) == 0
    log, place = KafkaLog(stack.kafka_bootstrap, topic, {}), TopicPartition(topic, 0)

    def bounds() -> tuple[int, int] | None:
        try:
            return asyncio.run(log.bounds([place]))[place]
        except LogUnavailable as error:
            said.append(error.message)
            return None

    said: list[str] = []
    assert bounds() == (0, 1)
    stack.kafka.kill()
    assert bounds() is None
    stack.kafka.start()
    assert eventually(bounds, 20, lambda: f"still: {said[-1]}") == (0, 1)
