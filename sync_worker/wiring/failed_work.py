"""The verbs about failed work, dead letters, pauses and the audit log, with their adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from sync_worker.adapters.clock import SystemClock
from sync_worker.adapters.kafka import KafkaDeadLetters
from sync_worker.config import Config
from sync_worker.document.declaration import require_declared
from sync_worker.operations import audit as auditing
from sync_worker.operations import dead_letters as letters
from sync_worker.operations import discard as discarding
from sync_worker.operations import failed
from sync_worker.operations import pause as pausing
from sync_worker.operations import retry as retrying
from sync_worker.operations.deadline import TimeLeft
from sync_worker.operations.failed import FailedFilter
from sync_worker.rebuild.model import logical
from sync_worker.wiring import build
from sync_worker.wiring.verbs import actor

if TYPE_CHECKING:
    from sync_worker.adapters.state import StateDatabase


async def _require_known(config: Config, state: StateDatabase, index: str | None) -> None:
    """Declared, or one that was: its failed work is still to be looked at. Raises ConfigurationError, StateUnavailable."""
    if index is not None and logical(index) not in config.indexes:
        counts = await state.failed_counts([])
        require_declared([index], {*config.indexes, *(name for (name, _, _), count in counts.items() if count)})


async def list_failed(config: Config, wanted: FailedFilter | None = None, *, limit: int = 50) -> failed.FailedList:
    """Failed work, newest first. Raises StateUnavailable."""
    chosen = wanted or FailedFilter()
    async with build.opened_state(config) as state:
        await _require_known(config, state, chosen.index)
        return await failed.list_failed(state, chosen, clock=SystemClock(), limit=limit)


async def show_failed(config: Config, failed_work_id: int, *, payload: bool = False) -> failed.FailedShow:
    """One row; with `payload` also the record that failed. Raises SyncWorkerError, StateUnavailable, LogUnavailable."""
    async with AsyncExitStack() as stack:
        state = await stack.enter_async_context(build.opened_state(config))
        topic = await stack.enter_async_context(_letters(config)) if payload else None
        return await failed.show_failed(state, topic, failed_work_id, clock=SystemClock())


async def failed_work_counts(config: Config, index: str | None = None) -> failed.FailedCounts:
    """How much failed work there is, of one index or of all, zeros included. Raises StateUnavailable."""
    async with build.opened_state(config) as state:
        await _require_known(config, state, index)
        return await failed.failed_work_counts(state, list(config.indexes), index=index)


async def retry(
    config: Config,
    ids: Sequence[int] = (),
    wanted: FailedFilter | None = None,
    *,
    limit: int = 100,
    execute: bool,
    force: bool = False,
    from_source: bool = False,
    timeout_s: float = 60.0,
) -> retrying.RetryReport:
    """Try failed work again; see `operations.retry.retry`. `timeout_s` is of the whole."""
    clock = SystemClock()
    left = TimeLeft(clock, timeout_s)
    async with AsyncExitStack() as stack:
        state = await stack.enter_async_context(build.opened_state(config))
        await _require_known(config, state, wanted.index if wanted is not None else None)
        topic = await stack.enter_async_context(_letters(config))
        sinks = {name: build.build_sink(section) for name, section in config.meilisearch.items()}
        for sink in sinks.values():
            stack.push_async_callback(sink.close)
        projectors = build.build_projectors(config)
        targets = {
            name: retrying.Target(
                index.uid, config.topic(index.table), index.id_field, projectors[name], sinks[index.meilisearch]
            )
            for name, index in config.indexes.items()
        }
        for name, rebuild in (await state.rebuilds()).items():
            if name in targets:
                targets[rebuild.target_lane] = replace(targets[name], uid=rebuild.target_uid)
        return await retrying.retry(
            retrying.RetryParts(state, topic, build.build_log(config), targets, clock),
            ids=ids,
            wanted=wanted,
            limit=limit,
            execute=execute,
            force=force,
            from_source=from_source,
            timeout_s=left(),
            actor=actor(),
        )


async def discard(config: Config, ids: Sequence[int], *, reason: str) -> discarding.DiscardReport:
    """Let failed work go, with a reason. Raises SyncWorkerError, StateUnavailable."""
    async with build.opened_state(config) as state:
        return await discarding.discard(state, ids, reason=reason, actor=actor())


async def pause(config: Config, indexes: Sequence[str], *, reason: str = "", timeout_s: float = 60.0) -> pausing.PauseReport:
    """Stop writing to these indexes; see `operations.pause.pause`."""
    config.chosen(indexes)
    clock = SystemClock()
    left = TimeLeft(clock, timeout_s)
    async with build.opened_state(config, create=True) as state:
        return await pausing.pause(
            state,
            indexes,
            declared=config.indexes.keys(),
            reason=reason,
            actor=actor(),
            timeout_s=left(),
            clock=clock,
        )


async def resume(config: Config, indexes: Sequence[str]) -> pausing.ResumeReport:
    """Go on writing to these indexes. Raises ConfigurationError, StateUnavailable."""
    async with build.opened_state(config) as state:
        return await pausing.resume(state, indexes, declared=config.indexes.keys(), actor=actor())


async def audit_log(
    config: Config,
    *,
    verb: str | None = None,
    by: str | None = None,
    subject: str | None = None,
    newer_than_s: float | None = None,
    limit: int = 50,
) -> auditing.AuditReport:
    """Who called which verb when, with which outcome. Raises StateUnavailable."""
    since = None if newer_than_s is None else SystemClock().now() - newer_than_s
    async with build.opened_state(config) as state:
        return await auditing.audit_log(state, verb=verb, actor=by, subject=subject, since=since, limit=limit)


async def dlq_tail(
    config: Config,
    *,
    last: int = 20,
    index: str | None = None,
    payload: bool = False,
    after: Mapping[str, int] | None = None,
) -> letters.LettersTail:
    """The newest dead letters. Raises LogUnavailable."""
    async with _letters(config) as topic:
        told = await letters.tail(topic, last=last, index=index, payload=payload, after=after)
    if after is None and not told.letters:
        _require_declared(config, index)
    return told


async def dlq_rebuild_table(config: Config) -> letters.TableRebuilt:
    """Restore the rows of `failed_work` that the dead-letter topic tells of. Raises LogUnavailable, StateUnavailable."""
    async with build.opened_state(config, create=True) as state, _letters(config) as topic:
        return await letters.rebuild_table(state, topic, actor=actor())


async def dlq_export(config: Config, out: letters.Lines, *, index: str | None = None) -> letters.LettersExported:
    """Write dead letters as NDJSON. Raises LogUnavailable, StateUnavailable."""
    async with build.opened_state(config) as state, _letters(config) as topic:
        told = await letters.export_letters(state, topic, out, index=index, actor=actor())
    if not told.letters:
        _require_declared(config, index)
    return told


async def dlq_import(config: Config, lines: Iterable[bytes]) -> letters.LettersImported:
    """Publish exported dead letters, and restore their rows. Raises SyncWorkerError, LogUnavailable, StateUnavailable."""
    async with build.opened_state(config, create=True) as state, _letters(config) as topic:
        await topic.ensure_topic()
        return await letters.import_letters(state, topic, lines, actor=actor())


async def dlq_erase(config: Config, *, index: str, document_id: str) -> letters.LettersErased:
    """Take one document's payloads out of topic and table. Raises LogUnavailable, StateUnavailable."""
    async with build.opened_state(config) as state, _letters(config) as topic:
        told = await letters.erase(state, topic, index=index, document_id=document_id, actor=actor())
    if not told.letters and not told.rows:
        _require_declared(config, index)
    return told


def _require_declared(config: Config, index: str | None) -> None:
    """Of what nothing was found: letters of an index that was declared once are still to be seen, and to be erased."""
    if index is not None and logical(index) not in config.indexes:
        require_declared([index], config.indexes)


@asynccontextmanager
async def _letters(config: Config) -> AsyncIterator[KafkaDeadLetters]:
    topic = build.build_dead_letters(config)
    try:
        yield topic
    finally:
        await topic.close()
