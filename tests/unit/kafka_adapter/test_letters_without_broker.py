"""Dead letters on librdkafka's mock cluster, and without any broker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from test_letter_round_trip import FAILURE, RECORD

from sync_worker.adapters.kafka import KafkaDeadLetters, dead_letters
from sync_worker.errors import LogUnavailable
from sync_worker.failure.model import PayloadReference


@pytest.fixture
def bootstrap() -> Iterator[str]:
    """librdkafka's mock cluster; it creates topics when they are first asked for."""
    cluster = AdminClient({"test.mock.num.brokers": 1, "bootstrap.servers": "mock", "log_level": 0})
    [broker] = cluster.list_topics(timeout=10).brokers.values()
    cluster.list_topics("letters", timeout=10)
    yield f"{broker.host}:{broker.port}"
    del cluster  # it lives as long as the client


async def test_references_come_in_the_order_of_the_failures(bootstrap: str) -> None:
    """Each row of `failed_work` points at its own letter."""
    letters = KafkaDeadLetters(bootstrap, "letters", {}, max_record_bytes=1_000_000)
    references = await letters.publish([(FAILURE, RECORD)] * 3)
    [partition] = {reference.partition for reference in references}  # one key, one partition
    assert references == [PayloadReference("letters", partition, offset) for offset in range(3)]
    assert await letters.publish([]) == []
    await letters.close()


async def test_without_a_broker_the_deadline_ends_in_a_hold() -> None:
    """Never an acknowledgement without a letter, never a wait without an end."""
    letters = KafkaDeadLetters("127.0.0.1:1", "letters", {}, max_record_bytes=1_000_000, deadline_s=0.5)
    started = asyncio.get_running_loop().time()
    with pytest.raises(LogUnavailable, match="letters"):
        await letters.publish([(FAILURE, RECORD)])
    assert asyncio.get_running_loop().time() - started < 5
    await letters.close()


async def test_a_producer_that_lost_its_sequence_is_replaced(bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fatal error of an idempotent producer stays for ever: the next attempt must have a new one."""
    real = dead_letters.Producer

    class Broken:
        def __init__(self, configuration: dict[str, object]) -> None:
            monkeypatch.setattr(dead_letters, "Producer", real)

        def produce(self, *_: object, **__: object) -> None:
            raise KafkaException(KafkaError(KafkaError._FATAL, "sequence lost", fatal=True))

    monkeypatch.setattr(dead_letters, "Producer", Broken)
    letters = KafkaDeadLetters(bootstrap, "letters", {}, max_record_bytes=1_000_000)
    with pytest.raises(LogUnavailable, match="sequence lost"):
        await letters.publish([(FAILURE, RECORD)])
    assert len(await letters.publish([(FAILURE, RECORD)])) == 1
    await letters.close()
