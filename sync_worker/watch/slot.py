"""The replication slot: the only memory that PostgreSQL has of what it still has to send."""

from __future__ import annotations

from sync_worker.failure.findings import FindingKind
from sync_worker.watch.facts import ConnectorSeen, Recorded, SlotSeen, Watched
from sync_worker.watch.look import Look, Noticed, lost

_TOLD = frozenset({FindingKind.SLOT_MISSING, FindingKind.SLOT_INVALID, FindingKind.SLOT_AT_RISK})


def look_at_slot(recorded: Recorded, slot: SlotSeen | None, connector: ConnectorSeen | None, watched: Watched) -> Look:
    """Missing, given up by PostgreSQL, moved by somebody else, or made anew.

    Args:
        slot: seen before `connector`: Connect stores a position first and confirms it then, so a slot that is ahead was moved.
        connector: None where Connect could not be asked, or has none of this name.
    """
    subject = watched.slot
    key = (f"slot {subject}", "seen")
    position = connector.position if connector is not None else None
    if slot is None:
        if key not in recorded and position is None:
            return Look(_TOLD)  # nothing ever read from it: the connector makes it with its first start
        evidence = f"the replication slot {subject} is gone: PostgreSQL keeps nothing for the connector any more"
        return Look(_TOLD, (Noticed(FindingKind.SLOT_MISSING, subject, evidence), *lost(watched.indexes, evidence)))
    noticed: list[Noticed] = []
    if slot.wal_status == "lost" or slot.invalidation:
        why = f"invalidated: {slot.invalidation}" if slot.invalidation else "wal_status lost"
        evidence = f"PostgreSQL gave up the replication slot {subject} ({why}) and removed WAL that was not read"
        noticed = [Noticed(FindingKind.SLOT_INVALID, subject, evidence), *lost(watched.indexes, evidence)]
    elif slot.wal_status == "unreserved":
        evidence = f"the replication slot {subject} is behind max_slot_wal_keep_size: a checkpoint may remove what it needs"
        noticed = [Noticed(FindingKind.SLOT_AT_RISK, subject, evidence)]
    # It may be lower than it was: PostgreSQL stores it with a checkpoint, and goes back to that after a crash.
    if position is not None and slot.confirmed is not None and slot.confirmed > position:
        evidence = (
            f"the replication slot {subject} stands at {lsn(slot.confirmed)}, but Connect has stored {lsn(position)}: somebody "
            "moved the slot or made it anew, and PostgreSQL never sends what lies between"
        )
        noticed += lost(watched.indexes, evidence)
    return Look(_TOLD, tuple(noticed), {key: True})


def lsn(position: int) -> str:
    """As PostgreSQL writes it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"
