"""Each adapter, built from the configuration."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from sync_worker.adapters.clock import SystemClock
from sync_worker.adapters.debezium.connect import ConnectClient
from sync_worker.adapters.debezium.template import ConnectorSettings
from sync_worker.adapters.kafka import KafkaDeadLetters, KafkaLog, KafkaTopics
from sync_worker.adapters.meilisearch.admin import MeilisearchAdmin
from sync_worker.adapters.meilisearch.client import MeilisearchSink
from sync_worker.adapters.meilisearch.documents import MeilisearchDocuments
from sync_worker.adapters.meilisearch.errors import ADMINISTRATORS_KEY
from sync_worker.adapters.meilisearch.transport import Timeouts
from sync_worker.adapters.source.postgres import PostgresSource
from sync_worker.config import Config, load_config
from sync_worker.config.model import ConnectorSection, KafkaSection, MeilisearchSection
from sync_worker.document.hook import load_hook
from sync_worker.document.projection import Projector
from sync_worker.errors import ConfigurationError, StateUnavailable

if TYPE_CHECKING:
    from sync_worker.adapters.state import StateDatabase

_DAY_MS = 24 * 60 * 60 * 1000


def read_config(path: Path, *, indexes_required: bool = True) -> Config:
    """The file with this process's environment over it. Raises ConfigurationError with every mistake."""
    return load_config(path, os.environ, indexes_required=indexes_required)


def secret(value: SecretStr | None) -> str:
    return "" if value is None else value.get_secret_value()


def security(kafka: KafkaSection) -> dict[str, str]:
    """librdkafka's property names, for every Kafka client here."""
    properties = {
        "security.protocol": str(kafka.security_protocol),
        "sasl.mechanism": None if kafka.sasl_mechanism is None else str(kafka.sasl_mechanism),
        "sasl.username": kafka.sasl_username,
        "sasl.password": secret(kafka.sasl_password) or None,
        "ssl.ca.location": kafka.ssl_ca_file,
        "ssl.certificate.location": kafka.ssl_certificate_file,
        "ssl.key.location": kafka.ssl_key_file,
    }
    return {name: value for name, value in properties.items() if value is not None}


def instance_section(config: Config, instance: str) -> MeilisearchSection:
    """Raises ConfigurationError for an instance that is not configured."""
    try:
        return config.meilisearch[instance]
    except KeyError:
        known = ", ".join(config.meilisearch)
        raise ConfigurationError([f"--instance {instance}: not configured"], remedy=f"configured are: {known}") from None


def build_sink(section: MeilisearchSection) -> MeilisearchSink:
    return MeilisearchSink(section.url, secret(section.api_key), compress=section.compress.value, timeouts=timeouts(section))


def build_documents(section: MeilisearchSection) -> MeilisearchDocuments:
    return MeilisearchDocuments(section.url, secret(section.api_key), timeouts=timeouts(section))


def build_scratch(section: MeilisearchSection) -> MeilisearchAdmin | None:
    """None where no key for scratch indexes is configured."""
    if section.scratch_key is None:
        return None
    return MeilisearchAdmin(section.url, secret(section.scratch_key), compress=section.compress.value, timeouts=timeouts(section))


def build_admin(section: MeilisearchSection, key: str) -> MeilisearchAdmin:
    return MeilisearchAdmin(section.url, key, key_name=ADMINISTRATORS_KEY, timeouts=timeouts(section))


def timeouts(section: MeilisearchSection) -> Timeouts:
    return Timeouts(connect_s=section.connect_timeout_s, read_s=section.read_timeout_s, write_s=section.write_timeout_s)


def build_projectors(config: Config) -> Mapping[str, Projector]:
    """Index name → its projector. Hooks were tried when the configuration was read."""
    return {
        name: Projector(
            index,
            hook=None if index.hook is None else load_hook(index.hook),
            max_document_bytes=config.meilisearch[index.meilisearch].max_payload_bytes,
        )
        for name, index in config.indexes.items()
    }


def build_source(config: Config) -> PostgresSource:
    return PostgresSource(secret(config.source.url), publication=config.connector.publication)


def build_log(config: Config) -> KafkaLog:
    return KafkaLog(config.kafka.bootstrap_servers, config.kafka.group, security(config.kafka))


def build_topics(config: Config) -> KafkaTopics:
    return KafkaTopics(config.kafka.bootstrap_servers, security(config.kafka))


def build_dead_letters(config: Config) -> KafkaDeadLetters:
    return KafkaDeadLetters(
        config.kafka.bootstrap_servers,
        config.kafka.dead_letter_topic,
        security(config.kafka),
        max_record_bytes=config.connector.max_message_bytes,
    )


def build_connect(config: Config) -> ConnectClient:
    return ConnectClient(config.connector.url, clock=SystemClock())


def pages_address(host: str, port: int) -> str:
    """URL under which others reach pages that are served here."""
    if host in ("0.0.0.0", "::", ""):
        host = socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class StateNotMadeError(StateUnavailable):
    """There is no SQLite file, and whoever only looks must not make one: an empty one would look like a chain without a past."""

    def __init__(self, file: Path) -> None:
        super().__init__(
            f"the state database {file} is not there: no worker has written to it",
            remedy="sync-worker run makes it; if it is elsewhere: mend state.url (relative to the configuration's directory)",
        )


def require_state(config: Config) -> None:
    """Raises StateNotMadeError for a SQLite file that is not there."""
    file = config.state_file
    if file is not None and file.parent.is_dir() and not file.exists():
        raise StateNotMadeError(file)


@asynccontextmanager
async def opened_state(config: Config, *, create: bool = False) -> AsyncIterator[StateDatabase]:
    """Raises StateUnavailable, and ConfigurationError for a URL or a schema that can't be used.

    Args:
        create: for verbs that have something to write down before a worker has run.
    """
    if not create:
        require_state(config)
    # SQLAlchemy and Alembic take nearly half of the time that a command needs to start, and `init` and `keys` need neither.
    from sync_worker.adapters.state import StateDatabase

    state = await StateDatabase.open(secret(config.state.url))
    try:
        yield state
    finally:
        await state.close()


def retention_ms(section: ConnectorSection) -> int:
    """How long data topics keep changes, in milliseconds."""
    return section.retention_days * _DAY_MS


def connector_settings(config: Config) -> ConnectorSettings:
    """What the connector's template needs. Raises ConfigurationError for a database URL that libpq does not read."""
    try:
        database = conninfo_to_dict(secret(config.connector_database_url))
    except ProgrammingError as error:
        raise ConfigurationError(
            ["connector.database_url: not a PostgreSQL URL"], remedy="postgresql://user:password@host:5432/database"
        ) from error
    section = config.connector
    return ConnectorSettings(
        name=section.name,
        topic_prefix=section.topic_prefix,
        hostname=str(database.get("host") or "localhost"),
        port=int(database.get("port") or 5432),
        user=str(database.get("user") or ""),
        password=str(database.get("password") or ""),
        database=str(database.get("dbname") or database.get("user") or ""),
        sslmode=str(database.get("sslmode") or "prefer"),
        tables=config.tables,
        slot=section.slot,
        publication=section.publication,
        bootstrap_servers=config.connector_bootstrap_servers,
        partitions=section.partitions,
        replication_factor=section.replication_factor,
        retention_ms=retention_ms(section),
        max_message_bytes=section.max_message_bytes,
        heartbeat_interval_ms=section.heartbeat_ms,
        overrides=section.overrides,
    )
