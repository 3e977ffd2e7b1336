"""The configuration's sections. What stands in a `description` here is the documentation: docs/configuration.md comes from it."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Collection, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from sync_worker.config.connector import check_overrides
from sync_worker.document.declaration import IndexDeclaration, require_declared

MIB = 1024 * 1024

_NOT_A_TOPIC_CHARACTER = re.compile(r"[^A-Za-z0-9._-]")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}").fullmatch
_TOPIC_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch
_POSTGRES_NAME = re.compile(r"[a-z0-9_]{1,63}").fullmatch
_HTTP_URL = re.compile(r"https?://[^\s/]+(/\S*)?").fullmatch
_POSTGRES_URL = re.compile(r"postgres(ql)?://\S+").fullmatch
_HOSTS = re.compile(r"(?:\[[^\]@]*\]|[^:\[\]@,]*)(?::\d*)?(?:,(?:\[[^\]@]*\]|[^:\[\]@,]*)(?::\d*)?)*").fullmatch
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})").search
_STATE_URL = re.compile(r"(sqlite:///\S+|postgres(ql)?://\S+)").fullmatch
_SQLITE_FILE = re.compile(r"sqlite:///(?!:memory:|file:)(?P<path>[^?\s]+)(?P<rest>\?\S*)?").fullmatch
_BROKERS = re.compile(r"[^\s,:]+:\d+(,[^\s,:]+:\d+)*").fullmatch


def _topic(value: str) -> str:
    if _TOPIC(value) is None:
        raise ValueError("must be 1 to 249 of A-Z a-z 0-9 . _ -")
    return value


def _topic_prefix(value: str) -> str:
    if _TOPIC_PREFIX(value) is None:
        raise ValueError("must be 1 to 64 of A-Z a-z 0-9 _ -; a dot would make topic names ambiguous")
    return value


def _postgres_name(value: str) -> str:
    if _POSTGRES_NAME(value) is None:
        raise ValueError("must be 1 to 63 of a-z 0-9 _, as PostgreSQL wants it")
    return value


def _http_url(value: str) -> str:
    if _HTTP_URL(value) is None:
        raise ValueError("must be a URL such as http://127.0.0.1:7700")
    if "@" in value.partition("://")[2].partition("/")[0]:
        raise ValueError("must hold no user and password: leave out what stands before the @")
    return value.rstrip("/")


def _brokers(value: str) -> str:
    if _BROKERS(value) is None:
        raise ValueError("must be host:port, or several with commas between them and no spaces")
    return value


def check_postgres_url(url: str) -> str:
    """Raises ValueError, which never quotes the URL: for something else, or for one that libpq would cut in the wrong place.

    Left to libpq, a bare `@` or `/` in the password makes its rest a host's name or a database's, and that is then printed.
    """
    if _POSTGRES_URL(url) is None:
        raise ValueError("must be a URL such as postgresql://reader:…@127.0.0.1:5432/shop")
    address, _, options = url.partition("://")[2].partition("?")
    authority, _, database = address.partition("/")
    user, at, hosts = authority.rpartition("@")
    stray = "@" in user + database or ("@" in options and not at)
    if stray or _HOSTS(hosts) is None or _BARE_PERCENT(url):
        raise ValueError(
            "is no URL that can be read without doubt: percent-encode the password (@ is %40, / is %2F, ? is %3F, % is %25), "
            "and write a port as a number"
        )
    return url


def _postgres_url(value: SecretStr) -> SecretStr:
    check_postgres_url(value.get_secret_value())
    return value


def _state_url(value: SecretStr) -> SecretStr:
    if _STATE_URL(value.get_secret_value()) is None:
        raise ValueError("must be sqlite:///path or postgresql://user:…@host:5432/database")
    return value if value.get_secret_value().startswith("sqlite:") else _postgres_url(value)


Topic = Annotated[str, AfterValidator(_topic)]
TopicPrefix = Annotated[str, AfterValidator(_topic_prefix)]
PostgresName = Annotated[str, AfterValidator(_postgres_name)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Brokers = Annotated[str, AfterValidator(_brokers)]


class _Section(BaseModel):
    # Inputs stay out of messages: one of them may be a secret that went into the wrong key.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class SecurityProtocol(StrEnum):
    """Kafka's own words."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"


