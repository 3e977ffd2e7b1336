"""How a replication slot is: whether somebody reads it, and how much is kept for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sync_worker.adapters.source.fault import translated
from sync_worker.adapters.source.session import connect


async def slot_active(dsn: str, slot: str) -> bool | None:
    """None where there is no such slot. Raises SourceUnavailable, ConfigurationError."""
    with translated(f"looking at the replication slot {slot}"):
        async with await connect(dsn, statement_timeout_s=5) as connection:
            cursor = await connection.execute("select active from pg_replication_slots where slot_name = %s", [slot])
            row = await cursor.fetchone()
            return None if row is None else bool(row[0])


# A standby has no current position of its own; what it has received stands in for it.
_STANDING = """
select s.active, (now.at - s.restart_lsn)::bigint, (now.at - s.confirmed_flush_lsn)::bigint, s.wal_status, s.safe_wal_size
from pg_replication_slots s,
     (select case when pg_is_in_recovery() then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end as at) now
where s.slot_name = %s
"""


@dataclass(frozen=True, slots=True)
class SlotStanding:
    """Bytes of WAL.

    Attributes:
        retained: what PostgreSQL keeps for it; None where it keeps nothing any more.
        unconfirmed: what its reader has not confirmed.
        safe: how much more may be written before it is lost; None for no limit.
    """

    active: bool
    retained: int | None
    unconfirmed: int | None
    wal_status: str | None
    safe: int | None


async def slot_standing(dsn: str, slot: str) -> SlotStanding | None:
    """None where there is no such slot. PostgreSQL 13 or later. Raises SourceUnavailable, ConfigurationError."""
    with translated(f"looking at the replication slot {slot}"):
        async with await connect(dsn, statement_timeout_s=5) as connection:
            cursor = await connection.execute(_STANDING, [slot])
            row: tuple[Any, ...] | None = await cursor.fetchone()
            return None if row is None else SlotStanding(*row)
