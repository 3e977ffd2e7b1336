"""The dead-letter topic on a real broker."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest
from confluent_kafka.admin import AdminClient

from sync_worker.adapters.kafka import KafkaDeadLetters, KafkaLog, KafkaTopics
from sync_worker.adapters.kafka.letter import parse
from sync_worker.change.model import Record, TopicPartition
from sync_worker.errors import LogUnavailable
from sync_worker.ports import DeadLetters

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "kafka_adapter"))  # one failure and one record for both
from test_letter_round_trip import FAILURE, RECORD

LARGEST = 1_500_000
"""Bytes: above the defaults of the broker and of every client."""


class HasKafka(Protocol):
    kafka_bootstrap: str


@pytest.fixture
def bootstrap(stack: HasKafka) -> str:
    return stack.kafka_bootstrap


@pytest.fixture
def topic(fresh_topic: str) -> str:
    return fresh_topic


@pytest.fixture
async def letters(bootstrap: str, topic: str):  # type: ignore[no-untyped-def]
    made = KafkaDeadLetters(bootstrap, topic, {}, max_record_bytes=LARGEST, deadline_s=5)
    yield made
    await made.close()


async def read(bootstrap: str, topic: str) -> list[Record]:
    partition = TopicPartition(topic, 0)
    return [record async for chunk in KafkaLog(bootstrap, "letters", {}).read(partition, 0, 10**9) for record in chunk]


async def test_letters_come_back_where_their_references_say(bootstrap: str, topic: str, letters: KafkaDeadLetters) -> None:
    """What `failed_work` points at is the record as it was, tombstones and bytes that are no text included."""
    port: DeadLetters = letters
    assert await letters.ensure_topic() == []
    told = [(replace(FAILURE, offset=n), replace(RECORD, offset=n, value=None if n == 1 else RECORD.value)) for n in range(3)]
    references = await port.publish(told)
    found = {record.offset: record for record in await read(bootstrap, topic)}
    assert [parse(found[reference.offset]) for reference in references] == told


async def test_the_largest_record_with_the_longest_words_fits(bootstrap: str, topic: str, letters: KafkaDeadLetters) -> None:
    """A record that the data topic took and the dead letters refuse would hold its partition for ever."""
    await letters.ensure_topic()
    record = replace(RECORD, value=b"x" * (LARGEST - 100))
    await letters.publish([(replace(FAILURE, message="é" * 100_000), record)])
    [letter] = await read(bootstrap, topic)
    assert parse(letter)[1] == record


async def test_a_record_above_the_limit_holds_and_says_what_to_raise(letters: KafkaDeadLetters) -> None:
    """Never dropped, never cut."""
    await letters.ensure_topic()
    with pytest.raises(LogUnavailable) as fault:
        await letters.publish([(FAILURE, replace(RECORD, value=b"x" * (LARGEST + 100_000)))])
    assert "max.message.bytes" in fault.value.remedy


async def test_many_letters_are_confirmed_each(bootstrap: str, topic: str, letters: KafkaDeadLetters) -> None:
    """More than one queue holds."""
    await letters.ensure_topic()
    told = [(replace(FAILURE, offset=n), replace(RECORD, offset=n, value=b"x" * 50_000)) for n in range(3_000)]
    references = await letters.publish(told)
    assert [reference.offset for reference in references] == list(range(3_000))


async def test_writing_does_not_make_the_topic(bootstrap: str, topic: str, letters: KafkaDeadLetters) -> None:
    """Made by the broker it would forget its letters after a week: no confirmation, and a hold, instead."""
    with pytest.raises(LogUnavailable):
        await letters.publish([(FAILURE, RECORD)])
    assert topic not in AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=10).topics
    assert "does not exist" in (await letters.problems())[0]
    await letters.ensure_topic()
    assert len(await letters.publish([(FAILURE, RECORD)])) == 1


async def test_a_topic_that_would_lose_letters_is_told(bootstrap: str, topic: str, letters: KafkaDeadLetters) -> None:
    """Compaction, time, size and a limit below the data's: each with its command. Nothing is changed unasked."""
    configuration = {"cleanup.policy": "compact", "retention.ms": "1000", "retention.bytes": "5", "max.message.bytes": "1000"}
    await KafkaTopics(bootstrap, {}).create(topic, 1, configuration)
    problems = await letters.ensure_topic()
    assert [line.split("--add-config ")[1] for line in problems] == [
        "cleanup.policy=delete",
        "retention.ms=-1",
        "retention.bytes=-1",
        f"max.message.bytes={LARGEST + 2 * 64 * 1024}",
    ]
    assert (await KafkaTopics(bootstrap, {}).describe([topic]))[topic].cleanup_policy == "compact"


async def test_a_topic_of_ours_is_found_in_order(letters: KafkaDeadLetters) -> None:
    """What `ensure_topic` makes passes its own examination, at every later start."""
    assert await letters.ensure_topic() == []
    assert await letters.ensure_topic() == []
