"""What the source needs before a connector starts, and what it keeps after one is deleted: publication and slot.

The only place of the project that writes to the source's catalogue; it never touches rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from sync_worker.adapters.source.columns import table_oid
from sync_worker.adapters.source.fault import translated

_OPTIONS = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"
_OPTIONS_18 = f"{_OPTIONS}, publish_generated_columns = stored"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `prepare_source` changed. A connector that runs already never snapshots what is in `added`: backfill it."""

    created: bool
    added: tuple[str, ...]
    removed: tuple[str, ...]


def publication_sql(tables: Sequence[str], publication: str, server_version: int, *, exists: bool = False) -> str:
    """The statements, for an operator who runs them as the tables' owner. `server_version` as in `server_version_num`."""
    return "\n".join(f"{statement.as_string(None)};" for statement in _statements(tables, publication, server_version, exists))


async def prepare_source(dsn: str, tables: Sequence[str], publication: str) -> Prepared:
    """Make the publication, or set it, to exactly these tables. May be repeated.

    Args:
        dsn: of a role that owns the tables and may CREATE in the database.

    Raises SourceUnavailable, and ConfigurationError for a missing table or a missing right.
    """
    with translated(f"preparing publication {publication}"):
        async with await psycopg.AsyncConnection.connect(dsn, connect_timeout=10) as connection:
            for table in tables:
                await table_oid(connection, table)
            cursor = await connection.execute("select 1 from pg_publication where pubname = %s", (publication,))
            exists = await cursor.fetchone() is not None
            cursor = await connection.execute(
                "select schemaname || '.' || tablename from pg_publication_tables where pubname = %s", (publication,)
            )
            before = {str(row[0]) for row in await cursor.fetchall()}
            for statement in _statements(tables, publication, connection.info.server_version, exists):
                await connection.execute(statement)
    return Prepared(created=not exists, added=tuple(sorted(set(tables) - before)), removed=tuple(sorted(before - set(tables))))


async def drop_slot(dsn: str, slot: str) -> bool:
    """False where there was none. Without this, a deleted connector's slot keeps WAL until the disk is full.

    Raises SourceUnavailable while the slot is still in use.
    """
    with translated(f"dropping slot {slot}"):
        async with await psycopg.AsyncConnection.connect(dsn, connect_timeout=10, autocommit=True) as connection:
            cursor = await connection.execute(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s", (slot,)
            )
            return cursor.rowcount > 0


async def drop_publication(dsn: str, publication: str) -> bool:
    """False where there was none."""
    with translated(f"dropping publication {publication}"):
        async with await psycopg.AsyncConnection.connect(dsn, connect_timeout=10, autocommit=True) as connection:
            cursor = await connection.execute("select 1 from pg_publication where pubname = %s", (publication,))
            if await cursor.fetchone() is None:
                return False
            await connection.execute(sql.SQL("drop publication {}").format(sql.Identifier(publication)))
            return True


def _statements(tables: Sequence[str], publication: str, server_version: int, exists: bool) -> list[sql.Composed]:
    name = sql.Identifier(publication)
    members = sql.SQL(", ").join(sql.Identifier(*table.split(".", 1)) for table in tables)
    options = sql.SQL(_OPTIONS_18 if server_version >= 180000 else _OPTIONS)
    if not exists:
        return [sql.SQL("CREATE PUBLICATION {} FOR TABLE {} WITH ({})").format(name, members, options)]
    return [
        sql.SQL("ALTER PUBLICATION {} SET TABLE {}").format(name, members),
        sql.SQL("ALTER PUBLICATION {} SET ({})").format(name, options),
    ]
