"""How long both ways of filling an index would take, from what was measured. Pure, but for its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sync_worker.backfill.model import Backfill, Stage
from sync_worker.operations.backfill.report import BackfillPlan, Way

_ENOUGH_ROWS = 1_000
"""A smaller backfill, or batch, takes the time that anything takes, and tells nothing of a rate."""

_WORTH_IT = 1.25
"""A reindex needs twice the disk and a pause of the writers: it has to be faster by so much."""


@dataclass(frozen=True, slots=True)
class ServerRates:
    """Documents in a second, as the index's own task history shows; None where it shows none.

    Attributes:
        present: of the newest large batches. fresh: of the first ones, into an index that was empty.
    """

    present: float | None
    fresh: float | None


def plan(
    *,
    index: str,
    table: str,
    where: str,
    rows: int,
    documents: int | None,
    fed: Sequence[str],
    history: Sequence[Backfill],
    rates: ServerRates,
    obstacles: Sequence[str],
) -> BackfillPlan:
    """`history`: earlier backfills, newest first."""
    in_place, in_place_from = _in_place(table, rows, documents, history, rates)
    reindex = None if rates.fresh is None else rows / rates.fresh
    reindex_from = (
        "no task history of the index being filled from empty"
        if rates.fresh is None
        else f"{rates.fresh:,.0f} documents/s in the first batches of the index"
    )
    way, reason = _recommended(where, documents, in_place, reindex)
    return BackfillPlan(
        index=index,
        table=table,
        where=where,
        rows=rows,
        documents=documents,
        fed=tuple(fed),
        in_place_s=None if in_place is None else round(in_place, 1),
        in_place_from=in_place_from,
        reindex_s=None if reindex is None else round(reindex, 1),
        reindex_from=reindex_from,
        recommended=way,
        reason=reason,
        obstacles=tuple(obstacles),
    )


def _in_place(
    table: str, rows: int, documents: int | None, history: Sequence[Backfill], rates: ServerRates
) -> tuple[float | None, str]:
    for one in history:
        if one.table == table and one.stage is Stage.DONE and one.applied_at is not None and one.applied >= _ENOUGH_ROWS:
            rate = one.applied / max(0.001, one.applied_at - one.started_at)
            return rows / rate, f"{rate:,.0f} rows/s in {one.run}"
    rate_now = rates.fresh if not documents else rates.present
    if rate_now is None:
        return None, "no earlier backfill of the table, and no large batch in the index's task history"
    return rows / rate_now, f"{rate_now:,.0f} documents/s in the index's batches"


def _recommended(where: str, documents: int | None, in_place: float | None, reindex: float | None) -> tuple[Way, str]:
    if where:
        return Way.IN_PLACE, "only some rows are asked for"
    if documents is None:
        return Way.IN_PLACE, "the index is missing: there is nothing that searches would miss meanwhile"
    if documents == 0:
        return Way.IN_PLACE, "the index is empty: filling it is what a reindex would do"
    if in_place is None or reindex is None:
        return Way.IN_PLACE, "not enough was measured to say that a reindex would be faster"
    if reindex * _WORTH_IT < in_place:
        return (
            Way.REINDEX,
            f"a fresh index takes {in_place / reindex:.1f} times less, and searches see the old one until it is ready",
        )
    return Way.IN_PLACE, "a fresh index would not be faster by enough"
