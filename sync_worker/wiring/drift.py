"""Rows against documents, with their adapters: for `sync-worker drift` and for the worker's scrub."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from random import Random

from sync_worker.adapters.clock import SystemClock
from sync_worker.adapters.meilisearch.documents import MeilisearchDocuments
from sync_worker.adapters.source.table import PostgresTable
from sync_worker.config import Config
from sync_worker.document.declaration import IndexDeclaration
from sync_worker.document.projection import Projector
from sync_worker.drift.condition import sql_condition
from sync_worker.errors import ConfigurationError
from sync_worker.operations import drift as comparing
from sync_worker.operations.drift import Compared, DriftParts, DriftReport, DriftShow, IndexDrift, Wanted
from sync_worker.operations.drift.parts import BarrierPort
from sync_worker.operations.scrub import Scrub
from sync_worker.ports import Clock, Depth, Log, State, Telemetry
from sync_worker.wiring import build
from sync_worker.wiring.chain import Chain
from sync_worker.wiring.verbs import actor


@dataclass(frozen=True, slots=True)
class _Opened:
    parts: DriftParts
    log: Log
    targets: Mapping[str, Compared]


def build_compared(config: Config, stack: AsyncExitStack, *, uids: Mapping[str, str] | None = None) -> Mapping[str, Compared]:
    """Every declared index, ready to be compared; connections are made with the first use, and closed with `stack`.

    Args:
        uids: index → another physical index to compare, the target of a rebuild.
    """
    documents = {name: build.build_documents(section) for name, section in config.meilisearch.items()}
    for one in documents.values():
        stack.push_async_callback(one.close)
    projectors = build.build_projectors(config)
    made = {}
    for name, index in config.indexes.items():
        rows = PostgresTable(
            build.secret(config.source.url),
            config.connector.publication,
            index.table,
            index.primary_key,
            sorted(projectors[name].columns),
        )
        stack.push_async_callback(rows.close)
        made[name] = _compared(config, name, index, rows, documents[index.meilisearch], projectors[name], uids or {})
    return made


def _compared(
    config: Config,
    name: str,
    index: IndexDeclaration,
    rows: PostgresTable,
    documents: MeilisearchDocuments,
    projector: Projector,
    uids: Mapping[str, str],
) -> Compared:
    embedders = index.settings.get("embedders")
    declared = embedders if isinstance(embedders, dict) else {}
    return Compared(
        index=name,
        uid=uids.get(name, index.uid),
        id_field=index.id_field,
        topic=config.topic(index.table),
        projector=projector,
        rows=rows,
        documents=documents,
        alone=len(config.indexes_of(index.table)) == 1,
        vectors=bool(declared) or index.hook is not None,
        quantized=frozenset(n for n, one in declared.items() if isinstance(one, dict) and one.get("binaryQuantized") is True),
        filtered=index.predicate is not None or index.soft_delete is not None or index.hook is not None,
    )


def build_scrub(
    config: Config, stack: AsyncExitStack, *, state: State, barrier: BarrierPort, telemetry: Telemetry, clock: Clock
) -> Scrub:
    """Its connections are closed with `stack`."""
    return Scrub(
        list(build_compared(config, stack).values()),
        rows_per_second=config.scrub.rows_per_second,
        worker=config.worker.name,
        state=state,
        barrier=barrier,
        clock=clock,
        telemetry=telemetry,
    )


@asynccontextmanager
async def _opened(config: Config, uids: Mapping[str, str] | None, *, listening: bool) -> AsyncIterator[_Opened]:
    async with AsyncExitStack() as stack:
        state = await stack.enter_async_context(build.opened_state(config))
        chain = Chain(config, state, stack)
        if listening:
            await chain.reader.start()
        targets = build_compared(config, stack, uids=uids)
        yield _Opened(DriftParts(state, chain.barrier, SystemClock(), Random()), chain.log, targets)


async def drift(
    config: Config,
    indexes: Sequence[str] = (),
    *,
    depth: Depth = Depth.CONTENT,
    where: str | None = None,
    sample: int = 0,
    limit: int = 10_000,
    prune: bool = False,
    repair: bool = False,
    execute: bool = False,
    uids: Mapping[str, str] | None = None,
    timeout_s: float = 60.0,
) -> DriftReport:
    """Compare rows with documents: of these indexes, or of all.

    Args:
        where: SQL condition on the table's rows, as in a declaration.
        sample: so many rows and documents at random; 0 for all.
        limit: differences that are named for each index, and mended; all are counted.
        prune, repair: remove ghosts, or make everything named what its row says: shown, and done with `execute`.
        uids: index → physical index to compare instead of the live one. Repairs go to the live one, so they exclude each other.
        timeout_s: of one barrier, and of one repair.

    Raises ConfigurationError, SourceUnavailable, SinkUnavailable, SinkDenied, StateUnavailable, BarrierNotPassed; SyncWorkerError
    for a repair without a worker.
    """
    names = [index.name for index in config.chosen(indexes)]
    wanted = Wanted(depth, _condition(where), sample, limit, timeout_s)
    async with _opened(config, uids, listening=True) as opened:
        found = []
        for name in names:
            target = opened.targets[name]
            one, candidates = await comparing.compare(opened.parts, target, wanted)
            if prune or repair:
                mended = await comparing.repair(
                    opened.parts,
                    target,
                    list(zip(one.items, candidates, strict=True)),
                    log=opened.log,
                    ghosts_only=prune,
                    execute=execute,
                    actor=actor(),
                    timeout_s=timeout_s,
                )
                one = replace(one, repair=mended)
            found.append(one)
    return DriftReport(all(map(_in_sync, found)), where or "", sample, tuple(found))


async def drift_show(config: Config, index: str, document_id: str, *, uids: Mapping[str, str] | None = None) -> DriftShow:
    """One row, the document that it asks for, and the one that the index holds."""
    [name] = [declared.name for declared in config.chosen([index])]
    async with _opened(config, uids, listening=False) as opened:
        return await comparing.show(opened.parts, opened.targets[name], document_id)


def _condition(where: str | None) -> str | None:
    try:
        return None if where is None else sql_condition(where)
    except ValueError as error:
        raise ConfigurationError([f"--where {where}: {error}"]) from error


def _in_sync(one: IndexDrift) -> bool:
    """After a repair: everything that was found was mended, and found again to be what its row says."""
    if one.in_sync or one.repair is None or not one.repair.mended:
        return one.in_sync
    return not one.more and not one.repair.left_alone
