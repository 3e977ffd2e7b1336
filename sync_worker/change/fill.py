"""Changes that do not say all are made whole before anything is written: those without their unchanged TOAST columns, deletes
of moved keys, which do not say whether another row bears the key by now, and rows of an incremental snapshot, which may be
older than what the log holds before them.

Debezium 3.7.0 reads a snapshot's first chunk beside the thread that streams (DBZ-8674): a change of one of its rows that
streams in at that moment is not looked for among them, and the row as it was before comes behind the change.

A partial update is never sent to the server: it needs proof that the document there is its base, and that proof is gone after
any failure, restart or clear. What a change lacks comes from an earlier row of the same key in the same list, else from the
row as it is in the source now. That row may be newer than the change; what made it newer follows in the log and wins.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from sync_worker.change.model import ASKED, Change, Operation, Row


@dataclass(frozen=True, slots=True)
class FillPlan:
    """What is left to do for one list of changes.

    Attributes:
        changes: as given, completed where the list itself sufficed; None where a later change of the same key makes it
            pointless to complete this one.
        positions: where in `changes` a row has to be fetched.
        keys: the keys of those rows, in the order of `positions`, each once.
    """

    changes: tuple[Change | None, ...]
    positions: tuple[int, ...]
    keys: tuple[Mapping[str, Any], ...]


def incomplete(change: Change, columns: Collection[str]) -> bool:
    """Whether the source has to be asked: a column that somebody needs is unavailable, the key may have a new row, or the row
    may be an old one."""
    return (
        change.moved
        or change.snapshot == ASKED
        or (bool(change.unavailable) and any(column in columns for column in change.unavailable))
    )


def plan(changes: Sequence[Change], columns: Collection[str]) -> FillPlan:
    """Complete what the list can complete by itself, and say which rows have to be fetched.

    Args:
        changes: of one table, in offset order, none of the same key left out between them.
        columns: what the table's indexes need; an unavailable column that nobody needs completes nothing.
    """
    filled: list[Change | None] = list(changes)
    known: dict[bytes, Row] = {}
    last: dict[bytes, int] = {}
    lacking: list[int] = []
    for position, change in enumerate(changes):
        if change.operation is Operation.TRUNCATE:
            known.clear()
            continue
        if change.operation is Operation.MESSAGE:
            continue
        key = _identity(change)
        last[key] = position
        if change.row is None:
            known.pop(key, None)
            if change.moved:
                lacking.append(position)
            continue
        if change.snapshot == ASKED:
            known.pop(key, None)
            lacking.append(position)
            continue
        row = change.row
        # Only an update has the earlier row of its key as its base: a create that lacks columns is a row that changed its
        # key, and what bore the new key before it was another row.
        if change.unavailable and change.operation is Operation.UPDATE and key in known:
            earlier = known[key]
            taken = {column: earlier[column] for column in change.unavailable if column in earlier}
            row = {**taken, **row}
            still = tuple(column for column in change.unavailable if column not in taken)
            change = replace(change, row=row, unavailable=still)
            filled[position] = change
        known[key] = row
        if incomplete(change, columns):
            lacking.append(position)
    positions = []
    for position in lacking:
        if last[_identity(changes[position])] == position:
            positions.append(position)
        elif changes[position].row is not None:
            filled[position] = None
    return FillPlan(tuple(filled), tuple(positions), tuple(changes[position].key for position in positions))


def complete(plan: FillPlan, rows: Sequence[Row | None]) -> tuple[Change | None, ...]:
    """Whole changes, in the order given to `plan`. A row that is gone makes its change a DELETE.

    Args:
        rows: what the source holds now for `plan.keys`, in that order.
    """
    filled = list(plan.changes)
    for position, row in zip(plan.positions, rows, strict=True):
        change = filled[position]
        assert change is not None
        if row is None:
            filled[position] = replace(change, operation=Operation.DELETE, row=None, before=None, unavailable=())
        else:
            operation = Operation.UPDATE if change.moved else change.operation
            filled[position] = replace(change, operation=operation, row=dict(row), unavailable=(), moved=False)
    return tuple(filled)


def _identity(change: Change) -> bytes:
    """Equal for equal keys, and hashable whatever a stranger's event holds."""
    return orjson.dumps(change.key, option=orjson.OPT_SORT_KEYS)
