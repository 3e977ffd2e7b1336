"""Topics as they are on the brokers, and making the ones that are missing."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from confluent_kafka import KafkaError, TopicCollection
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewTopic,
    ResourceType,
    TopicDescription,
)

from sync_worker.adapters.kafka.client import ANSWER_S, Administration
from sync_worker.change.model import TopicPartition
from sync_worker.errors import LogUnavailable

_LOOK_AGAIN_S = 0.1


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """One topic.

    Attributes:
        replication: replicas of the partition that has fewest.
        in_sync: replicas in sync of the partition that has fewest.
        cleanup_policy: `delete`, `compact` or `compact,delete`.
        retention_ms, retention_bytes: -1 for ever.
        delete_retention_ms: how long a compacted topic keeps tombstones.
        max_message_bytes: of a batch as the broker stores it.
    """

    topic: str
    topic_id: str
    partitions: int
    replication: int
    in_sync: int
    cleanup_policy: str
    retention_ms: int
    retention_bytes: int
    delete_retention_ms: int
    max_message_bytes: int
    min_insync_replicas: int


class KafkaTopics:
    """Raises LogUnavailable, or ConfigurationError for refused credentials and settings."""

    def __init__(self, bootstrap: str, security: Mapping[str, str]) -> None:
        self._admin = Administration(bootstrap, security)

    async def describe(self, topics: Collection[str]) -> Mapping[str, TopicFacts]:
        """Missing topics are left out; asking for one does not create it."""
        described = await described_topics(self._admin, topics)
        if not described:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in described]
        configured = await self._admin.ask(
            lambda client: client.describe_configs(resources, request_timeout=ANSWER_S),
            "reading the topics' configuration",
            leaving_out=[KafkaError.UNKNOWN_TOPIC_OR_PART],
        )
        return {
            resource.name: _facts(described[resource.name], {name: entry.value for name, entry in entries.items()})
            for resource, entries in configured.items()
        }

    async def create(self, topic: str, partitions: int, configuration: Mapping[str, str], *, replication: int = -1) -> bool:
        """Replication -1 is the brokers' default. False where it was there already, whatever its configuration.

        Returns once a broker shows the topic: the controller confirms it earlier.
        """
        new = NewTopic(topic, num_partitions=partitions, replication_factor=replication, config=dict(configuration))
        made = await self._admin.ask(
            lambda client: client.create_topics([new], operation_timeout=ANSWER_S, request_timeout=ANSWER_S),
            f"creating the topic {topic}",
            leaving_out=[KafkaError.TOPIC_ALREADY_EXISTS],
        )
        deadline = asyncio.get_running_loop().time() + ANSWER_S
        while not await described_topics(self._admin, [topic]):
            if asyncio.get_running_loop().time() > deadline:
                raise LogUnavailable(f"Kafka made the topic {topic}, but no broker shows it after {ANSWER_S:.0f} s")
            await asyncio.sleep(_LOOK_AGAIN_S)
        return topic in made

    async def alter(self, topic: str, settings: Mapping[str, str | None]) -> Mapping[str, str | None]:
        """Set these, None for the brokers' default; what the topic itself had set before, None where nothing."""
        resource = ConfigResource(ResourceType.TOPIC, topic)
        present = await self._admin.ask(
            lambda client: client.describe_configs([resource], request_timeout=ANSWER_S), "reading the topic's configuration"
        )
        (entries,) = present.values()
        own = {name: entry.value for name, entry in entries.items() if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value}
        for name, value in settings.items():
            kind = AlterConfigOpType.SET if value is not None else AlterConfigOpType.DELETE
            resource.add_incremental_config(ConfigEntry(name, value or "", incremental_operation=kind))
        await self._admin.ask(
            lambda client: client.incremental_alter_configs([resource], request_timeout=ANSWER_S), f"changing the topic {topic}"
        )
        return {name: own.get(name) for name in settings}

    async def delete_before(self, ends: Mapping[TopicPartition, int]) -> None:
        """Take everything below these offsets out of the log."""
        places = [KafkaPartition(place.topic, place.partition, end) for place, end in ends.items()]
        if places:
            await self._admin.ask(
                lambda client: client.delete_records(places, operation_timeout=ANSWER_S, request_timeout=ANSWER_S),
                "deleting the beginning of a topic",
            )


async def described_topics(admin: Administration, topics: Collection[str]) -> dict[str, TopicDescription]:
    """Missing topics are left out."""
    if not topics:
        return {}
    return await admin.ask(
        lambda client: client.describe_topics(TopicCollection(sorted(set(topics))), request_timeout=ANSWER_S),
        "describing topics",
        leaving_out=[KafkaError.UNKNOWN_TOPIC_OR_PART],
    )


def _facts(topic: TopicDescription, configuration: Mapping[str, str]) -> TopicFacts:
    return TopicFacts(
        topic=topic.name,
        topic_id=str(topic.topic_id),
        partitions=len(topic.partitions),
        replication=min(len(partition.replicas) for partition in topic.partitions),
        in_sync=min(len(partition.isr) for partition in topic.partitions),
        cleanup_policy=configuration["cleanup.policy"],
        retention_ms=int(configuration["retention.ms"]),
        retention_bytes=int(configuration["retention.bytes"]),
        delete_retention_ms=int(configuration["delete.retention.ms"]),
        max_message_bytes=int(configuration["max.message.bytes"]),
        min_insync_replicas=int(configuration["min.insync.replicas"]),
    )
