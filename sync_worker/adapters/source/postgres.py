"""Rows of PostgreSQL as they are now, in Debezium's values: the port `Source`."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from sync_worker.adapters.source.columns import Column, columns_of, published_columns, table_oid
from sync_worker.adapters.source.fault import translate
from sync_worker.adapters.source.keys import key_text
from sync_worker.adapters.source.session import connect
from sync_worker.adapters.source.values import Decoder, decoder
from sync_worker.adapters.source.visible import wait_until_visible
from sync_worker.change.model import Row
from sync_worker.errors import ConfigurationError, DecodeError


class PostgresSource:
    """One lazy, read-only connection; a broken one is replaced at the next call.

    Args:
        dsn: libpq's connection string or URL; the role needs CONNECT, USAGE on the schema and SELECT on the tables.
        publication: the connector's. Rows then have exactly the columns that it publishes; without it, all but the
            generated ones.
    """

    def __init__(self, dsn: str, *, publication: str | None = None) -> None:
        self._dsn = dsn
        self._publication = publication
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._lock = asyncio.Lock()

    async def rows(
        self, table: str, key_columns: Sequence[str], keys: Sequence[Mapping[str, Any]], *, after: Collection[int] = ()
    ) -> Sequence[Row | None]:
        """The rows with these keys as they are now, in the order of `keys`; None where the row is gone.

        Two queries in all, whatever the number of keys: the caller bounds it. Values are what the change stream would
        deliver for the same row; columns of types that it leaves out are left out here.

        Args:
            after: as in `ports.Source`. A third query where it is not empty, and more while one of them is not visible.

        Raises:
            SourceUnavailable: PostgreSQL does not answer, or does not show what it has logged; waiting may mend it.
            ConfigurationError: the table or a key column is missing, can't be read, or the key columns are not unique.
            DecodeError: a key does not fit its column's type (`key-mismatch`). It concerns one or more of the keys given:
                ask again one by one to learn which.
        """
        if not keys:
            return []
        async with self._lock:
            try:
                return await self._rows(table, key_columns, keys, after)
            except psycopg.errors.DataError as error:
                raise DecodeError(f"table {table}: a key does not fit its column's type of today", code="key-mismatch") from error
            except psycopg.Error as error:
                raise translate(error, f"reading rows of table {table}") from error
            finally:
                if self._connection is not None and self._connection.broken:
                    self._connection = None

    async def close(self) -> None:
        async with self._lock:
            if self._connection is not None:
                await self._connection.close()
                self._connection = None

    async def _rows(
        self, table: str, key_columns: Sequence[str], keys: Sequence[Mapping[str, Any]], after: Collection[int]
    ) -> list[Row | None]:
        if self._connection is None:
            self._connection = await connect(self._dsn)
        connection = self._connection
        await wait_until_visible(connection, after)
        oid = await table_oid(connection, table)
        columns = await columns_of(connection, oid)
        by_name = {column.name: column for column in columns}
        if missing := [name for name in key_columns if name not in by_name]:
            raise ConfigurationError([f"table {table} has no key column {name!r}" for name in missing])
        read = await decodable(connection, self._publication, table, columns)
        key_of = [by_name[name] for name in key_columns]
        texts = [[key_text(key.get(column.name), column.name, column.type) for key in keys] for column in key_of]
        cursor = await connection.execute(_select(table, key_of, [column for column, _ in read]), texts)
        found: list[Row | None] = [None] * len(keys)
        result = cursor.pgresult
        assert result is not None
        for line in range(result.ntuples):
            position = int(result.get_value(line, 0) or b"0") - 1
            if found[position] is not None:
                raise ConfigurationError([f"table {table}: the columns {', '.join(key_columns)} do not identify one row"])
            found[position] = {
                column.name: value_of(result.get_value(line, at), decode) for at, (column, decode) in enumerate(read, start=1)
            }
        return found


async def decodable(
    connection: psycopg.AsyncConnection[Any], publication: str | None, table: str, columns: Sequence[Column]
) -> list[tuple[Column, Decoder]]:
    """The columns that the change stream carries, each with what reads its text."""
    published = await published_columns(connection, publication, table) if publication else None
    streamed = [column for column in columns if (not column.generated if published is None else column.name in published)]
    return [(column, decode) for column in streamed if (decode := decoder(column.type)) is not None]


def value_of(raw: bytes | None, decode: Decoder) -> Any:
    return None if raw is None else decode(raw.decode("utf-8"))


def _select(table: str, key_columns: Sequence[Column], read: Sequence[Column]) -> sql.Composed:
    """Keys travel as arrays of texts and are cast to the key columns' own types, so that the primary key's index serves."""
    schema, _, name = table.partition(".")
    wanted = [sql.SQL("t.{}::numeric" if column.type.name == "money" else "t.{}").format(quoted(column.name)) for column in read]
    return sql.SQL("select {wanted} from unnest({arrays}) with ordinality as k({aliases}) join {table} t on {matches}").format(
        wanted=sql.SQL(", ").join([sql.SQL("k.ord"), *wanted]),
        arrays=sql.SQL(", ").join([sql.SQL("%s::text[]")] * len(key_columns)),
        aliases=sql.SQL(", ").join([*(sql.Identifier(f"k{at}") for at in range(len(key_columns))), sql.SQL("ord")]),
        table=quoted(schema, name),
        matches=sql.SQL(" and ").join(
            # The cast's name comes from the catalogue's format_type, which quotes it.
            sql.SQL("t.{} = k.{}::").format(quoted(column.name), sql.Identifier(f"k{at}"))
            + sql.SQL(column.cast_name.replace("%", "%%"))
            for at, column in enumerate(key_columns)
        ),
    )


def quoted(*parts: str) -> sql.Identifier:
    """psycopg looks for placeholders inside quoted names as well."""
    return sql.Identifier(*(part.replace("%", "%%") for part in parts))
