"""What the watch asks of the data topics: the port `TopicContinuity`."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sync_worker.adapters.kafka.topics import KafkaTopics
from sync_worker.watch.facts import TopicSeen


class KafkaContinuity:
    """Implements `ports.TopicContinuity`: two requests a look."""

    def __init__(self, topics: KafkaTopics) -> None:
        self._topics = topics

    async def seen(self, topics: Collection[str]) -> Mapping[str, TopicSeen]:
        """Missing topics are left out. Raises LogUnavailable, and ConfigurationError for refused credentials."""
        return {
            name: TopicSeen(
                topic_id=topic.topic_id,
                partitions=topic.partitions,
                cleanup_policy=topic.cleanup_policy,
                retention_ms=topic.retention_ms,
                retention_bytes=topic.retention_bytes,
                max_message_bytes=topic.max_message_bytes,
            )
            for name, topic in (await self._topics.describe(topics)).items()
        }
