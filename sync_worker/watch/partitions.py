"""Partitions of a partitioned table: ATTACH, DETACH, DROP and TRUNCATE of one move rows without an event."""

from __future__ import annotations

from sync_worker.failure.findings import FindingKind
from sync_worker.watch.facts import Recorded, TableSeen, Watched
from sync_worker.watch.look import Look, Noticed


def look_at_partitions(recorded: Recorded, name: str, table: TableSeen, watched: Watched) -> Look:
    """A new partition that holds nothing yet is no news: its rows will be streamed."""
    key = (f"table {name}", "partitions")
    facts = {key: {str(oid): partition for oid, partition in sorted(table.partitions.items())}}
    known: dict[str, str] | None = recorded.get(key)
    if known is None:
        return Look(facts=facts)
    was = {int(oid): partition for oid, partition in known.items()}
    gone = sorted(was[oid] for oid in was.keys() - table.partitions.keys())
    new = sorted(table.partitions[oid] for oid in table.partitions.keys() - was.keys() - table.empty_partitions)
    if not gone and not new:
        return Look(facts=facts)
    told = [f"{', '.join(gone)} left"] if gone else []
    told += [f"{', '.join(new)} came with rows"] if new else []
    evidence = f"partitions of {name} changed, and their rows came or went without an event: {' and '.join(told)}"
    noticed = tuple(Noticed(FindingKind.ROWS_CHANGED_UNSEEN, index, evidence) for index in watched.indexes_of(name))
    return Look(noticed=noticed, facts=facts)