class SaslMechanism(StrEnum):
    """Kafka's own words; the ones that every client here speaks."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


class KafkaSection(_Section):
    """The log: where changes come from and dead letters go."""

    bootstrap_servers: Brokers = Field(description="Brokers, as `host:port`, several with commas between them.")
    group: Topic = Field("sync-worker", description="Consumer group; workers of one group share the tables.")
    dead_letter_topic: Topic = Field(
        "sync-worker.dead-letters", description="Topic of the failures. Made beforehand: never compacted, no retention."
    )
    session_timeout_s: float = Field(
        45.0, description="Seconds without a heartbeat after which Kafka gives a worker's partitions to another.", ge=6, le=300
    )
    security_protocol: SecurityProtocol = Field(SecurityProtocol.PLAINTEXT, description="How to talk to the brokers.")
    sasl_mechanism: SaslMechanism | None = Field(None, description="Needed with SASL_PLAINTEXT and SASL_SSL.")
    sasl_username: str | None = Field(None, description="User name for SASL.")
    sasl_password: SecretStr | None = Field(None, description="Password for SASL.")
    ssl_ca_file: str | None = Field(None, description="Certificates of the authority that signed the brokers' (PEM).")
    ssl_certificate_file: str | None = Field(None, description="This client's certificate (PEM), where brokers ask for one.")
    ssl_key_file: str | None = Field(None, description="Key of that certificate (PEM).")


class Compression(StrEnum):
    """How payloads are sent."""

    AUTO = "auto"
    GZIP = "gzip"
    NONE = "none"


class MeilisearchSection(_Section):
    """One Meilisearch, 1.26 or later."""

    url: HttpUrl = Field(description="Where it answers.")
    api_key: SecretStr | None = Field(
        None, description="The worker's scoped key, without `indexes.create`; `sync-worker keys` makes it. Empty: no key is sent."
    )
    scratch_key: SecretStr | None = Field(
        None,
        description="Key for the indexes `scratch-*`, on which documents that fail are told apart. Empty: that is done in place, "
        "which costs a batch of the live index for each attempt.",
    )
    admin_key: SecretStr | None = Field(
        None,
        description="An administrator's key, with which the worker makes missing indexes when it starts. Better left out: "
        "`sync-worker indexes create` makes them too, and the worker then holds no key that can.",
    )
    compress: Compression = Field(
        Compression.AUTO,
        description="`gzip`, `none`, or `auto`: payloads from 10 KiB are gzipped unless the server is on this machine.",
    )
    max_payload_bytes: int = Field(
        90 * MIB,
        description="Largest payload in bytes before compression. Keep it under the server's --http-payload-size-limit "
        "(100,000,000 by default).",
        ge=1024,
    )
    connect_timeout_s: float = Field(5.0, description="Seconds to wait for a connection.", gt=0)
    read_timeout_s: float = Field(30.0, description="Seconds to wait for an answer to a question.", gt=0)
    write_timeout_s: float = Field(
        40.0, description="Seconds to wait until a payload is accepted. Must be less than `kafka.session_timeout_s`.", gt=0
    )


class StateSection(_Section):
    """Where failures, bookmarks and findings are kept."""

    url: Annotated[SecretStr, AfterValidator(_state_url)] = Field(
        SecretStr("sqlite:///sync-worker.db"),
        description="`sqlite:///path` (relative to the directory of the configuration file) for one worker, "
        "`postgresql://…` for several. Verbs that only look make no file: they say which one is missing.",
    )


class SourceSection(_Section):
    """The PostgreSQL database, read only."""

    url: Annotated[SecretStr, AfterValidator(_postgres_url)] = Field(
        description="`postgresql://…`; a role with SELECT on the tables is enough."
    )


class ConnectorSection(_Section):
    """Debezium in Kafka Connect."""

    url: HttpUrl = Field("http://127.0.0.1:8083", description="Kafka Connect's REST interface.")
    name: str = Field("sync-worker", description="Name of the connector.", pattern=r"^[A-Za-z0-9._-]+$")
    topic_prefix: TopicPrefix = Field("sync", description="A table's topic is called PREFIX.SCHEMA.TABLE. Never change it later.")
    database_url: Annotated[SecretStr, AfterValidator(_postgres_url)] | None = Field(
        None,
        description="The database as Kafka Connect reaches it, with a role that has REPLICATION. Default: `source.url`.",
    )
    bootstrap_servers: Brokers | None = Field(
        None, description="The brokers as Kafka Connect reaches them. Default: `kafka.bootstrap_servers`."
    )
    slot: PostgresName = Field("sync_worker", description="Replication slot, of this connector alone.")
    publication: PostgresName = Field("sync_worker", description="Publication, of this connector alone; made beforehand.")
    heartbeat_ms: int = Field(
        1000, description="Milliseconds between transactional heartbeat messages: the canary of the whole chain.", ge=100
    )
    partitions: int = Field(
        1, description="Partitions of new data topics. More than one buys no speed and takes TRUNCATE its place.", ge=1
    )
    replication_factor: int = Field(1, description="Replicas of new topics; 3 in production.", ge=1)
    retention_days: int = Field(
        30, description="Days that data topics keep changes: longer than any outage to be survived.", ge=1, le=3650
    )
    max_message_bytes: int = Field(
        20 * MIB, description="Largest change of a row, in bytes; a larger one stops the connector.", ge=MIB
    )
    overrides: Annotated[dict[str, str], AfterValidator(check_overrides)] = Field(
        default_factory=dict,
        description="Further options for the connector, as Debezium names them. What the decoder or the delivery guarantees rest "
        "on is refused.",
    )


class FloodGuardSection(_Section):
    """When failures look like our own mistake, the worker holds instead of filling the dead letters."""

    min_documents: int = Field(1000, description="Documents of an index that must have been tried before the ratio counts.", ge=1)
    ratio: float = Field(0.5, description="Share of failures at which the worker holds.", gt=0, le=1)
    run: int = Field(500, description="Failures without a success between them at which the worker holds.", ge=1)


class LogFormat(StrEnum):
    """How log lines look."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The least severe lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class ScrubSection(_Section):
    """The comparison of rows and documents as a slow, endless task of the worker."""

    rows_per_second: float = Field(
        0.0,
        description="Rows of all indexes together that are compared with their documents; 0 turns it off. At 200, a round over "
        "234,908 rows takes 40 minutes: 20 for the rows, 20 for the documents' ids.",
        ge=0,
        le=10_000,
    )


