"""Whether a database is ready to be streamed: server, role, slot, publication, tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import psycopg

from sync_worker.adapters.source.catalogue import describe
from sync_worker.adapters.source.fault import translated
from sync_worker.adapters.source.session import connect
from sync_worker.adapters.source.soundness import SourceProblem, error, table_problems, warning
from sync_worker.errors import ConfigurationError

_SERVER = """
select current_setting('server_version_num')::int, current_setting('wal_level'), pg_is_in_recovery(),
       (select rolreplication or rolsuper from pg_roles where rolname = current_user), current_user::text,
       current_setting('max_replication_slots')::int, (select count(*) from pg_replication_slots)::int,
       current_database()::text
"""
_SLOT = "select plugin::text, database::text, wal_status::text from pg_replication_slots where slot_name = %s"
_PUBLICATION = (
    "select puballtables, (select array_agg(schemaname || '.' || tablename order by 1) from pg_publication_tables "
    "where pubname = p.pubname) from pg_publication p where pubname = %s"
)


async def check_source(
    dsn: str,
    tables: Sequence[str],
    slot: str,
    publication: str,
    *,
    columns: Mapping[str, Collection[str]] | None = None,
) -> list[SourceProblem]:
    """Everything that would keep these tables from being streamed whole, all at once. Changes nothing.

    Args:
        dsn: of the connector's own role: its rights are checked.
        columns: table → the columns that declarations use; problems of other columns are then passed over.

    Raises SourceUnavailable, and ConfigurationError where nothing could be checked at all (credentials, database).
    """
    with translated("checking the source"):
        async with await connect(dsn) as connection:
            version, problems = await _server(connection, slot)
            problems += await _publication(connection, publication, tables)
            for table in tables:
                try:
                    description = await describe(connection, table)
                except ConfigurationError as missing:
                    problems.append(error(table, missing.problems[0], missing.remedy or "check `table` of the index"))
                    continue
                used = None if columns is None else columns.get(table)
                problems += table_problems(description, publication, version, used)
            return list(dict.fromkeys(problems))


async def _server(connection: psycopg.AsyncConnection[Any], slot: str) -> tuple[int, list[SourceProblem]]:
    row = await (await connection.execute(_SERVER)).fetchone()
    assert row is not None
    version, wal_level, standby, may_replicate, role, slots_max, slots_used, database = row
    problems = []
    if version < 130000:
        problems.append(error("server", "is older than PostgreSQL 13", "upgrade: read-only backfills need 13"))
    if wal_level != "logical":
        problems.append(
            error("server", f"wal_level is {wal_level}", "ALTER SYSTEM SET wal_level = logical, then restart PostgreSQL")
        )
    if standby:
        problems.append(error("server", "is a standby: the heartbeat can't write there", "connect to the primary"))
    if not may_replicate:
        problems.append(error(f"role {role}", "lacks REPLICATION", f"ALTER ROLE {role} REPLICATION"))
    found = await (await connection.execute(_SLOT, (slot,))).fetchone()
    subject = f"slot {slot}"
    if found is None:
        if slots_used >= slots_max:
            mend = "drop slots that nobody reads, or raise max_replication_slots"
            problems.append(error("server", f"all {slots_max} replication slots are used", mend))
        return version, problems
    plugin, of_database, wal_status = found
    if plugin != "pgoutput":
        problems.append(error(subject, f"uses the plugin {plugin}", "name another slot, or drop this one"))
    if of_database != database:
        problems.append(error(subject, f"belongs to the database {of_database}", "name another slot"))
    if wal_status == "lost":
        mend = "drop the slot, start the connector with a new name, then `sync-worker backfill --prune` every table"
        problems.append(error(subject, "has lost WAL that was not read yet: changes are gone from the stream", mend))
    elif wal_status == "unreserved":
        problems.append(warning(subject, "is about to lose WAL", "start the connector, or raise max_slot_wal_keep_size"))
    return version, problems


async def _publication(connection: psycopg.AsyncConnection[Any], publication: str, tables: Sequence[str]) -> list[SourceProblem]:
    found = await (await connection.execute(_PUBLICATION, (publication,))).fetchone()
    subject = f"publication {publication}"
    if found is None:
        return [error(subject, "does not exist", "run `sync-worker connector apply`, which makes it")]
    all_tables, members = found
    if all_tables:
        return [warning(subject, "publishes every table of the database", "make one for the declared tables alone")]
    if extra := sorted(set(members or ()) - set(tables)):
        return [
            warning(subject, f"also publishes {', '.join(extra)}", "run `sync-worker connector apply`, which sets its tables")
        ]
    return []
