"""What `doctor` asks of Kafka: a broker's settings, who is in the group, and a broker's clock."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping

from confluent_kafka import KafkaException, Producer
from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import ConfigResource, NewTopic, ResourceType  # type: ignore[attr-defined]

from sync_worker.adapters.kafka.client import ANSWER_S, Administration, made, settings
from sync_worker.adapters.kafka.fault import Faults
from sync_worker.errors import LogUnavailable

_ASKED = ("unclean.leader.election.enable", "auto.create.topics.enable", "offsets.retention.minutes")


class KafkaExaminer:
    """Every method raises LogUnavailable, or ConfigurationError where the brokers refuse the credentials."""

    def __init__(self, bootstrap: str, security: Mapping[str, str]) -> None:
        self._bootstrap = bootstrap
        self._security = security
        self._admin = Administration(bootstrap, security)

    async def broker_settings(self) -> Mapping[str, str]:
        """Those of the controller's broker that decide whether records or topics are lost."""
        cluster = await self._admin.ask(
            lambda client: {"cluster": client.describe_cluster(request_timeout=ANSWER_S)}, "describing the cluster"
        )
        node = cluster["cluster"].controller or cluster["cluster"].nodes[0]
        resource = ConfigResource(ResourceType.BROKER, str(node.id))
        answers = await self._admin.ask(
            lambda client: client.describe_configs([resource], request_timeout=ANSWER_S), "reading a broker's settings"
        )
        (entries,) = answers.values()
        return {name: entries[name].value for name in _ASKED if name in entries and entries[name].value is not None}

    async def members(self, group: str) -> int:
        """How many members the consumer group has; 0 also where nobody knows it."""
        answers = await self._admin.ask(
            lambda client: client.describe_consumer_groups([group], request_timeout=ANSWER_S), "describing the consumer group"
        )
        return len(answers[group].members)

    async def skew_s(self) -> float:
        """A broker's clock less ours, seconds.

        No request tells the time, but a broker stamps what it appends: a topic for one record is made and deleted again.
        """
        topic = f"sync-worker.clock-{uuid.uuid4().hex[:12]}"
        new = NewTopic(topic, 1, 1, config={"message.timestamp.type": "LogAppendTime", "retention.ms": "60000"})
        await self._admin.ask(
            lambda client: client.create_topics([new], request_timeout=ANSWER_S), "making a topic for the clock"
        )
        try:
            return await asyncio.to_thread(self._stamped, topic)
        finally:
            await self._admin.ask(
                lambda client: client.delete_topics([topic], request_timeout=ANSWER_S), "deleting the topic for the clock"
            )

    def _stamped(self, topic: str) -> float:
        faults = Faults(self._bootstrap)
        producer = made(Producer, {**settings(self._bootstrap, self._security, faults), "linger.ms": 0}, faults)
        skews: list[float] = []
        failed: list[KafkaException] = []
        # The first has the connection to the leader in it.
        for _ in range(2):
            before = time.time()

            def delivered(error: object, message: KafkaMessage, before: float = before) -> None:
                if error is not None:
                    failed.append(KafkaException(error))
                else:
                    skews.append(message.timestamp()[1] / 1000 - (before + time.time()) / 2)

            producer.produce(topic, b"what time is it?", on_delivery=delivered)
            producer.flush(ANSWER_S)
            if failed:
                raise faults.translate(failed[0], "asking a broker for the time") from failed[0]
        if not skews:
            raise LogUnavailable(f"Kafka at {self._bootstrap} took no record within {ANSWER_S:.0f} s, to tell the time by it")
        return skews[-1]
