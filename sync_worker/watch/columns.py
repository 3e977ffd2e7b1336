"""Columns: what rewrites rows without an event (ADD COLUMN … DEFAULT, ALTER TYPE … USING), and a rename, which no event tells."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from sync_worker.failure.findings import FindingKind
from sync_worker.watch.facts import ColumnSeen, Recorded, TableSeen, Watched
from sync_worker.watch.look import Look, Noticed


def fingerprint(columns: Sequence[ColumnSeen]) -> str:
    """Of a table's columns, whatever their order. One that was dropped and added again looks the same."""
    text = json.dumps(sorted(columns), separators=(",", ":"))
    return blake2b(text.encode(), digest_size=16).hexdigest()


def look_at_columns(recorded: Recorded, name: str, table: TableSeen, watched: Watched) -> Look:
    """Only columns that an index's documents are made of concern it."""
    key = (f"table {name}", "columns")
    facts = {key: [list(column) for column in sorted(table.columns)]}
    known: list[list[Any]] | None = recorded.get(key)
    if known is None:
        return Look(facts=facts)
    was = {column.name: column for column in (ColumnSeen(*values) for values in known)}
    now = {column.name: column for column in table.columns}
    changed = {column: _words(was.get(column), now.get(column)) for column in was.keys() | now.keys()}
    noticed = []
    for index in watched.indexes_of(name):
        told = [words for column, words in sorted(changed.items()) if words and column in watched.indexes[index].columns]
        if told:
            evidence = f"columns of {name} changed, and rows with them, without an event: {'; '.join(told)}"
            noticed.append(Noticed(FindingKind.ROWS_CHANGED_UNSEEN, index, evidence))
    return Look(noticed=tuple(noticed), facts=facts)


def _words(was: ColumnSeen | None, now: ColumnSeen | None) -> str:
    """Empty where nothing changed. The default of a column that was there already concerns no row that was there."""
    if was is None and now is not None:
        return f"{now.name} is new" + (f", with the default {now.default} in old rows" if now.default else "")
    if was is not None and now is None:
        return f"{was.name} is gone: dropped or renamed"
    assert was is not None
    assert now is not None
    if (was.type_oid, was.modifier) != (now.type_oid, now.modifier):
        return f"{now.name} has another type"
    if was.generated != now.generated or (now.generated and was.default != now.default):
        return f"{now.name} is generated otherwise"
    return ""
