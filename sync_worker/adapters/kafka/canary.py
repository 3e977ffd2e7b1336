"""The topic of logical messages, read from its end without a group: every worker and every barrier reads all of it."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable, Mapping

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import Message as KafkaMessage
from confluent_kafka import TopicPartition as KafkaPartition

from sync_worker.adapters.kafka.client import ANSWER_S, made, settings
from sync_worker.adapters.kafka.fault import Faults
from sync_worker.adapters.kafka.range_reader import stored
from sync_worker.change.message import Message, logical_message
from sync_worker.errors import ConfigurationError, LogUnavailable

log = structlog.get_logger(__name__)

_POLL_S = 0.1
_AGAIN_S = 0.5
_RENEW_S = 10.0
"""Silence after which the consumer is made anew: librdkafka may hold on for ever to a leader, or to a topic, that is gone."""


class MessageReader:
    """Keeps the newest message. Survives restarts of the broker, a topic that does not exist yet, and one that is made anew.

    Args:
        topic: Debezium's `<prefix>.message`.
        group: prefix of the name that it shows the broker; it never joins and never commits.

    Attributes:
        newest: the last message that came; a worker that starts sees the one that is at the topic's end.
        fault: why nothing can be read at the moment, None where it can.
        end: where the topic's partitions ended when they were last asked or read, summed; None while unknown.
    """

    def __init__(self, bootstrap: str, topic: str, security: Mapping[str, str], *, group: str) -> None:
        self.topic = topic
        self.newest: Message | None = None
        self.fault: str | None = None
        self.end: int | None = None
        self._faults = Faults(bootstrap)
        self._settings = {
            **settings(bootstrap, security, self._faults),
            "group.id": f"{group}-read-{uuid.uuid4().hex}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.error.backoff.ms": 100,
            "reconnect.backoff.max.ms": 1000,
        }
        self._next: dict[int, int] = {}
        self._was_missing = False
        self._halt = threading.Event()
        self._assigned = asyncio.Event()
        self._waiting: dict[asyncio.Future[Message], Callable[[Message], bool]] = {}
        self._thread = threading.Thread(target=self._run, name="canary", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Returns at once; reading begins beside it."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        self._halt.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, ANSWER_S)

    async def listening(self, timeout_s: float) -> bool:
        """Whether every message that is written from now on will be seen, after at most `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._assigned.wait()
        except TimeoutError:
            return False
        return True

    async def arrived(self, wanted: Callable[[Message], bool], timeout_s: float) -> Message | None:
        """The newest message or the next one that is wanted; None where none came in time."""
        if self.newest is not None and wanted(self.newest):
            return self.newest
        waiting: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[waiting] = wanted
        try:
            async with asyncio.timeout(timeout_s):
                return await waiting
        except TimeoutError:
            return None
        finally:
            del self._waiting[waiting]

    # On the worker's loop

    def _came(self, message: Message) -> None:
        self.newest, self.fault = message, None
        for waiting, wanted in self._waiting.items():
            if not waiting.done() and wanted(message):
                waiting.set_result(message)

    def _told(self, fault: str | None) -> None:
        if fault is not None and self.fault is None:
            log.warning("the canary can't be read", topic=self.topic, cause=fault)
        self.fault = fault

    # In the thread

    def _on_loop(self, call: Callable[..., None], *arguments: object) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(call, *arguments)
            except RuntimeError:  # closed in this very moment
                self._halt.set()

    def _run(self) -> None:
        while not self._halt.is_set():
            consumer: Consumer | None = None
            try:
                consumer = made(Consumer, self._settings, self._faults)
                if self._assign(consumer):
                    self._on_loop(self._assigned.set)
                    self._read(consumer)
                else:
                    self._halt.wait(_AGAIN_S)
            except KafkaException as error:
                self._on_loop(self._told, self._faults.translate(error, f"reading {self.topic}").message)
                self._halt.wait(_AGAIN_S)
            except (LogUnavailable, ConfigurationError) as error:
                self._on_loop(self._told, error.message)
                self._halt.wait(_AGAIN_S)
            except Exception as error:
                # Nobody waits for this thread: whatever it is, it is told, and tried again.
                self._on_loop(self._told, f"{type(error).__name__}: {error}")
                self._halt.wait(_AGAIN_S)
            finally:
                if consumer is not None:
                    consumer.close()

    def _assign(self, consumer: Consumer) -> bool:
        """Start at the last message, or where reading had come to; at the start of a topic that has come into being."""
        known = consumer.list_topics(self.topic, timeout=ANSWER_S).topics.get(self.topic)
        if known is None or known.error is not None or not known.partitions:
            self._was_missing = True
            self._on_loop(self._told, f"the topic {self.topic} does not exist")
            # What is written from now on lies behind the start of the topic that will be made.
            self._on_loop(self._assigned.set)
            return False
        places, end = [], 0
        for number in known.partitions:
            low, high = consumer.get_watermark_offsets(KafkaPartition(self.topic, number), timeout=ANSWER_S)
            first = low if self._was_missing else max(low, high - 1)
            at = self._next.get(number, first)
            self._next[number] = at if low <= at <= high else low
            places.append(KafkaPartition(self.topic, number, self._next[number]))
            end += high
        self.end, self._was_missing = end, False
        consumer.assign(places)
        self._on_loop(self._told, None)
        return True

    def _read(self, consumer: Consumer) -> None:
        """Until it was silent for a while, or the topic is gone."""
        silent_s = 0.0
        while not self._halt.is_set() and silent_s < _RENEW_S:
            message = consumer.poll(_POLL_S)
            if message is None:
                silent_s += _POLL_S
                continue
            if (error := message.error()) is not None:
                if error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC):
                    return
                raise self._faults.translate(error, f"reading {self.topic}")
            silent_s = 0.0
            self._take(message)

    def _take(self, message: KafkaMessage) -> None:
        record = stored(message)
        self._next[record.partition] = record.offset + 1
        self.end = max(self.end or 0, sum(self._next.values()))
        found = logical_message(record)
        if found is not None:
            self._on_loop(self._came, found)
