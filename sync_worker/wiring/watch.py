"""The watch with its adapters, for the worker and for `sync-worker check`."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from sync_worker.adapters.debezium.connect import ConnectClient
from sync_worker.adapters.debezium.continuity import ConnectContinuity
from sync_worker.adapters.kafka import KafkaTopics
from sync_worker.adapters.kafka.continuity import KafkaContinuity
from sync_worker.adapters.source.continuity import PostgresContinuity
from sync_worker.change.model import TopicPartition
from sync_worker.config import Config
from sync_worker.document.fingerprint import declaration_fingerprint
from sync_worker.document.hook import load_hook
from sync_worker.operations.check.report import Check
from sync_worker.operations.check.watch import check_positions
from sync_worker.operations.watch import Comparison, FillWatch, Watcher, WatchParts, compare
from sync_worker.ports import Bookmark, Clock, Log, Sink, State, Telemetry
from sync_worker.watch.facts import Watched, WatchedIndex
from sync_worker.wiring import build


def watched(config: Config) -> Watched:
    """What of the configuration is to be watched. Hooks were tried when it was read."""
    section = config.connector
    return Watched(
        connector=section.name,
        slot=section.slot,
        publication=section.publication,
        retention_ms=build.retention_ms(section),
        max_message_bytes=section.max_message_bytes,
        indexes={
            name: WatchedIndex(
                table=index.table,
                topic=config.topic(index.table),
                key=index.primary_key,
                columns=index.columns | set(index.primary_key),
                declaration=declaration_fingerprint(index, None if index.hook is None else load_hook(index.hook)),
            )
            for name, index in config.indexes.items()
        },
    )


def watch_parts(config: Config, client: ConnectClient, topics: KafkaTopics) -> WatchParts:
    """The one place that says whom the watch asks."""
    section = config.connector
    dsn = build.secret(config.source.url)
    return WatchParts(
        source=PostgresContinuity(dsn, slot=section.slot, publication=section.publication),
        connector=ConnectContinuity(client, section.name),
        topics=KafkaContinuity(topics),
    )


def build_watcher(
    config: Config,
    client: ConnectClient,
    *,
    sinks: Mapping[str, Sink],
    state: State,
    log_port: Log,
    telemetry: Telemetry,
    clock: Clock,
) -> Watcher:
    """Args: `sinks` are by instance."""
    what = watched(config)
    fills = FillWatch(
        what,
        {name: (sinks[index.meilisearch], index.uid) for name, index in config.indexes.items()},
        state=state,
        log_port=log_port,
        notification_topic=config.notification_topic,
        telemetry=telemetry,
        clock=clock,
    )
    return Watcher(watch_parts(config, client, build.build_topics(config)), what, state=state, fills=fills, clock=clock)


class ChainWatch:
    """`operations.check.watch.WatchFacts`: opens the state database for each answer."""

    def __init__(self, config: Config, client: ConnectClient, topics: KafkaTopics) -> None:
        self._config = config
        self._parts = watch_parts(config, client, topics)

    async def comparison(self) -> Comparison:
        recorded: Mapping[tuple[str, str], Any] = {}
        with suppress(build.StateNotMadeError):
            async with build.opened_state(self._config) as state:
                recorded = await state.recorded_facts()
        return await compare(self._parts, watched(self._config), recorded, now=time.time())

    async def positions(self) -> list[Check]:
        log, topics = build.build_log(self._config), tuple(self._config.topics)
        try:
            async with build.opened_state(self._config) as state:
                return await check_positions(log, state, topics)
        except build.StateNotMadeError:
            # Nothing to read on from, though the group may have committed: that is to be told.
            return await check_positions(log, _NoBookmarks(), topics)


class _NoBookmarks:
    """A state database that is not there."""

    async def bookmarks(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Bookmark]:
        return {}
