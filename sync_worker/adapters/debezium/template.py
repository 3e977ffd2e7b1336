"""The connector template, filled in: `connectors/postgres.json` and nothing else decides what Debezium does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from string import Template

from sync_worker.adapters.debezium.refusals import CANARY_PREFIX, refusals
from sync_worker.errors import ConfigurationError

HEARTBEAT_TOPICS_PREFIX = "__debezium-heartbeat"

_SLOT_NAME = re.compile(r"[a-z0-9_]{1,63}")
_TOPIC_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TABLE = re.compile(r"[^.\s]+\.[^.\s]+")
_DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class ConnectorSettings:
    """What the template leaves open.

    Attributes:
        topic_prefix: data topics are `<prefix>.<schema>.<table>`. No dots: they would make topic names ambiguous.
        password: may be a reference for one of Connect's config providers, for instance `${file:/run/secrets/db:password}`.
        tables: `schema.table` each.
        partitions: of each data topic. One unless there is a reason: order between partitions is lost.
        retention_ms: of the data topics; must be longer than any outage to be survived. 30 days unless told otherwise.
        max_message_bytes: largest record, for the producer and for the topics alike.
        overrides: options that replace or extend the template's; those that lose events quietly are refused.
    """

    name: str
    topic_prefix: str
    hostname: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    tables: tuple[str, ...]
    slot: str
    publication: str
    bootstrap_servers: str
    sslmode: str = "prefer"
    partitions: int = 1
    replication_factor: int = 1
    retention_ms: int = 30 * _DAY_MS
    max_message_bytes: int = 20 * 1024 * 1024
    heartbeat_interval_ms: int = 1000
    overrides: Mapping[str, str] = field(default_factory=dict)

    @property
    def signal_topic(self) -> str:
        """Must exist with one partition before the connector starts; records are keyed by `topic_prefix`."""
        return f"{self.topic_prefix}.signals"

    @property
    def notification_topic(self) -> str:
        return f"{self.topic_prefix}.notifications"

    @property
    def message_topic(self) -> str:
        """Logical messages: the canary and the tokens of barriers. The name is Debezium's."""
        return f"{self.topic_prefix}.message"

    @property
    def heartbeat_topic(self) -> str:
        return f"{HEARTBEAT_TOPICS_PREFIX}.{self.topic_prefix}"

    def data_topic(self, table: str) -> str:
        return f"{self.topic_prefix}.{table}"


def template() -> dict[str, str]:
    """The template with its placeholders, option by option."""
    loaded: dict[str, str] = json.loads(files(__package__).joinpath("postgres.json").read_text(encoding="utf-8"))
    return loaded


def render_connector(settings: ConnectorSettings) -> dict[str, str]:
    """The connector's whole configuration, for `PUT /connectors/{name}/config`.

    Raises:
        ConfigurationError: a setting that can't work, or an override that would lose events quietly; all at once.
    """
    problems = _problems(settings)
    values = {
        "topic_prefix": settings.topic_prefix,
        "hostname": settings.hostname,
        "port": str(settings.port),
        "user": settings.user,
        "password": settings.password,
        "database": settings.database,
        "sslmode": settings.sslmode,
        "slot": settings.slot,
        "publication": settings.publication,
        "tables": ",".join(_include_pattern(table) for table in settings.tables),
        "bootstrap_servers": settings.bootstrap_servers,
        "signal_topic": settings.signal_topic,
        "signal_group": f"{settings.name}-signals",
        "notification_topic": settings.notification_topic,
        "heartbeat_interval_ms": str(settings.heartbeat_interval_ms),
        "heartbeat_topics_prefix": HEARTBEAT_TOPICS_PREFIX,
        "canary_prefix": CANARY_PREFIX,
        "partitions": str(settings.partitions),
        "replication_factor": str(settings.replication_factor),
        "retention_ms": str(settings.retention_ms),
        "control_retention_ms": str(_DAY_MS),
        "control_topics_pattern": "|".join(
            re.escape(topic) for topic in (settings.message_topic, settings.notification_topic, settings.heartbeat_topic)
        ),
        "max_message_bytes": str(settings.max_message_bytes),
        # Kafka's producer refuses a record that is larger than its whole buffer (32 MiB unless raised).
        "producer_buffer_bytes": str(max(32 * 1024 * 1024, 2 * settings.max_message_bytes)),
    }
    config = {option: Template(text).substitute(values) for option, text in template().items()}
    config.update(settings.overrides)
    problems += refusals(config)
    if problems:
        raise ConfigurationError(problems)
    return config


def _include_pattern(table: str) -> str:
    """Debezium reads each entry as a regular expression."""
    return re.sub(r"([\\^$|?*+()\[\]{}.,])", r"\\\1", table)


def _problems(settings: ConnectorSettings) -> list[str]:
    problems = []
    if not _TOPIC_PREFIX.fullmatch(settings.topic_prefix):
        problems.append(
            f"connector.topic_prefix {settings.topic_prefix!r}: use letters, digits, '_' and '-' only (at most 64), so that "
            "topic names stay unambiguous"
        )
    if not _SLOT_NAME.fullmatch(settings.slot):
        problems.append(f"connector.slot {settings.slot!r}: use lower-case letters, digits and '_' (at most 63)")
    if not settings.tables:
        problems.append("connector: no tables: declare at least one index with a table")
    problems += [
        f"table {table!r}: write it as schema.table, without dots or spaces inside the names"
        for table in settings.tables
        if not _TABLE.fullmatch(table)
    ]
    if settings.publication == "dbz_publication":
        problems.append(
            "connector.publication 'dbz_publication' is the default of every Debezium connector, and a shared publication "
            "silences one of them: give this connector its own"
        )
    if settings.heartbeat_interval_ms <= 0:
        problems.append("connector.heartbeat_interval_ms: must be above 0: without the canary nothing proves that events flow")
    return problems
