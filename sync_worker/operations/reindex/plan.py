"""What a rebuild would do, and what it is expected to take. Changes nothing."""

from __future__ import annotations

from sync_worker.operations.reindex.report import IndexPlan

_ROUNDS = 2
"""Every row goes once through the log into the index, and once through the comparison of the drift gate, which is faster."""


def plan(
    *,
    index: str,
    uid: str,
    rows: int,
    documents: int,
    rate: float | None,
    disk_bytes: int | None,
    obstacles: tuple[str, ...],
) -> IndexPlan:
    """
    Args:
        rate: documents in a second that the server took into this index, as its history shows.
    """
    target = f"{uid}__…"
    steps = (
        f"create {target} with the declared primary key and settings, and read them back",
        f"every worker writes to {uid} and {target}",
        f"{rows} rows by an incremental snapshot into {target} alone",
        "gates: settings, tasks, count, samples, drift",
        "every worker stands still with nothing in flight; the two are swapped; writing goes on to both",
        "until --finish: --rollback swaps back and loses nothing",
        "--finish: every worker writes to one again, and the old index is deleted",
    )
    seconds = None if rate is None else round(_ROUNDS * rows / rate, 1)
    return IndexPlan(index, uid, target, rows, documents, seconds, disk_bytes, steps, obstacles)
