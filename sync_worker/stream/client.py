"""The aiokafka consumer as the stream needs it."""

from __future__ import annotations

from functools import partial

import aiokafka.client
import aiokafka.consumer.fetcher
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.protocol.metadata import MetadataRequest

from sync_worker.stream.fetched import FetchedRecords
from sync_worker.stream.settings import StreamSettings, security_arguments

HEARTBEAT_INTERVAL_S = 3.0
REQUEST_TIMEOUT_S = 40.0
MAX_POLL_INTERVAL_S = 300.0

FETCH_WAIT_MS = 100
"""aiokafka has one fetch in flight per broker, so a partition that gets room again waits until the fetch of the quiet ones
comes back: this is the longest such wait."""


def create_consumer(settings: StreamSettings) -> AIOKafkaConsumer:
    """A consumer that never creates a topic, never resets an offset by itself and stays in its group during a long hold.

    Has to be called on the loop that it will run on. Raises ConfigurationError for unusable security properties.
    """
    # aiokafka 0.14 lets the broker create every topic that it asks for, with the broker's defaults, and has no setting.
    aiokafka.client.MetadataRequest = partial(MetadataRequest, allow_auto_topic_creation=False)
    aiokafka.consumer.fetcher.FetchResult = FetchedRecords
    consumer = AIOKafkaConsumer(
        bootstrap_servers=list(settings.bootstrap_servers),
        client_id=settings.client_id,
        group_id=settings.group,
        partition_assignment_strategy=[RoundRobinPartitionAssignor],
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        max_partition_fetch_bytes=settings.fetch_partition_bytes,
        fetch_max_bytes=settings.fetch_bytes,
        fetch_max_wait_ms=FETCH_WAIT_MS,
        request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000),
        session_timeout_ms=int(settings.session_timeout_s * 1000),
        rebalance_timeout_ms=int(settings.rebalance_timeout_s * 1000),
        heartbeat_interval_ms=int(min(HEARTBEAT_INTERVAL_S, settings.session_timeout_s / 3) * 1000),
        max_poll_interval_ms=int(MAX_POLL_INTERVAL_S * 1000),
        metadata_max_age_ms=int(settings.metadata_max_age_s * 1000),
        **security_arguments(settings.security),
    )
    # Never left: a consumer outside a fetch for longer than the poll interval leaves its group, and rejoining needs the
    # fetch that waits for the rejoin. A hold may last for days.
    consumer._subscription.fetch_context().__enter__()
    return consumer
