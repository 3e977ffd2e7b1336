"""`status` with its adapters."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack

from sync_worker.adapters.clock import SystemClock
from sync_worker.adapters.debezium.connect import ConnectClient
from sync_worker.adapters.kafka import KafkaLog
from sync_worker.adapters.meilisearch.client import UNFINISHED, MeilisearchSink
from sync_worker.adapters.source.slot import slot_standing
from sync_worker.adapters.workers.pages import worker_pages
from sync_worker.change.model import TopicPartition
from sync_worker.config import Config
from sync_worker.operations import status as looking
from sync_worker.operations.connector import ConnectorState
from sync_worker.operations.status.judge import Limits
from sync_worker.operations.status.parts import LogSeen, SinkSeen, StateSeen, WorkerSeen
from sync_worker.operations.status.report import HoldStatus, SlotStatus, StatusReport
from sync_worker.ports import TaskStatus, WorkerRow
from sync_worker.wiring import build, facts
from sync_worker.wiring.settings import opened_sinks

_MOST_PARTITIONS = 64
"""Of a topic whose partitions nobody can count because Kafka is down. Bookmarks of more are not looked for."""


async def status(
    config: Config, indexes: Sequence[str] = (), *, max_lag_s: float = 60.0, deadline_s: float = 10.0
) -> StatusReport:
    """Everything at one moment; a part that does not answer within `deadline_s` is named. Raises ConfigurationError.

    Args:
        max_lag_s: age of the oldest unapplied change from which an index counts as behind.
    """
    wanted = config.chosen(indexes)
    async with AsyncExitStack() as stack:
        sinks = await stack.enter_async_context(opened_sinks(config))
        client = await stack.enter_async_context(build.build_connect(config))
        topics = {index.table: config.topic(index.table) for index in wanted}
        parts = looking.Parts(
            sinks={name: Sink(sink) for name, sink in sinks.items()},
            log=Log(build.build_log(config), list(topics.values()), config.message_topic),
            slot=Slot(build.secret(config.source.url), config.connector.slot),
            connect=Connect(client, config.connector.name),
            state=State(config, list(topics.values())),
            workers=Workers(),
            connector_name=config.connector.name,
            topics=topics,
            clock=SystemClock(),
        )
        return await looking.status(parts, wanted, limits=Limits(max_lag_s, config.worker.canary_limit_s), deadline_s=deadline_s)


class Sink:
    """`SinkPart`: all requests at once."""

    def __init__(self, sink: MeilisearchSink) -> None:
        self._sink = sink

    async def seen(self, index_uid: str) -> SinkSeen | None:
        identity = await self._sink.identity(index_uid)
        if identity is None:
            return None
        stats, settings, unfinished, failed, newest = await asyncio.gather(
            self._sink.index_stats(index_uid),
            self._sink.settings(index_uid),
            self._sink.task_count(index_uid, UNFINISHED),
            self._sink.task_count(index_uid, (TaskStatus.FAILED,)),
            self._sink.newest_failed(index_uid),
        )
        return SinkSeen(
            identity.created_at, identity.primary_key, stats.documents, stats.indexing, settings, unfinished, failed, newest
        )


class Log:
    """`LogPart` on Kafka."""

    def __init__(self, log: KafkaLog, topics: Collection[str], message_topic: str) -> None:
        self._log = log
        self._topics = topics
        self._messages = TopicPartition(message_topic, 0)

    async def seen(self) -> LogSeen:
        counts = await self._log.partition_counts([*self._topics, self._messages.topic])
        places = [TopicPartition(topic, number) for topic in self._topics for number in range(counts.get(topic, 0))]
        ends, committed, canary = await asyncio.gather(
            self._log.ends(places), self._log.committed(places), self._canary_at(self._messages.topic in counts)
        )
        return LogSeen(ends, committed, canary)

    async def _canary_at(self, exists: bool) -> float | None:
        newest = await self._log.newest_ms(self._messages) if exists else None
        return None if newest is None else newest / 1000


class Slot:
    """`SlotPart` on PostgreSQL."""

    def __init__(self, dsn: str, slot: str) -> None:
        self._dsn = dsn
        self._slot = slot

    async def seen(self) -> SlotStatus:
        found = await slot_standing(self._dsn, self._slot)
        if found is None:
            return SlotStatus(self._slot, False, None, None, None, None, None)
        return SlotStatus(self._slot, True, found.active, found.retained, found.unconfirmed, found.wal_status, found.safe)


class Connect:
    """`ConnectPart` on Kafka Connect."""

    def __init__(self, client: ConnectClient, name: str) -> None:
        self._connect = facts.Connect(client)
        self._name = name

    async def seen(self) -> ConnectorState | None:
        return await self._connect.state(self._name)


class State:
    """`StatePart`: opened for each look."""

    def __init__(self, config: Config, topics: Collection[str]) -> None:
        self._config = config
        self._places = [TopicPartition(topic, number) for topic in topics for number in range(_MOST_PARTITIONS)]

    async def seen(self) -> StateSeen:
        async with build.opened_state(self._config) as state:
            return StateSeen(
                workers=await state.workers(),
                bookmarks=await state.bookmarks(self._places),
                counts=await state.failed_counts(list(self._config.indexes)),
                findings=await state.findings(),
                fills=await state.fills(),
                pauses=await state.pauses(),
                comparisons=await state.comparisons(),
                rebuilds=await state.rebuilds(),
            )


class Workers:
    """`WorkersPart` on the workers' pages."""

    async def ask(self, workers: Collection[WorkerRow]) -> Mapping[str, WorkerSeen]:
        return {
            name: WorkerSeen(
                ready=page.ready,
                alive=page.alive,
                canary_age_s=page.canary_age_s,
                applied=page.applied,
                lag_messages=page.lag_messages,
                lag_s=page.lag_s,
                holds=[
                    HoldStatus(name, hold["subject"], hold["kind"], hold["cause"], hold["remedy"], hold["since"])
                    for hold in page.holds
                ],
            )
            for name, page in (await worker_pages(workers)).items()
        }
