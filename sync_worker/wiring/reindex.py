"""Rebuilds with their adapters, for the command line."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from random import Random

from sync_worker.adapters.clock import SystemClock
from sync_worker.adapters.meilisearch.admin import MeilisearchAdmin
from sync_worker.adapters.meilisearch.rates import MeilisearchRates
from sync_worker.config import Config
from sync_worker.errors import ConfigurationError
from sync_worker.operations.barrier import BarrierReport
from sync_worker.operations.drift import Compared, DriftParts
from sync_worker.operations.drift.parts import BarrierPort
from sync_worker.operations.reindex.gates import Gates, read_gates
from sync_worker.operations.reindex.parts import ReindexParts
from sync_worker.operations.reindex.plan import plan
from sync_worker.operations.reindex.reindex import Reindex
from sync_worker.operations.reindex.report import IndexPlan, ReindexPlan, ReindexReport
from sync_worker.operations.workers import ALIVE_S, live_workers
from sync_worker.rebuild.model import Rebuild, logical
from sync_worker.wiring import build
from sync_worker.wiring.backfill import SourceTable
from sync_worker.wiring.chain import Chain
from sync_worker.wiring.drift import build_compared
from sync_worker.wiring.verbs import actor
from sync_worker.wiring.watch import watched

Tell = Callable[[str], None]
Key = Callable[[], str]


def _silent(_: str) -> None:
    pass


class _OfLanes:
    """A barrier that knows a rebuild's second index by its lane's name."""

    def __init__(self, barrier: BarrierPort) -> None:
        self._barrier = barrier

    async def require(self, indexes: Collection[str] = (), *, strict: bool = True, timeout_s: float) -> BarrierReport:
        return await self._barrier.require({logical(name) for name in indexes}, strict=strict, timeout_s=timeout_s)


def gates_file(path: Path | None) -> Gates:
    """Raises ConfigurationError for a file that can't be read, with every mistake in it."""
    if path is None:
        return Gates()
    try:
        return read_gates(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ConfigurationError([f"--gates {path}: {error}"], remedy="it is a TOML file") from error


async def reindex(
    config: Config,
    indexes: Sequence[str],
    *,
    gates: Gates,
    auto_cutover: bool,
    key: Key,
    tell: Tell = _silent,
    timeout_s: float = 120.0,
) -> ReindexReport:
    """Begin, and go as far as it goes by itself; several at a time. See `operations.reindex.reindex.Reindex`."""
    return await _each(
        config, indexes, key, tell, timeout_s, lambda one: one.start(gates, auto_cutover=auto_cutover), listening=True
    )


async def reindex_resume(
    config: Config, indexes: Sequence[str], *, auto_cutover: bool, key: Key, tell: Tell = _silent, timeout_s: float = 120.0
) -> ReindexReport:
    return await _each(config, indexes, key, tell, timeout_s, lambda one: one.resume(auto_cutover=auto_cutover), listening=True)


async def reindex_rollback(
    config: Config, indexes: Sequence[str], *, key: Key, tell: Tell = _silent, timeout_s: float = 120.0
) -> ReindexReport:
    return await _each(config, indexes, key, tell, timeout_s, lambda one: one.rollback())


async def reindex_finish(
    config: Config, indexes: Sequence[str], *, key: Key, tell: Tell = _silent, timeout_s: float = 120.0
) -> ReindexReport:
    return await _each(config, indexes, key, tell, timeout_s, lambda one: one.finish())


async def reindex_abort(
    config: Config, indexes: Sequence[str], *, key: Key, tell: Tell = _silent, timeout_s: float = 120.0
) -> ReindexReport:
    return await _each(config, indexes, key, tell, timeout_s, lambda one: one.abort())


async def reindex_status(config: Config, indexes: Sequence[str]) -> ReindexReport:
    """Of these, else of all that run: the newest rebuild of each. Raises StateUnavailable."""
    wanted = config.chosen(indexes)
    async with AsyncExitStack() as stack:
        state = await stack.enter_async_context(build.opened_state(config))
        shown = []
        for index in wanted:
            known = await state.last_rebuild(index.name)
            if known is not None and (indexes or not known.phase.over):
                parts = await _parts(config, index.name, stack, key="", tell=lambda _: None, timeout_s=0.0, listening=False)
                shown.append(await Reindex(parts).shown(known))
        return ReindexReport(tuple(shown))


async def reindex_plan(config: Config, indexes: Sequence[str], *, key: Key) -> ReindexPlan:
    """What it would do, for each. Changes nothing."""
    names = [index.name for index in config.chosen(indexes)]
    async with AsyncExitStack() as stack:
        given = key()
        return ReindexPlan(tuple([await _planned(config, name, stack, given) for name in names]))


async def _planned(config: Config, name: str, stack: AsyncExitStack, key: str) -> IndexPlan:
    parts = await _parts(config, name, stack, key=key, tell=lambda _: None, timeout_s=0.0, listening=False)
    index = config.indexes[name]
    section = config.meilisearch[index.meilisearch]
    admin = _admin(config, name, key)
    stack.push_async_callback(admin.close)
    rates = MeilisearchRates(section.url, key, timeouts=build.timeouts(section))
    stack.push_async_callback(rates.close)
    missing = await admin.identity(index.uid) is None
    present, fresh = (None, None) if missing else await rates.measured(index.uid)
    obstacles = [f"index {index.uid} does not exist: sync-worker indexes create"] if missing else []
    if name in (running := await parts.state.rebuilds()):
        obstacles.append(f"it is being rebuilt already: {running[name].phase.value}")
    if not await live_workers(parts.state, parts.clock):
        obstacles.append("no worker is running")
    obstacles += [
        f"{one.run} of {index.table} runs" for one in await parts.state.backfills(running_only=True) if one.table == index.table
    ]
    return plan(
        index=name,
        uid=index.uid,
        rows=await parts.table.count(""),
        documents=0 if missing else await admin.document_count(index.uid),
        rate=fresh or present,
        disk_bytes=None if missing else await admin.disk_share(index.uid),
        obstacles=tuple(obstacles),
    )


def _admin(config: Config, name: str, key: str) -> MeilisearchAdmin:
    return build.build_admin(config.meilisearch[config.indexes[name].meilisearch], key)


async def _each(
    config: Config,
    indexes: Sequence[str],
    key: Key,
    tell: Tell,
    timeout_s: float,
    use: Callable[[Reindex], Awaitable[Rebuild]],
    *,
    listening: bool = False,
) -> ReindexReport:
    names = [index.name for index in config.chosen(indexes)]
    given = key()
    async with AsyncExitStack() as stack:
        several = [
            Reindex(await _parts(config, name, stack, key=given, tell=tell, timeout_s=timeout_s, listening=listening))
            for name in names
        ]
        ended = await asyncio.gather(*(use(one) for one in several), return_exceptions=True)
        # All of them first: what one can't do is no reason to stop another in the middle.
        for end in ended:
            if isinstance(end, BaseException):
                raise end
        done = [end for end in ended if isinstance(end, Rebuild)]
        return ReindexReport(tuple([await one.shown(rebuild) for one, rebuild in zip(several, done, strict=True)]))


async def _parts(
    config: Config, name: str, stack: AsyncExitStack, *, key: str, tell: Tell, timeout_s: float, listening: bool
) -> ReindexParts:
    state = await stack.enter_async_context(build.opened_state(config))
    admin = _admin(config, name, key)
    stack.push_async_callback(admin.close)
    chain = Chain(config, state, stack)
    if listening:
        await chain.reader.start()
    clock = SystemClock()
    compared = build_compared(config, stack)[name]

    def target(rebuild: Rebuild) -> Compared:
        return replace(compared, index=rebuild.target_lane, uid=rebuild.target_uid, alone=False)

    return ReindexParts(
        state=state,
        admin=admin,
        declaration=config.indexes[name],
        table=SourceTable(compared),
        drift=DriftParts(state, _OfLanes(chain.barrier), clock, Random()),
        target=target,
        clock=clock,
        actor=actor(),
        dead_after_s=max(ALIVE_S, 2 * config.kafka.session_timeout_s),
        timeout_s=timeout_s,
        tell=tell,
        watched=watched(config).indexes[name],
    )