class WorkerSection(_Section):
    """The worker process."""

    name: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        description="Name of this worker in `status`. Default: host name and process id.",
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
    )
    http_host: str = Field(
        "127.0.0.1", description="Address of /metrics, /healthz, /readyz, /positions and /barrier. `0.0.0.0` in a container."
    )
    http_address: HttpUrl | None = Field(
        None,
        description="URL under which other workers and `sync-worker wait` reach this worker's pages. Default: `http_host` (the "
        "host's name where that is 0.0.0.0) and the port.",
    )
    canary_limit_s: float = Field(
        30.0,
        description="Seconds without a message that came the whole way from PostgreSQL after which the chain counts as dead and "
        "/readyz says so. Several times `connector.heartbeat_ms`.",
        ge=1,
    )
    http_port: int = Field(9464, description="Port of the same; 0 takes a free one.", ge=0, le=65535)
    max_in_flight_documents: int = Field(300_000, description="Documents taken and not yet applied, at most.", ge=1)
    max_in_flight_bytes: int = Field(
        64 * MIB,
        description="Bytes that documents taken and not yet applied hold in memory, at most. What is sent is held compressed.",
        ge=MIB,
    )
    flush_documents: int = Field(60_000, description="Documents in one flush, at most.", ge=1)
    drain_s: float = Field(
        8.0, description="Seconds that SIGTERM leaves to finish what is in flight; the rest is read again later.", ge=0, le=60
    )
    log_format: LogFormat = Field(
        LogFormat.AUTO, description="`json`, `console`, or `auto`: `console` on a terminal and `json` elsewhere."
    )
    log_level: LogLevel = Field(LogLevel.INFO, description="`debug`, `info`, `warning` or `error`.")
    flood_guard: FloodGuardSection = Field(
        default_factory=lambda: FloodGuardSection.model_validate({}), description="Table; see below."
    )


