"""Waiting until every row of a scan is acknowledged, after seeing that they are all there."""

from __future__ import annotations

from dataclasses import replace

from sync_worker.backfill.model import Backfill, Stage
from sync_worker.operations.backfill.parts import BackfillParts, fed_by
from sync_worker.operations.backfill.proof import finished
from sync_worker.operations.backfill.rows import length, marks_of, place_now, sent_rows
from sync_worker.operations.backfill.scanning import ask
from sync_worker.operations.barrier import BarrierNotPassed
from sync_worker.watch.fills import passed

_SLICE_S = 5.0
_MOST_SIGNALS = 8


async def apply_step(parts: BackfillParts, backfill: Backfill) -> Backfill:
    """Raises EnvironmentFault to be tried again."""
    topic = parts.watched[backfill.index].topic
    if not backfill.ends:
        return await _ends(parts, backfill, topic)
    marks = await marks_of(parts.state, topic, backfill.ends)
    applied = length(backfill.starts, {n: min(mark.next_offset, backfill.ends.get(n, 0)) for n, mark in marks.items()})
    backfill = replace(backfill, applied=min(applied, backfill.sent))
    if any(mark.topic_id != backfill.topic_id for mark in marks.values()):
        return replace(backfill, stage=Stage.REQUESTED, ends={}, condition="the topic was deleted and made anew; it begins again")
    if not all(passed(backfill.ends, backfill.topic_id, marks, name) for name in fed_by(backfill.table, parts.watched)):
        return replace(backfill, condition=backfill.condition or "the workers have not acknowledged every row yet")
    done = replace(
        backfill,
        failed=await parts.state.failures_within(backfill, topic),
        applied=backfill.sent,
        applied_at=parts.clock.now(),
        condition="",
    )
    return replace(done, stage=Stage.PRUNING) if done.prune else await finished(parts, done)


async def _ends(parts: BackfillParts, backfill: Backfill, topic: str) -> Backfill:
    """Where its rows end, known once everything that the connector had sent by now is confirmed and applied."""
    try:
        await parts.barrier.require(fed_by(backfill.table, parts.watched), strict=True, timeout_s=_SLICE_S)
    except BarrierNotPassed as late:
        marks = await marks_of(parts.state, topic, backfill.starts)
        applied = length(backfill.starts, {number: mark.next_offset for number, mark in marks.items()})
        return replace(backfill, applied=min(applied, backfill.total), condition=late.report.cause)
    place = await place_now(parts.log, topic)
    scanned = backfill.scanned or 0
    # Debezium counts a piece that it had to read again twice; after a restart it counts only the rest.
    wanted = min(scanned, backfill.total)
    sent = await sent_rows(parts.log, topic, backfill.starts, place.ends, wanted)
    if sent >= wanted and not (scanned == 0 and backfill.total > 0 and len(backfill.signals) == 1):
        return replace(backfill, ends=dict(place.ends), sent=sent, condition="")
    what = f"Debezium says that it read {scanned} of {backfill.total} rows, and {sent} of them are in the log"
    if len(backfill.signals) >= _MOST_SIGNALS:
        return replace(
            backfill, stage=Stage.FAILED, condition=f"{what}, {len(backfill.signals)} times", ended_at=parts.clock.now()
        )
    return replace(
        await ask(parts, backfill),
        condition=f"{what}: it dropped a small scan behind a message, as it is known to do; it was asked again",
    )
