"""The publication: what it does not send is never missed by anybody downstream."""

from __future__ import annotations

from sync_worker.failure.findings import FindingKind
from sync_worker.watch.facts import Recorded, SourceSeen, TableSeen, Watched
from sync_worker.watch.look import Look, Noticed, lost

_OPERATIONS = frozenset({"insert", "update", "delete", "truncate"})
_TOLD = frozenset({FindingKind.PUBLICATION_NARROWED})


def look_at_publication(recorded: Recorded, source: SourceSeen, watched: Watched) -> Look:
    """A missing publication or member, operations, columns or rows left out, partitions under their own names."""
    subject = watched.publication
    key = (f"publication {subject}", "seen")
    if not source.publication_exists:
        if key not in recorded:
            return Look(_TOLD)  # `connector apply` makes it
        evidence = f"the publication {subject} is gone: PostgreSQL sends nothing"
        return Look(_TOLD, (Noticed(FindingKind.PUBLICATION_NARROWED, subject, evidence), *lost(watched.indexes, evidence)))
    noticed: list[Noticed] = []
    problems = []
    for name, table in source.tables.items():
        found = [] if table is None else _left_out(table, watched, name)
        if found:
            evidence = f"the publication {subject} {' and '.join(found)}"
            problems.append(evidence)
            noticed += lost(watched.indexes_of(name), evidence)
    if problems:
        noticed.insert(0, Noticed(FindingKind.PUBLICATION_NARROWED, subject, "; ".join(problems)))
    return Look(_TOLD, tuple(noticed), {key: True})


def _left_out(table: TableSeen, watched: Watched, name: str) -> list[str]:
    member = table.member
    if member is None:
        return [f"does not send {name}"]
    found = []
    if missing := sorted(_OPERATIONS - member.operations):
        found.append(f"does not send {', '.join(missing)} of {name}")
    if table.kind == "partitioned table" and not member.via_root:
        found.append(f"sends the partitions of {name} under their own names, which nobody reads")
    if member.row_filter is not None:
        found.append(f"sends only some rows of {name}")
    used = frozenset().union(*(watched.indexes[index].columns for index in watched.indexes_of(name)))
    # A column that the table lacks is the declaration's mistake, and one that is never published can't have been narrowed.
    there = {column.name for column in table.columns if not column.generated}
    if missing := sorted(used & there - member.columns):
        found.append(f"leaves out the columns {', '.join(missing)} of {name}")
    return found
