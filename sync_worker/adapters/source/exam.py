"""What `doctor` asks of PostgreSQL: its clock, and the settings that decide what becomes of a slot."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import psycopg

from sync_worker.adapters.source.fault import translated
from sync_worker.adapters.source.session import connect

_SETTINGS = ("max_slot_wal_keep_size", "idle_replication_slot_timeout", "synchronized_standby_slots")
"""One that this version does not have is null."""
_ASKED = """
select extract(epoch from clock_timestamp())::float8, current_setting(%s, true), current_setting(%s, true),
       current_setting(%s, true), (select count(*)::int from pg_stat_replication r where not exists
         (select 1 from pg_replication_slots s where s.active_pid = r.pid and s.slot_type = 'logical'))
"""
# Columns that only later versions have are read out of JSON.
_SLOT = """
select to_jsonb(s) ->> 'failover', to_jsonb(s) ->> 'synced',
       extract(epoch from clock_timestamp() - (to_jsonb(s) ->> 'inactive_since')::timestamptz)::float8,
       (case when pg_is_in_recovery() then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end - s.restart_lsn)::bigint
from pg_replication_slots s where s.slot_name = %s
"""


@dataclass(frozen=True, slots=True)
class ServerExam:
    """See `operations.doctor.parts.SourceExam`."""

    version: int
    skew_s: float
    settings: dict[str, str | None]
    standbys: int
    failover: bool | None
    synced: bool | None
    inactive_s: float | None
    retained: int | None


async def examine_server(dsn: str, slot: str) -> ServerExam:
    """Any role may ask. Raises SourceUnavailable, ConfigurationError."""
    with translated("examining PostgreSQL"):
        async with await connect(dsn, statement_timeout_s=10) as connection:
            # The second answer: the first has the query planned, and the connection's own delays in it.
            await _row(connection, _ASKED, _SETTINGS)
            before = time.time()
            asked = await _row(connection, _ASKED, _SETTINGS)
            middle = (before + time.time()) / 2
            found = await _row(connection, _SLOT, [slot]) or (None, None, None, None)
            assert asked is not None
            clock, *settings, standbys = asked
            failover, synced, inactive_s, retained = found
            return ServerExam(
                connection.info.server_version,
                float(clock) - middle,
                dict(zip(_SETTINGS, settings, strict=True)),
                standbys,
                _truth(failover),
                _truth(synced),
                inactive_s,
                retained,
            )


def _truth(text: str | None) -> bool | None:
    return None if text is None else text == "true"


async def _row(connection: psycopg.AsyncConnection[Any], query: str, values: Any) -> tuple[Any, ...] | None:
    cursor = await connection.execute(query, values)
    row: tuple[Any, ...] | None = await cursor.fetchone()
    return row
