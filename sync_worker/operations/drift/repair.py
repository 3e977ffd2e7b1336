"""Mending exactly what a comparison named: the worker writes the rows as they are, and removes the proven ghosts."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import orjson

from sync_worker.change.model import TopicPartition
from sync_worker.change.partitioner import partition_of
from sync_worker.drift.model import Candidate, Kind
from sync_worker.errors import LogUnavailable
from sync_worker.operations.audit import audited
from sync_worker.operations.drift.comparing import DriftParts, described, open_failures
from sync_worker.operations.drift.looks import settle
from sync_worker.operations.drift.parts import Compared
from sync_worker.operations.drift.report import DriftItem, Repair
from sync_worker.operations.workers import require_worker
from sync_worker.ports import Log, Rewrite

_LOOK_S = 0.2


async def repair(
    parts: DriftParts,
    target: Compared,
    found: Sequence[tuple[DriftItem, Candidate]],
    *,
    log: Log,
    ghosts_only: bool,
    execute: bool,
    actor: str,
    timeout_s: float,
) -> Repair:
    """Have these documents made what their rows say, or say what would be done; then compare exactly them once more.

    Refused rows are left alone, and so is what an open failure explains: `retry` tries that again.

    Raises SyncWorkerError where no worker runs, and what a comparison raises.
    """
    chosen = [
        (item, candidate)
        for item, candidate in found
        if item.kind is not Kind.REFUSED and item.failed_work is None and (item.kind is Kind.GHOST or not ghosts_only)
    ]
    writes = tuple(item.document_id for item, _ in chosen if item.kind is not Kind.GHOST)
    deletes = tuple(item.document_id for item, _ in chosen if item.kind is Kind.GHOST)
    left_alone = len(found) - len(chosen)
    if not execute or not chosen:
        return Repair(not execute, writes, deletes, left_alone, 0, ())
    await require_worker(parts.state, parts.clock)
    run = uuid4().hex[:12]
    details = {"writes": len(writes), "deletes": len(deletes), "uid": target.uid}
    async with audited(parts.state, actor, "drift prune" if ghosts_only else "drift repair", target.index, details) as told:
        candidates = [candidate for _, candidate in chosen]
        await parts.state.ask_for_rewrites(await _requests(target, candidates, log, run))
        try:
            waiting = await _written(parts, run, timeout_s)
        except BaseException:
            await parts.state.withdraw_rewrites(run)
            raise
        settled = await settle(target, candidates, barrier=parts.barrier, content=True, timeout_s=timeout_s)
        failures = await open_failures(parts.state, target.index)
        remaining = tuple(described(difference, failures) for _, difference in settled.differences)
        told["waiting"], told["remaining"] = waiting, len(remaining)
    return Repair(False, writes, deletes, left_alone, waiting, remaining)


async def _requests(target: Compared, candidates: Sequence[Candidate], log: Log, run: str) -> list[Rewrite]:
    count = (await log.partition_counts([target.topic])).get(target.topic)
    if count is None:
        raise LogUnavailable(f"topic {target.topic} is not there", remedy="sync-worker connector status")

    def place(candidate: Candidate) -> TopicPartition:
        # An id that no row can bear belongs to nobody's order: one owner is as good as another.
        number = 0 if count == 1 or candidate.key is None else partition_of(orjson.dumps(dict(candidate.key)), count)
        return TopicPartition(target.topic, number)

    return [Rewrite(target.index, one.document_id, one.key, place(one), run) for one in candidates]


async def _written(parts: DriftParts, run: str, timeout_s: float) -> int:
    """Wait until the workers are done; how many are left at the end of the time."""
    deadline = parts.clock.monotonic() + timeout_s
    while (left := await parts.state.rewrites_left(run)) and parts.clock.monotonic() < deadline:
        await parts.clock.sleep(_LOOK_S)
    return left
