"""What the operator's verbs ask, answered by the adapters."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import stamina

from sync_worker.adapters.debezium.connect import ConnectClient
from sync_worker.adapters.debezium.refusals import refusals
from sync_worker.adapters.kafka import KafkaDeadLetters, KafkaTopics
from sync_worker.adapters.meilisearch.client import MeilisearchSink
from sync_worker.adapters.meilisearch.keys import SCRATCH_ACTIONS, WORKER_ACTIONS, make_worker_keys
from sync_worker.adapters.meilisearch.probe import missing_actions
from sync_worker.adapters.source.catalogue import describe_table
from sync_worker.adapters.source.check import check_source
from sync_worker.adapters.source.fault import translated
from sync_worker.adapters.source.fits import fit
from sync_worker.adapters.source.prepare import drop_publication, drop_slot, prepare_source
from sync_worker.adapters.source.session import connect
from sync_worker.config import Config
from sync_worker.config.model import MeilisearchSection
from sync_worker.errors import ConfigurationError, SourceUnavailable
from sync_worker.operations.check import Check, Verdict
from sync_worker.operations.check.parts import ColumnFacts, TableFacts, TopicFacts
from sync_worker.operations.connector import ConnectorState, TaskState
from sync_worker.operations.keys import WorkerKeys
from sync_worker.ports import IndexIdentity
from sync_worker.wiring.build import StateNotMadeError, build_sink, opened_state, retention_ms, secret

_SCRATCH_PROBE = "scratch-probe"
_RELEASE_S = 20.0


class Database:
    """`SourceFacts` and `Replication` on PostgreSQL, with the connector's own role: its rights are what counts."""

    def __init__(self, config: Config, topics: KafkaTopics) -> None:
        self._config = config
        self._dsn = secret(config.connector_database_url)
        self._topics = topics

    async def table(self, table: str) -> TableFacts | None:
        try:
            found = await describe_table(secret(self._config.source.url), table)
        except ConfigurationError:
            return None
        return TableFacts(
            primary_key=found.primary_key,
            columns=tuple(column.name for column in found.columns),
            generated=frozenset(column.name for column in found.columns if column.generated),
            deferrable_key=found.deferrable_key,
            types={
                column.name: ColumnFacts(column.written, fitting.always, fitting.perhaps)
                for column in found.columns
                if (fitting := fit(column.type)) is not None
            },
        )

    async def problems(self, columns: Mapping[str, frozenset[str]]) -> Sequence[Check]:
        section = self._config.connector
        found = await check_source(self._dsn, sorted(columns), section.slot, section.publication, columns=columns)
        return [Check("source", one.subject, Verdict(one.severity), one.what, one.mend) for one in found]

    async def prepare(self) -> Sequence[str]:
        made = []
        # A role with REPLICATION and SELECT is enough for a publication that somebody else has made: it is left alone.
        if await self._publication_differs():
            publication = self._config.connector.publication
            prepared = await prepare_source(self._dsn, self._config.tables, publication)
            if prepared.created:
                made.append(f"publication {publication} for {', '.join(self._config.tables)}")
            else:
                made += [f"publication {publication}: added {table}" for table in prepared.added]
                made += [f"publication {publication}: removed {table}" for table in prepared.removed]
        signals = self._config.signal_topic
        if await self._topics.create(signals, 1, {"cleanup.policy": "delete", "retention.ms": "86400000"}):
            made.append(f"topic {signals}")
        # Connect would make them with the first record; until then a worker waits for its metadata to notice.
        section = self._config.connector
        data_topic = {
            "cleanup.policy": "delete",
            "retention.ms": str(retention_ms(section)),
            "max.message.bytes": str(section.max_message_bytes),
        }
        for topic in self._config.topics:
            if await self._topics.create(topic, section.partitions, data_topic, replication=section.replication_factor):
                made.append(f"topic {topic}")
        return made

    async def _publication_differs(self) -> bool:
        section, tables = self._config.connector, self._config.tables
        found = await check_source(self._dsn, tables, section.slot, section.publication)
        members = [(await describe_table(self._dsn, table)).membership(section.publication) for table in tables]
        return None in members or any(one.subject == f"publication {section.publication}" for one in found)

    async def drop_slot(self) -> str | None:
        slot = self._config.connector.slot
        # Connect answers before the task of a deleted connector has let go of its slot.
        async for attempt in stamina.retry_context(on=SourceUnavailable, timeout=_RELEASE_S, attempts=None, wait_max=1.0):
            with attempt:
                return f"replication slot {slot}" if await drop_slot(self._dsn, slot) else None
        return None

    async def drop_publication(self) -> str | None:
        publication = self._config.connector.publication
        return f"publication {publication}" if await drop_publication(self._dsn, publication) else None


