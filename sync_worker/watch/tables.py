"""Each declared table: whether it is still the one that is streamed, and whether its changes name their rows."""

from __future__ import annotations

from sync_worker.failure.findings import FindingKind
from sync_worker.watch.facts import Recorded, TableSeen, Watched
from sync_worker.watch.look import Look, Noticed, lost

_TOLD = frozenset({FindingKind.TABLE_NOT_STREAMED})


def look_at_table(recorded: Recorded, name: str, table: TableSeen | None, watched: Watched) -> Look:
    """Gone, replaced, unlogged; with another key, or another replica identity."""
    subject = f"table {name}"
    indexes = watched.indexes_of(name)
    known = recorded.get((subject, "oid"))
    if table is None:
        if known is None:
            return Look(_TOLD)
        evidence = f"the table {name} is gone: it was dropped or renamed"
        return Look(_TOLD, (Noticed(FindingKind.TABLE_NOT_STREAMED, name, evidence), *lost(indexes, evidence)))
    noticed: list[Noticed] = []
    if table.persistence != "permanent":
        evidence = f"the table {name} is {table.persistence}: PostgreSQL never sends its changes"
        noticed += [Noticed(FindingKind.TABLE_NOT_STREAMED, name, evidence), *lost(indexes, evidence)]
    if known is not None and known != table.oid:
        evidence = (
            f"{name} is another table (oid {known} was, {table.oid} is): the old one was dropped or renamed, and no event says so"
        )
        noticed += lost(indexes, evidence)
    noticed += _identity(recorded.get((subject, "replica identity")), table, name, indexes)
    noticed += _key(recorded.get((subject, "key")), table, name, watched)
    facts = {
        (subject, "oid"): table.oid,
        (subject, "replica identity"): table.replica_identity,
        (subject, "key"): list(table.key),
    }
    return Look(_TOLD, tuple(noticed), facts)


def _identity(known: str | None, table: TableSeen, name: str, indexes: tuple[str, ...]) -> list[Noticed]:
    now = table.replica_identity
    if known is None or known == now:
        return []
    # With the whole row nothing is missing: a change to it needs no look.
    if now == "full":
        return []
    evidence = f"the replica identity of {name} was {known} and is {now}: deletes and key changes may have come without their key"
    return [Noticed(FindingKind.REPLICA_IDENTITY_CHANGED, index, evidence) for index in indexes]


def _key(known: list[str] | None, table: TableSeen, name: str, watched: Watched) -> list[Noticed]:
    """Debezium reads the key's columns from the catalogue of now: a connector that lags gives yesterday's rows today's key."""
    noticed = []
    for index in watched.indexes_of(name):
        declared = watched.indexes[index].key
        if known is not None and set(known) != set(table.key):
            evidence = f"the primary key of {name} was ({', '.join(known)}) and is ({', '.join(table.key)})"
        elif table.key and set(declared) != set(table.key):
            evidence = f"the primary key of {name} is ({', '.join(table.key)}), declared is ({', '.join(declared)})"
        else:
            continue
        noticed.append(Noticed(FindingKind.KEY_CHANGED, index, evidence))
    return noticed
