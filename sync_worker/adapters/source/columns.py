"""The columns of a table as the change stream carries them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from sync_worker.adapters.source.values import ColumnType
from sync_worker.errors import ConfigurationError

# A domain is followed down to its base type; the innermost modifier that is set wins, as in PostgreSQL's own checks.
_COLUMNS = """
with recursive based as (
    select a.attnum, a.attname, a.atttypid as typid, a.atttypmod as typmod, a.attgenerated, a.attnotnull, 0 as depth,
           format_type(a.atttypid, a.atttypmod) as written, format_type(a.atttypid, -1) as cast_name
    from pg_attribute a
    where a.attrelid = %s::oid and a.attnum > 0 and not a.attisdropped
    union all
    select b.attnum, b.attname, t.typbasetype, case when t.typtypmod = -1 then b.typmod else t.typtypmod end,
           b.attgenerated, b.attnotnull, b.depth + 1, b.written, b.cast_name
    from based b join pg_type t on t.oid = b.typid
    where t.typtype = 'd'
)
select distinct on (b.attnum) b.attname, b.written, b.cast_name, b.attnotnull, b.attgenerated::text,
       coalesce(e.typname, t.typname)::text, coalesce(e.typtype, t.typtype)::text, e.oid is not null, b.typmod
from based b
join pg_type t on t.oid = b.typid
left join pg_type e on e.oid = t.typelem and e.typarray = t.oid
order by b.attnum, b.depth desc
"""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        written: its type as SQL writes it, with modifier, domains kept.
        cast_name: the same without modifier, to cast a text to.
        generated: "" no, "s" stored, "v" virtual (PostgreSQL 18).
        type: with domains resolved.
    """

    name: str
    written: str
    cast_name: str
    nullable: bool
    generated: str
    type: ColumnType


async def table_oid(connection: psycopg.AsyncConnection[Any], table: str) -> int:
    """`table` is `schema.table`, unquoted, as in the configuration.

    Raises:
        ConfigurationError: it does not exist, or is not written as schema.table.
    """
    schema, dot, name = table.partition(".")
    if not dot or not schema or not name:
        raise ConfigurationError([f"table {table!r}: write it as schema.table, for instance public.cities"])
    cursor = await connection.execute(
        "select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = %s and c.relname = %s",
        (schema, name),
    )
    row = await cursor.fetchone()
    if row is None:
        raise ConfigurationError([f"table {table!r} does not exist in this database"], remedy="check schema and name")
    return int(row[0])


async def columns_of(connection: psycopg.AsyncConnection[Any], oid: int) -> tuple[Column, ...]:
    """In the table's order."""
    cursor = await connection.execute(_COLUMNS, (oid,))
    return tuple(
        Column(
            name=name,
            written=written,
            cast_name=cast_name,
            nullable=not not_null,
            generated=generated,
            type=ColumnType(name=type_name, kind=kind, array=array, modifier=modifier),
        )
        for name, written, cast_name, not_null, generated, type_name, kind, array, modifier in await cursor.fetchall()
    )


async def published_columns(connection: psycopg.AsyncConnection[Any], publication: str, table: str) -> frozenset[str] | None:
    """The columns that the publication sends of this table; None where it does not publish the table."""
    schema, _, name = table.partition(".")
    cursor = await connection.execute(
        "select attnames from pg_publication_tables where pubname = %s and schemaname = %s and tablename = %s",
        (publication, schema, name),
    )
    row = await cursor.fetchone()
    return None if row is None else frozenset(row[0])
