"""Removing documents whose rows are gone: found by comparing ids after the fill, removed by the owners of their partitions."""

from __future__ import annotations

from dataclasses import replace

from sync_worker.backfill.model import Backfill
from sync_worker.drift.model import Kind
from sync_worker.operations.backfill.parts import BackfillParts
from sync_worker.operations.backfill.proof import finished
from sync_worker.operations.barrier import BarrierNotPassed
from sync_worker.operations.drift import Wanted, compare, repair
from sync_worker.ports import Depth

_TIMEOUT_S = 600.0
_LIMIT = 10_000
"""Documents in one round; where there are more, there is another."""


async def prune_step(parts: BackfillParts, backfill: Backfill) -> Backfill:
    """One round. Rows that came without a document are written as well. Raises EnvironmentFault to be tried again."""
    target = parts.compared[backfill.index]
    try:
        drift, candidates = await compare(parts.drift, target, Wanted(Depth.IDS, limit=_LIMIT, timeout_s=_TIMEOUT_S))
        mended = await repair(
            parts.drift,
            target,
            list(zip(drift.items, candidates, strict=True)),
            log=parts.log,
            ghosts_only=False,
            execute=True,
            actor=backfill.run,
            timeout_s=_TIMEOUT_S,
        )
    except BarrierNotPassed as late:
        return replace(backfill, condition=late.report.cause)
    after = replace(
        backfill,
        ghosts=(backfill.ghosts or 0) + len(mended.deletes),
        missing=(backfill.missing or 0) + sum(item.kind is Kind.MISSING for item in drift.items if item.failed_work is None),
    )
    if drift.more:
        return replace(after, condition=f"{drift.more} documents more differ from the rows")
    if mended.waiting or mended.remaining:
        return replace(after, condition=f"{mended.waiting + len(mended.remaining)} documents are not mended yet")
    return await finished(parts, after)
