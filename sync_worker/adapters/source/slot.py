"""Whether somebody reads a replication slot."""

from __future__ import annotations

from sync_worker.adapters.source.fault import translated
from sync_worker.adapters.source.session import connect


async def slot_active(dsn: str, slot: str) -> bool | None:
    """None where there is no such slot. Raises SourceUnavailable, ConfigurationError."""
    with translated(f"looking at the replication slot {slot}"):
        async with await connect(dsn, statement_timeout_s=5) as connection:
            cursor = await connection.execute("select active from pg_replication_slots where slot_name = %s", [slot])
            row = await cursor.fetchone()
            return None if row is None else bool(row[0])