async def server_version(dsn: str) -> int:
    """PostgreSQL's, as in `server_version_num`. Raises SourceUnavailable."""
    with translated("asking PostgreSQL for its version"):
        async with await connect(dsn) as connection:
            return connection.info.server_version


class Topics:
    """`LogFacts` on Kafka."""

    def __init__(self, topics: KafkaTopics, dead_letters: KafkaDeadLetters) -> None:
        self._topics = topics
        self._dead_letters = dead_letters

    async def topics(self, names: Collection[str]) -> Mapping[str, TopicFacts]:
        found = await self._topics.describe(names)
        return {name: TopicFacts(facts.partitions) for name, facts in found.items()}

    async def dead_letter_problems(self) -> Sequence[str]:
        return await self._dead_letters.problems()


class Connect:
    """`ConnectFacts` and `operations.connector.Connect` on Kafka Connect."""

    def __init__(self, client: ConnectClient) -> None:
        self._client = client

    async def problems(self) -> Sequence[str]:
        return await self._client.version_problems()

    def refusals(self, config: Mapping[str, str]) -> Sequence[str]:
        return refusals(config)

    async def config(self, name: str) -> Mapping[str, str] | None:
        return await self._client.config(name)

    async def apply(self, name: str, config: Mapping[str, str]) -> None:
        await self._client.apply(name, config)

    async def state(self, name: str) -> ConnectorState | None:
        status = await self._client.status(name)
        if status is None:
            return None
        tasks = tuple(TaskState(task.task, task.state, task.worker, task.error or "") for task in status.tasks)
        return ConnectorState(status.state, status.worker, status.connector_error or "", tasks)

    async def restart(self, name: str) -> None:
        await self._client.restart(name, only_failed=False)

    async def delete(self, name: str) -> bool:
        return await self._client.delete(name)


class Instance:
    """`SinkFacts` on one Meilisearch."""

    def __init__(self, section: MeilisearchSection) -> None:
        self._section = section
        self._sink: MeilisearchSink = build_sink(section)
        self.max_payload_bytes = section.max_payload_bytes

    async def version(self) -> tuple[int, int, int] | None:
        return await self._sink.server_version()

    async def missing_actions(self, index_uids: Sequence[str]) -> Sequence[str]:
        missing = await missing_actions(self._section.url, secret(self._section.api_key), WORKER_ACTIONS, index_uids)
        return [f"{', '.join(sorted(actions))} on {uid}" for uid, actions in missing.items()]

    async def scratch_problem(self) -> str | None:
        if self._section.scratch_key is None:
            return "no key for scratch indexes is configured"
        key = secret(self._section.scratch_key)
        missing = await missing_actions(self._section.url, key, SCRATCH_ACTIONS, [_SCRATCH_PROBE])
        lacking = sorted(missing.get(_SCRATCH_PROBE, ()))
        return f"the key for scratch indexes lacks {', '.join(lacking)}" if lacking else None

    async def identity(self, index_uid: str) -> IndexIdentity | None:
        return await self._sink.identity(index_uid)

    async def settings(self, index_uid: str) -> Mapping[str, Any]:
        return await self._sink.settings(index_uid)

    async def close(self) -> None:
        await self._sink.close()


class KeyMaker:
    """`operations.keys.KeyMaker` on one Meilisearch with an administrator's key."""

    def __init__(self, section: MeilisearchSection, admin_key: str) -> None:
        self._url = section.url
        self._admin_key = admin_key

    async def make_worker_keys(self, index_uids: Sequence[str]) -> WorkerKeys:
        made = await asyncio.to_thread(make_worker_keys, self._url, self._admin_key, index_uids)
        return WorkerKeys(worker=made.worker_key, scratch=made.scratch_key)


class StateAnswers:
    """`StateFacts`: opening it connects, and brings the schema up to date. A SQLite file that is not there is not made."""

    def __init__(self, config: Config) -> None:
        self._config = config

    async def version(self) -> str:
        try:
            async with opened_state(self._config) as state:
                await state.findings(open_only=True)
        except StateNotMadeError:
            return f"{self._config.state_file} is not there yet: the worker makes it"
        return "answers, its schema is up to date"