class Config(BaseModel):
    """The whole configuration, validated, immutable.

    Attributes:
        meilisearch: instance name → instance; `default` is the table [meilisearch] itself.
        indexes: name → declaration.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kafka: KafkaSection
    meilisearch: Mapping[str, MeilisearchSection]
    state: StateSection
    source: SourceSection
    connector: ConnectorSection
    worker: WorkerSection
    scrub: ScrubSection
    indexes: Mapping[str, IndexDeclaration]

    @property
    def state_file(self) -> Path | None:
        """The SQLite file of the state database; None where it is PostgreSQL."""
        found = _SQLITE_FILE(self.state.url.get_secret_value())
        return None if found is None else Path(found["path"])

    @property
    def tables(self) -> tuple[str, ...]:
        """Every declared table once, sorted."""
        return tuple(sorted({index.table for index in self.indexes.values()}))

    @property
    def topics(self) -> Mapping[str, str]:
        """Data topic → table."""
        return {self.topic(table): table for table in self.tables}

    def topic(self, table: str) -> str:
        """The topic that Debezium writes the table's changes to."""
        return topic_of(self.connector.topic_prefix, table)

    def indexes_of(self, table: str) -> tuple[IndexDeclaration, ...]:
        """The indexes that the table feeds, in the order of the file."""
        return tuple(index for index in self.indexes.values() if index.table == table)

    def chosen(self, names: Collection[str] = ()) -> tuple[IndexDeclaration, ...]:
        """These indexes in the order of the file, or all. Raises ConfigurationError for one that is not declared."""
        require_declared(names, self.indexes)
        return tuple(index for name, index in self.indexes.items() if not names or name in names)

    @property
    def signal_topic(self) -> str:
        return f"{self.connector.topic_prefix}.signals"

    @property
    def notification_topic(self) -> str:
        return f"{self.connector.topic_prefix}.notifications"

    @property
    def message_topic(self) -> str:
        """Where Debezium writes logical messages: heartbeats and barriers' tokens."""
        return f"{self.connector.topic_prefix}.message"

    @property
    def connector_database_url(self) -> SecretStr:
        return self.connector.database_url or self.source.url

    @property
    def connector_bootstrap_servers(self) -> str:
        return self.connector.bootstrap_servers or self.kafka.bootstrap_servers


def beside(url: str, directory: Path) -> str:
    """The URL of a state database, with a relative SQLite path taken from this directory."""
    found = _SQLITE_FILE(url)
    return url if found is None else f"sqlite:///{directory / found['path']}{found['rest'] or ''}"


def topic_of(prefix: str, table: str) -> str:
    """Debezium's name for a table's topic: it replaces what Kafka does not take by underscores."""
    return _NOT_A_TOPIC_CHARACTER.sub("_", f"{prefix}.{table}")


SECTIONS: dict[str, type[_Section]] = {
    "kafka": KafkaSection,
    "meilisearch": MeilisearchSection,
    "state": StateSection,
    "source": SourceSection,
    "connector": ConnectorSection,
    "worker": WorkerSection,
    "scrub": ScrubSection,
}
"""Sections whose keys are fixed. `[indexes.NAME]` and `[meilisearch.NAME]` are named by the user."""


def secret_keys(section: type[BaseModel]) -> tuple[str, ...]:
    """The keys of a section that hold secrets; each may be given as `<key>_file` instead."""
    return tuple(name for name, field in section.model_fields.items() if _mentions_secret(field.annotation))


def _mentions_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(_mentions_secret(part) for part in getattr(annotation, "__args__", ()))
