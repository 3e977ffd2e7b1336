"""Backfills with their adapters: for the command line, and the steward for the worker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

from sync_worker.adapters.clock import SystemClock
from sync_worker.adapters.debezium.connect import ConnectClient
from sync_worker.adapters.debezium.continuity import ConnectContinuity
from sync_worker.adapters.debezium.signals import KafkaSignals
from sync_worker.adapters.meilisearch.rates import MeilisearchRates
from sync_worker.backfill.model import Wish
from sync_worker.config import Config
from sync_worker.document.declaration import IndexDeclaration
from sync_worker.drift.condition import sql_condition
from sync_worker.errors import ConfigurationError, SyncWorkerError
from sync_worker.operations.backfill import plan as planning
from sync_worker.operations.backfill import request as requesting
from sync_worker.operations.backfill.parts import BackfillParts, fed_by
from sync_worker.operations.backfill.report import (
    BackfillIds,
    BackfillPlan,
    BackfillProgress,
    BackfillReport,
    BackfillStatus,
    BackfillWished,
)
from sync_worker.operations.backfill.steward import Steward
from sync_worker.operations.deadline import TimeLeft
from sync_worker.operations.drift import Compared, DriftParts
from sync_worker.operations.indexes import prepare_indexes
from sync_worker.ports import Clock
from sync_worker.wiring import build
from sync_worker.wiring.chain import Chain
from sync_worker.wiring.drift import build_compared
from sync_worker.wiring.verbs import actor
from sync_worker.wiring.watch import watched

if TYPE_CHECKING:
    from sync_worker.adapters.state import StateDatabase

_NO_TIME_S = 86_400.0


class _Connector(ConnectContinuity):
    """`operations.backfill.parts.ConnectorCare` on Kafka Connect."""

    def __init__(self, client: ConnectClient, name: str) -> None:
        super().__init__(client, name)
        self._connect, self._named = client, name

    async def restart(self) -> None:
        status = await self._connect.status(self._named)
        failed = status is not None and status.error is not None
        await self._connect.restart(self._named, only_failed=failed)


class SourceTable:
    """`operations.backfill.request.Table` on PostgreSQL."""

    def __init__(self, compared: Compared) -> None:
        self._compared = compared

    async def count(self, where: str) -> int:
        async with self._compared.rows.snapshot() as snapshot:
            return await snapshot.count(where or None)


def build_steward(config: Config, stack: AsyncExitStack, chain: Chain, *, state: StateDatabase, clock: Clock) -> Steward:
    """Its own connections are closed with `stack`."""
    return Steward(
        BackfillParts(
            worker=config.worker.name,
            state=state,
            log=chain.log,
            signals=KafkaSignals(
                config.kafka.bootstrap_servers,
                config.signal_topic,
                config.connector.topic_prefix,
                build.security(config.kafka),
            ),
            connector=_Connector(chain.connect, config.connector.name),
            barrier=chain.barrier,
            drift=DriftParts(state, chain.barrier, clock, Random()),
            clock=clock,
            notification_topic=config.notification_topic,
            watched=watched(config).indexes,
            compared=build_compared(config, stack),
        )
    )


def _declared(config: Config, index: str) -> IndexDeclaration:
    [declared] = config.chosen([index])
    return declared


def _condition(where: str | None) -> str:
    """One expression without a second statement or a comment, as it is sent to Debezium."""
    try:
        return sql_condition(where) if where else ""
    except ValueError as error:
        raise ConfigurationError([f"--where {where}: {error}"], remedy="nothing was sent") from error


@asynccontextmanager
async def _opened(config: Config) -> AsyncIterator[tuple[StateDatabase, AsyncExitStack]]:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(build.opened_state(config)), stack


async def backfill(
    config: Config,
    index: str,
    *,
    where: str | None = None,
    prune: bool = False,
    detach: bool = False,
    admin_key: Callable[[], str] | None = None,
    tell: Callable[[BackfillProgress], None] = lambda _: None,
    timeout_s: float = _NO_TIME_S,
) -> BackfillReport:
    """Have every row of the index's table (or those that fit `where`) written once more, and wait until they are.

    Args:
        where: SQL condition on the rows, as in a declaration.
        prune: remove documents whose rows are gone, once the rows are applied.
        detach: return as soon as it is stored: the workers go on with it by themselves.
        admin_key: gives an administrator's key where the index is missing and has to be created.
        tell: called with what it has come to, several times a second.
        timeout_s: how long it is waited for; it goes on without being waited for.

    Raises SyncWorkerError where another one of the table runs, or no worker does; ConfigurationError for an index that is not
    declared, a condition that is not understood or that PostgreSQL refuses, or a missing index without a key; the ports' errors.
    """
    declared = _declared(config, index)
    condition = _condition(where)
    requesting.require_whole_table(condition, prune=prune)
    clock = SystemClock()
    left = TimeLeft(clock, timeout_s)
    async with _opened(config) as (state, stack):
        await requesting.require_no_filling(state, fed_by(declared.table, watched(config).indexes))
        compared = build_compared(config, stack)[index]
        table = SourceTable(compared)
        if condition:
            await table.count(condition)  # before anything is created for it
        created = await _create_missing(config, declared, admin_key, stack)
        if created:
            await state.audit(actor(), "indexes create", declared.uid, {"for": "backfill"})
        # Nothing is there to be pruned, and so the fill is proven.
        wanted = requesting.Asked(index, declared.table, condition, prune or (created and not condition), actor())
        asked, joined = await requesting.request(state, table, wanted, clock)
        if not detach:
            asked = await requesting.follow(state, asked, clock, tell=tell, timeout_s=left())
        fed = fed_by(declared.table, watched(config).indexes)
        return requesting.report_of(asked, joined=joined, fed=fed, created=created, now=clock.now())


async def _create_missing(
    config: Config, declared: IndexDeclaration, admin_key: Callable[[], str] | None, stack: AsyncExitStack
) -> bool:
    section = config.meilisearch[declared.meilisearch]
    sink = build.build_sink(section)
    stack.push_async_callback(sink.close)
    if await sink.identity(declared.uid) is not None:
        return False
    if section.admin_key is not None:
        key = build.secret(section.admin_key)
    elif admin_key is not None:
        key = admin_key()
    else:
        raise ConfigurationError([f"index {declared.uid!r} does not exist"], remedy="sync-worker indexes create")
    admin = build.build_admin(section, key)
    stack.push_async_callback(admin.close)
    return any(one.created for one in (await prepare_indexes(sink, admin, [declared])).indexes)


async def backfill_ids(config: Config, index: str, ids: Sequence[str], *, timeout_s: float = 60.0) -> BackfillIds:
    """Have these documents made what their rows say; see `operations.backfill.request.by_ids`."""
    _declared(config, index)
    clock = SystemClock()
    left = TimeLeft(clock, timeout_s)
    async with _opened(config) as (state, stack):
        chain = Chain(config, state, stack)
        await chain.reader.start()
        target = build_compared(config, stack)[index]
        parts = DriftParts(state, chain.barrier, clock, Random())
        return await requesting.by_ids(parts, target, chain.log, ids, actor=actor(), timeout_s=left())


async def backfill_status(config: Config, index: str | None = None, *, limit: int = 10) -> BackfillStatus:
    """Those that run, else the newest ones. Raises ConfigurationError for an index that is not declared, StateUnavailable."""
    config.chosen([] if index is None else [index])
    async with _opened(config) as (state, _):
        return await requesting.status(state, SystemClock(), index=index, limit=limit)


async def backfill_pause(config: Config, index: str, *, timeout_s: float = 60.0) -> BackfillWished:
    """Have Debezium read no further. Raises SyncWorkerError where none of this index runs, StateUnavailable."""
    return await _wish(config, index, Wish.PAUSE, timeout_s)


async def backfill_resume(config: Config, index: str, *, timeout_s: float = 60.0) -> BackfillWished:
    """Have Debezium read on. Raises SyncWorkerError where none of this index runs, StateUnavailable."""
    return await _wish(config, index, Wish.RUN, timeout_s)


async def backfill_stop(config: Config, index: str, *, timeout_s: float = 60.0) -> BackfillWished:
    """End it; what was written stays. Raises SyncWorkerError where none of this index runs, StateUnavailable."""
    return await _wish(config, index, Wish.STOP, timeout_s)


async def _wish(config: Config, index: str, wanted: Wish, timeout_s: float) -> BackfillWished:
    _declared(config, index)
    clock = SystemClock()
    left = TimeLeft(clock, timeout_s)
    async with _opened(config) as (state, _):
        return await requesting.wish(state, index, wanted, clock, actor=actor(), timeout_s=left())


async def backfill_plan(config: Config, index: str, *, where: str | None = None) -> BackfillPlan:
    """What it would do, and what both ways of filling are expected to take. Changes nothing."""
    declared = _declared(config, index)
    condition = _condition(where)
    async with _opened(config) as (state, stack):
        compared = build_compared(config, stack)[index]
        section = config.meilisearch[declared.meilisearch]
        sink = build.build_sink(section)
        rates = MeilisearchRates(section.url, build.secret(section.api_key), timeouts=build.timeouts(section))
        for part in (sink, rates):
            stack.push_async_callback(part.close)
        missing = await sink.identity(declared.uid) is None
        present, fresh = (None, None) if missing else await rates.measured(declared.uid)
        history = await state.backfills(limit=1000)
        running = [one for one in history if one.table == declared.table and not one.stage.ended]
        obstacles = [f"{one.run} of {one.table} runs" for one in running]
        obstacles += await _connector_obstacles(config, stack)
        if missing:
            obstacles.append(f"index {declared.uid!r} is missing: it is created first, with an administrator's key")
        return planning.plan(
            index=index,
            table=declared.table,
            where=condition,
            rows=await SourceTable(compared).count(condition),
            documents=None if missing else await sink.document_count(declared.uid),
            fed=fed_by(declared.table, watched(config).indexes),
            history=history,
            rates=planning.ServerRates(present, fresh),
            obstacles=obstacles,
        )


async def _connector_obstacles(config: Config, stack: AsyncExitStack) -> list[str]:
    client = await stack.enter_async_context(build.build_connect(config))
    try:
        seen = await ConnectContinuity(client, config.connector.name).seen()
    except SyncWorkerError as error:
        return [error.message]
    if seen is None:
        return [f"there is no connector {config.connector.name}"]
    found = [] if seen.running else [f"the connector does not run: {seen.state}"]
    return found + (["the connector's own first snapshot runs"] if seen.snapshotting else [])
