"""A group's committed offsets, asked by a consumer that never joins it. Blocking.

Not by the administration client: its `list_consumer_group_offsets` ends the process with a segmentation fault where the broker
answers NOT_COORDINATOR, as a fresh cluster and a restarted one do (librdkafka issue 5040; seen with 2.16.0 on Kafka 4.3.1).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from confluent_kafka import Consumer, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from sync_worker.adapters.kafka.client import ANSWER_S, made, settings
from sync_worker.adapters.kafka.fault import Faults
from sync_worker.change.model import TopicPartition


def committed_offsets(
    bootstrap: str, group: str, security: Mapping[str, str], partitions: Collection[TopicPartition]
) -> Mapping[TopicPartition, int | None]:
    """None where there is none. Takes at most ten seconds; raises LogUnavailable or ConfigurationError."""
    faults = Faults(bootstrap)
    doing = f"reading the committed offsets of {group}"
    configuration = {**settings(bootstrap, security, faults), "group.id": group, "enable.auto.commit": False}
    consumer = made(Consumer, configuration, faults)
    try:
        answers = consumer.committed([KafkaPartition(*partition) for partition in sorted(partitions)], timeout=ANSWER_S)
        found: dict[TopicPartition, int | None] = {}
        for answer in answers:
            if answer.error is not None:
                raise faults.translate(answer.error, doing)
            found[TopicPartition(answer.topic, answer.partition)] = answer.offset if answer.offset >= 0 else None
        return found
    except KafkaException as error:
        consumer.poll(0)  # lets it tell of refused credentials
        raise faults.translate(error, doing) from error
    finally:
        consumer.close()
