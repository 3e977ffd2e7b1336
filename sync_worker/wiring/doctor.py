"""`doctor` with its adapters."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AsyncExitStack

from sync_worker.adapters.clock import SystemClock
from sync_worker.adapters.kafka import KafkaTopics
from sync_worker.adapters.kafka.exam import KafkaExaminer
from sync_worker.adapters.meilisearch import exam as sinks
from sync_worker.adapters.meilisearch.transport import Transport
from sync_worker.adapters.source.exam import examine_server
from sync_worker.config import Config
from sync_worker.operations import doctor as examining
from sync_worker.operations.doctor.parts import (
    KafkaExam,
    SinkExam,
    SourceExam,
    StateExam,
    TopicExam,
    UnreadableDocuments,
)
from sync_worker.operations.doctor.report import DoctorReport, Fix
from sync_worker.operations.workers import ALIVE_S
from sync_worker.wiring import build, verbs


async def doctor(config: Config, *, fix: bool = False, timeout_s: float = 60.0) -> DoctorReport:
    """Every check that is known. With `fix`, what belongs to sync-worker is mended, and looked at again.

    Raises ConfigurationError; with `fix` also StateUnavailable, for a repair that can't be noted is not begun.
    """
    report = await _examined(config, timeout_s)
    if not fix:
        return report
    async with build.opened_state(config) as state:
        repairs = {
            Fix.SET_TOPICS: lambda: _set_topics(config),
            Fix.APPLY_CONNECTOR: lambda: _apply_connector(config),
            Fix.RESTART_CONNECTOR: lambda: _restart_connector(config),
        }
        fixed = await examining.mend(report, repairs, state, actor=verbs.actor())
    return examining.after_mending(await _examined(config, timeout_s), fixed) if fixed else report


async def _examined(config: Config, timeout_s: float) -> DoctorReport:
    async with verbs.opened_checks(config) as checks:
        return await examining.doctor(
            checks,
            Examiner(config, timeout_s),
            tuple(config.indexes.values()),
            slot=config.connector.slot,
            timeout_s=timeout_s,
        )


async def _set_topics(config: Config) -> str:
    section = config.connector
    topics = build.build_topics(config)
    there = await topics.describe(list(config.topics))
    wanted = {
        "cleanup.policy": "delete",
        "retention.ms": str(build.retention_ms(section)),
        "max.message.bytes": str(section.max_message_bytes),
    }
    for topic in sorted(there):
        await topics.alter(topic, {**wanted, "retention.bytes": "-1"})
    return f"set cleanup.policy, retention and max.message.bytes of {', '.join(sorted(there))}"


async def _apply_connector(config: Config) -> str:
    report = await verbs.apply_connector(config)
    what = "created" if report.created else f"changed {', '.join(report.changed)}" if report.changed else "as declared already"
    return "; ".join([f"connector {report.name}: {what}", *(f"made {made}" for made in report.made)])


async def _restart_connector(config: Config) -> str:
    return f"connector {(await verbs.restart_connector(config)).name}: restart requested"


class Examiner:
    """`operations.doctor.parts.Examiner` on the real parts."""

    def __init__(self, config: Config, timeout_s: float) -> None:
        self._config = config
        self._timeout_s = timeout_s

    async def source(self) -> SourceExam:
        found = await examine_server(build.secret(self._config.connector_database_url), self._config.connector.slot)
        settings = found.settings
        return SourceExam(
            version=found.version,
            skew_s=found.skew_s,
            max_slot_wal_keep_size=settings["max_slot_wal_keep_size"],
            idle_replication_slot_timeout=settings["idle_replication_slot_timeout"],
            synchronized_standby_slots=settings["synchronized_standby_slots"],
            slot_failover=found.failover,
            slot_synced=found.synced,
            slot_inactive_s=found.inactive_s,
            slot_retained=found.retained,
            standbys=found.standbys,
        )

    async def kafka(self) -> KafkaExam:
        kafka = self._config.kafka
        security = build.security(kafka)
        examiner = KafkaExaminer(kafka.bootstrap_servers, security)
        topics = await KafkaTopics(kafka.bootstrap_servers, security).describe(
            [*self._config.topics, kafka.dead_letter_topic, self._config.message_topic]
        )
        return KafkaExam(
            broker=await examiner.broker_settings(),
            topics={
                name: TopicExam(topic.replication, topic.in_sync, topic.min_insync_replicas) for name, topic in topics.items()
            },
            members=await examiner.members(kafka.group),
            skew_s=await examiner.skew_s(),
        )

    async def connect_skew_s(self) -> float | None:
        return await sinks.clock_skew_s(self._config.connector.url)

    async def sink(self, instance: str, index_uids: Collection[str]) -> SinkExam:
        section = self._config.meilisearch[instance]
        clock = SystemClock()
        # What is left of the time belongs to the other questions.
        end = clock.monotonic() + self._timeout_s / 2
        async with AsyncExitStack() as stack:
            transport = Transport(
                section.url,
                build.secret(section.api_key),
                key_name="worker key",
                compress=section.compress.value,
                timeouts=build.timeouts(section),
            )
            stack.push_async_callback(transport.close)
            sink = build.build_sink(section)
            stack.push_async_callback(sink.close)
            scratch = build.build_scratch(section)
            tiny = None
            if scratch is not None:
                stack.push_async_callback(scratch.close)
                tiny = await sinks.tiny_task_s(scratch)
            measured = await sinks.sizes(transport)
            id_fields = {index.uid: index.id_field for index in self._config.indexes.values() if index.meilisearch == instance}
            unreadable = {}
            for uid in index_uids:
                if await sink.identity(uid) is None:
                    continue
                documents = await sink.document_count(uid)
                found = await sinks.read_all(transport, uid, id_fields[uid], documents, until=lambda: clock.monotonic() > end)
                unreadable[uid] = UnreadableDocuments(found.documents, found.read, found.unreadable)
            return SinkExam(
                tiny_task_s=tiny,
                database_bytes=measured[0] if measured else None,
                used_bytes=measured[1] if measured else None,
                skew_s=await sinks.clock_skew_s(f"{section.url}/health"),
                unreadable=unreadable,
            )

    async def state(self) -> StateExam:
        from sync_worker.adapters.state import StateDatabase

        build.require_state(self._config)
        present, newest = await StateDatabase.schema_revisions(build.secret(self._config.state.url))
        async with build.opened_state(self._config) as state:
            workers = await state.workers()
        now = SystemClock().now()
        live = [worker for worker in workers if now - worker.last_seen < ALIVE_S]
        silent = tuple(worker.worker for worker in workers if worker not in live)
        return StateExam(present, newest, len(live), silent)
