"""Kafka beside the agent: positions and ranges of the log, the dead letters, topics. Over confluent-kafka."""

from sync_worker.adapters.kafka.dead_letters import KafkaDeadLetters
from sync_worker.adapters.kafka.log import KafkaLog
from sync_worker.adapters.kafka.topics import KafkaTopics, TopicFacts

__all__ = ["KafkaDeadLetters", "KafkaLog", "KafkaTopics", "TopicFacts"]
