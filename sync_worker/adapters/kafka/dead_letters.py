"""The port `DeadLetters`: the topic that is the log of failures."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from sync_worker.adapters.kafka.client import made, settings
from sync_worker.adapters.kafka.fault import Faults
from sync_worker.adapters.kafka.letter import HEADER_ROOM, Headers, to_headers
from sync_worker.adapters.kafka.letters import MARK, LetterReader
from sync_worker.adapters.kafka.log import KafkaLog
from sync_worker.adapters.kafka.topics import KafkaTopics
from sync_worker.change.model import Record, TopicPartition
from sync_worker.errors import LogUnavailable
from sync_worker.failure.model import Failure, PayloadReference
from sync_worker.ports import FoundLetter

_POLL_S = 0.2
_SETTING_S = 1.0
"""Until every broker has read a changed setting of a topic."""

_BATCH_ROOM = 64 * 1024
"""Bytes that the broker may find in a batch beside the record it holds."""


_Message = tuple[bytes | None, bytes | None, Headers]
"""Key, value, headers."""


class KafkaDeadLetters:
    """Implements `sync_worker.ports.DeadLetters` with a producer of its own, whatever the stream's producer can take.

    Args:
        topic: the dead-letter topic; never created by writing to it, only by `ensure_topic`.
        security: librdkafka's properties.
        max_record_bytes: of the largest record that a data topic may hold.
        deadline_s: until every delivery of one call has to be confirmed.
    """

    def __init__(
        self, bootstrap: str, topic: str, security: Mapping[str, str], *, max_record_bytes: int, deadline_s: float = 30.0
    ) -> None:
        self._topic = topic
        self._deadline_s = deadline_s
        self._letter_bytes = max_record_bytes + HEADER_ROOM
        self._faults = Faults(bootstrap)
        self._settings = {
            **settings(bootstrap, security, self._faults),
            "acks": "all",
            "enable.idempotence": True,
            "message.max.bytes": self._letter_bytes,
            # In time before our own deadline, so that nothing of a call that failed is left behind in the queue.
            "delivery.timeout.ms": int(deadline_s * 900),
            "queue.buffering.max.kbytes": max(64 * 1024, 4 * self._letter_bytes // 1024),
            # A missing topic must not come into being with the brokers' retention.
            "allow.auto.create.topics": False,
        }
        self._topics = KafkaTopics(bootstrap, security)
        self._reader = LetterReader(KafkaLog(bootstrap, topic, security), topic)
        self._producer: Producer | None = made(Producer, self._settings, self._faults)
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dead-letters")

    async def publish(self, failures: Sequence[tuple[Failure, Record]]) -> Sequence[PayloadReference]:
        """Write the records with their failures; returns once every delivery is confirmed, in the order given.

        Raises LogUnavailable where one was not confirmed in time. Others of the same call may be in the topic by then, and the
        call repeated writes them again: a letter may be there twice, the row in `failed_work` is not.
        """
        return await self._deliver(
            [(record.key, record.value, list(to_headers(failure, record))) for failure, record in failures]
        )

    async def _deliver(self, messages: Sequence[_Message]) -> Sequence[PayloadReference]:
        async with self._turn:
            loop = asyncio.get_running_loop()
            delivery = _Delivery(messages)
            deadline = loop.time() + self._deadline_s
            while not delivery.settled:
                await loop.run_in_executor(self._thread, self._advance, delivery)
                if loop.time() > deadline and not delivery.settled:
                    raise LogUnavailable(f"The dead letters to {self._topic} were not confirmed within {self._deadline_s:g} s")
            return await loop.run_in_executor(self._thread, self._references, delivery)

    async def read(self, references: Collection[PayloadReference]) -> Mapping[PayloadReference, tuple[Failure, Record]]:
        """The letters at these places; those that are gone (erased), or are no letters of ours, are left out."""
        return await self._reader.read(references)

    @property
    def topic(self) -> str:
        return self._topic

    async def bounds(self) -> Mapping[TopicPartition, tuple[int, int]]:
        """Log start and end of every partition; empty where the topic does not exist."""
        return await self._reader.bounds()

    def letters(self, bounds: Mapping[TopicPartition, tuple[int, int]]) -> AsyncIterator[Sequence[FoundLetter]]:
        """Everything within these bounds, partition by partition, in order, in chunks of bounded size."""
        return self._reader.letters(bounds)

    async def copy(self, records: Sequence[Record]) -> Sequence[PayloadReference]:
        """Write these records of it once more, as they are; their new places, once every delivery is confirmed."""
        return await self._deliver([(record.key, record.value, record.headers) for record in records])

    async def begin_segment(self) -> None:
        """Have the broker write what comes from now on into new files.

        A broker deletes whole files only, and never the one that it writes to. It begins a new one for a record that comes later
        than `segment.ms` after the file's first, so that is made a millisecond for as long as one mark is written.
        """
        set_before = await self._topics.alter(self._topic, {"segment.ms": "1"})
        try:
            await asyncio.sleep(_SETTING_S)
            await self._deliver([(None, None, [(MARK, b"")])])
        finally:
            await self._topics.alter(self._topic, set_before)

    async def delete_before(self, ends: Mapping[TopicPartition, int]) -> None:
        """Take everything below these offsets out of the log."""
        await self._topics.delete_before(ends)

    def _advance(self, delivery: _Delivery) -> None:
        """Hand over what the producer's queue takes, and wait a moment for confirmations."""
        if self._producer is None:
            self._producer = made(Producer, self._settings, self._faults)
        try:
            while delivery.waiting:
                position, (key, value, headers) = delivery.waiting[0]
                self._producer.produce(
                    self._topic, key=key, value=value, headers=list(headers), on_delivery=delivery.confirmation(position)
                )
                delivery.waiting.popleft()
        except BufferError:
            pass  # the queue is full: the next turn goes on from here
        except KafkaException as error:
            raise self._failed(error.args[0]) from error
        self._producer.poll(_POLL_S)

    def _references(self, delivery: _Delivery) -> Sequence[PayloadReference]:
        if delivery.error is not None:
            raise self._failed(delivery.error) from KafkaException(delivery.error)
        self._faults.succeeded()
        return [delivery.confirmed[position] for position in range(len(delivery.confirmed))]

    def _failed(self, error: KafkaError) -> Exception:
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._producer = None  # an idempotent producer that lost its sequence never recovers
        return self._faults.translate(error, f"writing dead letters to {self._topic}")

    async def ensure_topic(self) -> Sequence[str]:
        """Create the topic where it is missing; what is wrong with it, one line each, with the way to mend it."""
        wanted = self._letter_bytes + _BATCH_ROOM
        configuration = {
            "cleanup.policy": "delete",
            "retention.ms": "-1",
            "retention.bytes": "-1",
            "max.message.bytes": str(wanted),
        }
        if await self._topics.create(self._topic, 1, configuration):
            return []
        return await self.problems()

    async def problems(self) -> Sequence[str]:
        """What is wrong with the topic as it is; changes nothing."""
        facts = (await self._topics.describe([self._topic])).get(self._topic)
        if facts is None:
            return [f"the dead-letter topic {self._topic} does not exist: `sync-worker run` creates it"]
        wanted = self._letter_bytes + _BATCH_ROOM
        found: list[tuple[str, str, str]] = []
        if facts.cleanup_policy != "delete":
            found.append(
                (f"cleanup.policy is {facts.cleanup_policy}", "cleanup.policy=delete", "letters of one key replace others")
            )
        if facts.retention_ms != -1:
            found.append((f"retention.ms is {facts.retention_ms}", "retention.ms=-1", "letters vanish with time"))
        if facts.retention_bytes != -1:
            found.append((f"retention.bytes is {facts.retention_bytes}", "retention.bytes=-1", "letters vanish with size"))
        if facts.max_message_bytes < wanted:
            found.append(
                (
                    f"max.message.bytes is {facts.max_message_bytes}",
                    f"max.message.bytes={wanted}",
                    "the largest record can't be dead-lettered, and holds its partition",
                )
            )
        change = f"kafka-configs.sh --alter --topic {self._topic} --add-config"
        return [f"the dead-letter topic {self._topic}: {what}, so {harm}; {change} {mend}" for what, mend, harm in found]

    async def close(self) -> None:
        """Whatever is unconfirmed is abandoned: nobody has acknowledged it."""
        self._thread.shutdown(wait=False)
        self._producer = None


class _Delivery:
    """One call's letters on their way. Touched by the producer's thread alone, but for `settled`."""

    def __init__(self, messages: Sequence[_Message]) -> None:
        self.waiting = deque(enumerate(messages))
        self.confirmed: dict[int, PayloadReference] = {}
        self.error: KafkaError | None = None
        self._open = len(messages)

    @property
    def settled(self) -> bool:
        return self._open == 0

    def confirmation(self, position: int) -> _Confirmation:
        return _Confirmation(self, position)

    def confirm(self, position: int, error: KafkaError | None, message: Message) -> None:
        self._open -= 1
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if error is not None:
            self.error = self.error or error
        elif topic is not None and partition is not None and offset is not None:
            self.confirmed[position] = PayloadReference(topic, partition, offset)


class _Confirmation:
    def __init__(self, delivery: _Delivery, position: int) -> None:
        self._delivery = delivery
        self._position = position

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        self._delivery.confirm(self._position, error, message)
