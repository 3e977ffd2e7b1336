"""What the stream needs to know, and how Kafka's security properties are spelled for aiokafka."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from sync_worker.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Everything about the broker and the limits of what is held in memory.

    Attributes:
        bootstrap_servers: `host:port` each.
        group: consumer group, one per installation. Every member must be this worker.
        topics: data topics. One that does not exist yet is waited for and never created.
        security: librdkafka's property names (`security.protocol`, `sasl.mechanism`, `sasl.username`, `sasl.password`,
            `ssl.ca.location`, `ssl.certificate.location`, `ssl.key.location`, `ssl.key.password`), so that one mapping
            serves this consumer and confluent-kafka.
        chunk_records, chunk_bytes: the most that one `Chunk` holds; a single larger record is a chunk of its own.
        buffer_bytes: keys and values fetched and not yet taken by the intake, over all partitions. A partition gets an
            equal share and may pass it by one chunk.
        fetch_partition_bytes: of one partition in one answer of the broker, compressed as it is stored there.
        fetch_bytes: of one answer of the broker.
        session_timeout_s: how long a dead worker keeps its partitions.
        rebalance_timeout_s: how long the group waits for a member that winds up its partitions.
        metadata_max_age_s: how soon a new topic or a new partition is noticed.
        commit_interval_s: how often acknowledged offsets are committed.
    """

    bootstrap_servers: tuple[str, ...]
    group: str
    topics: tuple[str, ...]
    security: Mapping[str, str] = field(default_factory=dict, repr=False)
    client_id: str = "sync-worker"
    chunk_records: int = 5_000
    chunk_bytes: int = 8 * 1024 * 1024
    buffer_bytes: int = 24 * 1024 * 1024
    fetch_partition_bytes: int = 4 * 1024 * 1024
    fetch_bytes: int = 16 * 1024 * 1024
    session_timeout_s: float = 30.0
    rebalance_timeout_s: float = 60.0
    metadata_max_age_s: float = 10.0
    commit_interval_s: float = 0.5


class SecurityArguments(TypedDict, total=False):
    """The keyword arguments of an aiokafka client that concern security."""

    security_protocol: str
    ssl_context: ssl.SSLContext
    sasl_mechanism: str
    sasl_plain_username: str
    sasl_plain_password: str


_KNOWN = frozenset(
    {
        "security.protocol",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.username",
        "sasl.password",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
    }
)


def security_arguments(security: Mapping[str, str]) -> SecurityArguments:
    """Translate librdkafka's security properties for aiokafka.

    Raises:
        ConfigurationError: a property that would be ignored, or a certificate that can't be read.
    """
    unknown = sorted(set(security) - _KNOWN)
    if unknown:
        raise ConfigurationError(
            [f"kafka security property {name!r} is not supported by the worker's consumer" for name in unknown],
            remedy=f"Use only: {', '.join(sorted(_KNOWN))}.",
        )
    arguments: SecurityArguments = {"security_protocol": security.get("security.protocol", "PLAINTEXT").upper()}
    if "SASL" in arguments["security_protocol"]:
        arguments["sasl_mechanism"] = security.get("sasl.mechanism", security.get("sasl.mechanisms", "PLAIN"))
        arguments["sasl_plain_username"] = security.get("sasl.username", "")
        arguments["sasl_plain_password"] = security.get("sasl.password", "")
    if "SSL" in arguments["security_protocol"]:
        try:
            context = ssl.create_default_context(cafile=security.get("ssl.ca.location"))
            if "ssl.certificate.location" in security:
                context.load_cert_chain(
                    security["ssl.certificate.location"],
                    security.get("ssl.key.location"),
                    security.get("ssl.key.password"),
                )
        except OSError as error:
            raise ConfigurationError(
                [f"kafka certificates can't be read: {error}"], remedy="Check the ssl.*.location files."
            ) from error
        arguments["ssl_context"] = context
    return arguments
