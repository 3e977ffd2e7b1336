"""The end of a backfill: what it proves, stored, and the findings that this clears."""

from __future__ import annotations

from dataclasses import replace

import structlog

from sync_worker.backfill.model import Backfill, Stage
from sync_worker.failure.findings import Proof
from sync_worker.operations.backfill.parts import BackfillParts
from sync_worker.operations.findings import clear_proven
from sync_worker.operations.watch.filling import completed_fill
from sync_worker.watch.fill import FillProof
from sync_worker.watch.fills import PendingFill

log = structlog.get_logger(__name__)


async def finished(parts: BackfillParts, backfill: Backfill) -> Backfill:
    """Raises StateUnavailable; may be repeated."""
    if backfill.complete:
        await _prove(parts, backfill)
    return replace(backfill, stage=Stage.DONE, condition="", ended_at=parts.clock.now())


async def _prove(parts: BackfillParts, backfill: Backfill) -> None:
    index, watched = backfill.index, parts.watched[backfill.index]
    record = (await parts.state.index_records([index])).get(index)
    if record is None:
        return  # nobody has written to it yet: there was nothing to fill it with
    end = PendingFill(FillProof.BACKFILL, backfill.topic_id, backfill.ends)
    recorded = await parts.state.recorded_facts()
    await parts.state.save_fills([completed_fill(watched, record, end, recorded, now=parts.clock.now())])
    places = [f"{watched.topic}:{number}" for number in backfill.ends] if parts.compared[index].alone else []
    cleared = await clear_proven(
        parts.state,
        index=index,
        proof=Proof.FILL,
        began=backfill.started_at,
        by=backfill.run,
        subjects=[*places, watched.topic, watched.table] if parts.compared[index].alone else [],
    )
    log.info("filled", index=index, proof=FillProof.BACKFILL.value, cleared=[f"{one.kind} {one.subject}" for one in cleared])
