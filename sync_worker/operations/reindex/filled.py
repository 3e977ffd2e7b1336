"""What a swap means for the record of when the index was filled: the new one was, and the old one is as old as it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sync_worker.failure.findings import Proof
from sync_worker.operations.findings import clear_proven
from sync_worker.operations.reindex.parts import ReindexParts
from sync_worker.operations.watch.filling import completed_fill
from sync_worker.rebuild.model import Rebuild
from sync_worker.watch.fill import Fill, FillProof
from sync_worker.watch.fills import PendingFill


async def before_swap(parts: ReindexParts, rebuild: Rebuild) -> Mapping[str, Any]:
    """What has to be remembered of the old index's fill, for a way back."""
    fill = (await parts.state.fills()).get(rebuild.index)
    if rebuild.new_is_live or fill is None:
        return {}
    ends = {str(number): end for number, end in fill.ends.items()}
    return {"old_fill": {**asdict(fill), "ends": ends, "proof": fill.proof.value}}


async def after_swap(parts: ReindexParts, rebuild: Rebuild) -> None:
    """Store the fill of the index that is live now. The new one was filled in full and held no ghost when its gates were passed:
    that settles what was open about the old one. Raises StateUnavailable; may be repeated."""
    state = parts.state
    if not rebuild.new_is_live:
        if (old := rebuild.details.get("old_fill")) is not None:
            ends = {int(number): end for number, end in old["ends"].items()}
            await state.save_fills([Fill(**{**old, "ends": ends, "proof": FillProof(old["proof"])})])
        return
    record = (await state.index_records([rebuild.index])).get(rebuild.index)
    filled = rebuild.details.get("filled")
    if record is None or filled is None:
        return
    ends = {int(number): end for number, end in filled["ends"].items()}
    end = PendingFill(FillProof.BACKFILL, filled["topic_id"], ends)
    recorded = await state.recorded_facts()
    await state.save_fills([completed_fill(parts.watched, record, end, recorded, now=parts.clock.now())])
    await clear_proven(state, index=rebuild.index, proof=Proof.FILL, began=rebuild.started_at, by=f"reindex {rebuild.id}")
