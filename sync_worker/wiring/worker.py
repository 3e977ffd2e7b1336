"""The worker: every part built, held together, and taken down again."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from random import Random

import structlog

from sync_worker.adapters.clock import SystemClock
from sync_worker.adapters.meilisearch.admin import MeilisearchAdmin
from sync_worker.adapters.meilisearch.client import MeilisearchSink
from sync_worker.adapters.state import StateDatabase
from sync_worker.adapters.telemetry.health import HealthServer
from sync_worker.adapters.telemetry.logs import configure_logging
from sync_worker.adapters.telemetry.prometheus import PrometheusTelemetry
from sync_worker.batch.pace import Limits
from sync_worker.config import Config
from sync_worker.errors import StateUnavailable
from sync_worker.failure.backoff import backoff
from sync_worker.failure.flood import FloodLimits
from sync_worker.operations.indexes import prepare_indexes
from sync_worker.operations.scrub import ProofAge
from sync_worker.pipeline.holds import explain
from sync_worker.pipeline.model import Index, WorkerIdentity
from sync_worker.pipeline.pipeline import Pipeline
from sync_worker.ports import Clock
from sync_worker.stream.membership import GroupMembership
from sync_worker.stream.run import end_at_the_latest, run_stream
from sync_worker.stream.settings import StreamSettings
from sync_worker.wiring import build
from sync_worker.wiring.allocator import give_memory_back
from sync_worker.wiring.backfill import build_steward
from sync_worker.wiring.chain import Chain
from sync_worker.wiring.collector import calm_collector
from sync_worker.wiring.drift import build_scrub
from sync_worker.wiring.watch import build_watcher

log = structlog.get_logger(__name__)


def run_worker(config: Config) -> int:
    """Keep the indexes in step until SIGTERM or SIGINT; the exit status: 0 after a signal, 1 for what a restart mends.

    Raises ConfigurationError before anything was consumed.
    """
    configure_logging(config.worker.log_level.value, config.worker.log_format.value)
    calm_collector()
    give_memory_back()
    return asyncio.run(_run(config))


async def _run(config: Config) -> int:
    async with AsyncExitStack() as stack:
        clock, random = SystemClock(), Random()
        state = await _state(config, clock, random)
        stack.push_async_callback(state.close)
        source = build.build_source(config)
        stack.push_async_callback(source.close)
        dead_letters = build.build_dead_letters(config)
        stack.push_async_callback(dead_letters.close)
        sinks = {name: build.build_sink(section) for name, section in config.meilisearch.items()}
        scratches = {name: scratch for name, section in config.meilisearch.items() if (scratch := build.build_scratch(section))}
        for sink in (*sinks.values(), *scratches.values()):
            stack.push_async_callback(sink.close)
        telemetry = PrometheusTelemetry()
        membership = GroupMembership()
        chain = Chain(config, state, stack, health=lambda: pipeline.health)
        pipeline = Pipeline(
            _indexes(config, sinks, scratches),
            state=state,
            log_port=chain.log,
            dead_letters=dead_letters,
            source=source,
            membership=membership,
            clock=clock,
            telemetry=telemetry,
            random=random,
            worker=WorkerIdentity(group=config.kafka.group, run=uuid.uuid4().hex),
            worker_name=config.worker.name,
            limits=Limits(
                flush_documents=config.worker.flush_documents,
                in_flight_documents=config.worker.max_in_flight_documents,
                in_flight_bytes=config.worker.max_in_flight_bytes,
            ),
            flood=FloodLimits(
                run=config.worker.flood_guard.run,
                ratio=config.worker.flood_guard.ratio,
                window=config.worker.flood_guard.min_documents,
            ),
        )
        # Before anything is waited for, so that a worker that waits is seen waiting.
        await chain.reader.start()
        pipeline.tasks.spawn("canary", chain.canary.run())
        health = HealthServer(
            pipeline.health,
            chain.canary,
            telemetry.registry,
            host=config.worker.http_host,
            port=config.worker.http_port,
            pages=chain.pages(),
        )
        await health.start()
        stack.push_async_callback(health.stop)
        pipeline.reporter.address = config.worker.http_address or build.pages_address(config.worker.http_host, health.port)
        log.info(
            "started", worker=config.worker.name, group=config.kafka.group, http_port=health.port, indexes=sorted(config.indexes)
        )
        for problem in await pipeline.wait_for("dead letters", dead_letters.ensure_topic):
            log.warning("dead letters", problem=problem)
        for name, sink in sinks.items():
            await pipeline.wait_for(f"meilisearch:{name}", partial(_make_indexes, config, name, sink))
        watcher = build_watcher(
            config, chain.connect, sinks=sinks, state=state, log_port=chain.log, telemetry=telemetry, clock=clock
        )
        # Once before anything is consumed, so that what forbids writing is known; a part that does not answer stops nothing.
        await watcher.look()
        await pipeline.wait_for("findings", pipeline.learn_findings)
        pipeline.tasks.spawn("watch", watcher.run())
        steward = build_steward(config, stack, chain, state=state, clock=clock)
        pipeline.tasks.spawn("backfills", steward.run())
        pipeline.tasks.spawn("age of comparisons", ProofAge(state, clock=clock, telemetry=telemetry).run())
        if config.scrub.rows_per_second:
            scrub = build_scrub(config, stack, state=state, barrier=chain.barrier, telemetry=telemetry, clock=clock)
            pipeline.tasks.spawn("scrub", scrub.run())
        stack.callback(asyncio.create_task(_stop_on_crash(pipeline), name="crash watch").cancel)
        status = await run_stream(_stream_settings(config), pipeline, membership, drain_s=config.worker.drain_s)
        if pipeline.tasks.crash is not None:
            log.critical("the worker ended", cause=explain(pipeline.tasks.crash))
            return 1
        return status


def _indexes(config: Config, sinks: Mapping[str, MeilisearchSink], scratches: Mapping[str, MeilisearchAdmin]) -> list[Index]:
    projectors = build.build_projectors(config)
    return [
        Index(
            name=name,
            uid=index.uid,
            table=index.table,
            topic=config.topic(index.table),
            id_field=index.id_field,
            projector=projectors[name],
            sink=sinks[index.meilisearch],
            scratch=scratches.get(index.meilisearch),
            truncate=str(index.truncate),
            max_payload=config.meilisearch[index.meilisearch].max_payload_bytes,
        )
        for name, index in config.indexes.items()
    ]


def _stream_settings(config: Config) -> StreamSettings:
    return StreamSettings(
        bootstrap_servers=tuple(config.kafka.bootstrap_servers.split(",")),
        group=config.kafka.group,
        topics=tuple(config.topics),
        security=build.security(config.kafka),
        session_timeout_s=config.kafka.session_timeout_s,
    )


async def _make_indexes(config: Config, instance: str, sink: MeilisearchSink) -> None:
    """Missing indexes are created where a key that may is configured; a live one's settings are compared and left alone."""
    section = config.meilisearch[instance]
    admin = None if section.admin_key is None else build.build_admin(section, build.secret(section.admin_key))
    try:
        report = await prepare_indexes(sink, admin, [index for index in config.indexes.values() if index.meilisearch == instance])
    finally:
        if admin is not None:
            await admin.close()
    for index in report.indexes:
        if index.created:
            log.info("index created", index=index.name, uid=index.uid)
        if index.differing:
            log.warning(
                "live settings differ from the declared ones and were left alone", index=index.name, settings=index.differing
            )


async def _state(config: Config, clock: Clock, random: Random) -> StateDatabase:
    """Opened, however long it needs to come up. Nothing can be held before it: it keeps what is held."""
    failed = 0
    while True:
        try:
            return await StateDatabase.open(build.secret(config.state.url))
        except StateUnavailable as fault:
            failed += 1
            pause = backoff(failed, random.random())
            log.warning("waiting for the state database", cause=fault.message, remedy=fault.remedy, again_in_s=round(pause, 1))
            await clock.sleep(pause)


async def _stop_on_crash(pipeline: Pipeline) -> None:
    """A pipeline that ended takes the worker with it, even while no record comes that would meet it."""
    await pipeline.tasks.crashed.wait()
    end_at_the_latest()
    # The stream's own way out: it leaves the group, so that another worker need not wait for the session to time out.
    signal.raise_signal(signal.SIGTERM)
