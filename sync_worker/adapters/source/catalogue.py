"""What the database's catalogue says about a table, for `init` and `check`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from sync_worker.adapters.source.columns import Column, columns_of, table_oid
from sync_worker.adapters.source.fault import translated
from sync_worker.adapters.source.session import connect

KINDS = {"r": "table", "p": "partitioned table", "v": "view", "m": "materialized view", "f": "foreign table", "S": "sequence"}
IDENTITIES = {"d": "default", "n": "nothing", "f": "full", "i": "index"}
PERSISTENCE = {"p": "permanent", "u": "unlogged", "t": "temporary"}

_TABLE = """
select c.relkind::text, c.relpersistence::text, c.relreplident::text, c.relispartition, greatest(c.reltuples, 0)::bigint,
       has_table_privilege(c.oid, 'SELECT')
from pg_class c where c.oid = %s::oid
"""

# Debezium keys a table without primary key by a unique index, if all of its columns are plain and not null.
_KEYS = """
select i.indisprimary, i.indisreplident, i.indimmediate,
       array(select a.attname::text from unnest(i.indkey) with ordinality as k(attnum, at)
             join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
             where k.at <= i.indnkeyatts order by k.at)
from pg_index i
where i.indrelid = %s::oid and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
order by i.indisprimary desc, i.indexrelid
"""

# A partitioned table that is published as its leaves is a member, but not listed in pg_publication_tables.
_PUBLICATIONS = """
select p.pubname, p.pubviaroot, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, t.attnames::text[], t.rowfilter
from pg_publication p
left join pg_publication_tables t on t.pubname = p.pubname and t.schemaname = %s and t.tablename = %s
where t.pubname is not null or p.puballtables
   or exists (select 1 from pg_publication_rel r where r.prpubid = p.oid and r.prrelid = %s::oid)
order by p.pubname
"""


@dataclass(frozen=True, slots=True)
class Membership:
    """A table's place in a publication. `columns` are those that it sends; `row_filter` is SQL, None where there is none."""

    publication: str
    via_root: bool
    operations: frozenset[str]
    columns: frozenset[str]
    row_filter: str | None


@dataclass(frozen=True, slots=True)
class TableDescription:
    """One table.

    Attributes:
        table: `schema.table`.
        kind, persistence, replica_identity: the words of KINDS, PERSISTENCE and IDENTITIES.
        is_partition: a leaf of a partitioned table.
        estimated_rows: the planner's; 0 where it knows nothing.
        readable: whether this role may SELECT.
        unique_keys: columns of each unique index over plain columns, without the primary key's.
        identity_index: columns of the replica identity's index, where the identity is an index.
        deferrable_key: the primary key may be checked at the end of a transaction.
    """

    table: str
    oid: int
    kind: str
    persistence: str
    replica_identity: str
    is_partition: bool
    estimated_rows: int
    readable: bool
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    unique_keys: tuple[tuple[str, ...], ...]
    identity_index: tuple[str, ...]
    publications: tuple[Membership, ...]
    deferrable_key: bool = False

    def membership(self, publication: str) -> Membership | None:
        return next((member for member in self.publications if member.publication == publication), None)


async def describe_table(dsn: str, table: str) -> TableDescription:
    """Raises SourceUnavailable, and ConfigurationError where the table does not exist."""
    with translated(f"reading the catalogue for table {table}"):
        async with await connect(dsn) as connection:
            return await describe(connection, table)


async def describe(connection: psycopg.AsyncConnection[Any], table: str) -> TableDescription:
    """As `describe_table`, with psycopg's errors."""
    oid = await table_oid(connection, table)
    kind, persistence, identity, is_partition, rows, readable = (await _fetch(connection, _TABLE, (oid,)))[0]
    keys = await _fetch(connection, _KEYS, (oid,))
    schema, _, name = table.partition(".")
    columns = await columns_of(connection, oid)
    plain = [column.name for column in columns if not column.generated]
    members = await _fetch(connection, _PUBLICATIONS, (schema, name, oid))
    return TableDescription(
        table=table,
        oid=oid,
        kind=KINDS.get(kind, kind),
        persistence=PERSISTENCE.get(persistence, persistence),
        replica_identity=IDENTITIES.get(identity, identity),
        is_partition=is_partition,
        estimated_rows=rows,
        readable=readable,
        columns=columns,
        primary_key=next((tuple(columns) for primary, _, _, columns in keys if primary), ()),
        unique_keys=tuple(tuple(columns) for primary, _, _, columns in keys if not primary),
        identity_index=next((tuple(columns) for _, chosen, _, columns in keys if chosen), ()) if identity == "i" else (),
        deferrable_key=any(primary and not immediate for primary, _, immediate, _ in keys),
        publications=tuple(_membership(*member, everything=plain) for member in members),
    )


def _membership(
    name: str,
    via_root: bool,
    insert: bool,
    update: bool,
    delete: bool,
    truncate: bool,
    columns: list[str] | None,
    row_filter: str | None,
    *,
    everything: list[str],
) -> Membership:
    sent = {"insert": insert, "update": update, "delete": delete, "truncate": truncate}
    return Membership(
        publication=name,
        via_root=via_root,
        operations=frozenset(operation for operation, is_sent in sent.items() if is_sent),
        columns=frozenset(everything if columns is None else columns),
        row_filter=row_filter,
    )


async def _fetch(connection: psycopg.AsyncConnection[Any], query: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(query, parameters)
    rows: list[tuple[Any, ...]] = await cursor.fetchall()
    return rows
