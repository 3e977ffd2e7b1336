"""Rows of one table in the order of its key, in Debezium's values: a whole snapshot, a page of it, or single rows again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import sql

from sync_worker.adapters.source.columns import Column, columns_of, table_oid
from sync_worker.adapters.source.fault import translate, translated
from sync_worker.adapters.source.keys import key_text
from sync_worker.adapters.source.postgres import decodable, quoted, value_of
from sync_worker.adapters.source.session import connect
from sync_worker.adapters.source.values import Decoder
from sync_worker.document.ids import decode as decode_id
from sync_worker.document.ids import encode as encode_id
from sync_worker.drift.model import Key, SourceRow
from sync_worker.errors import ConfigurationError, RecordError

_INTEGERS = frozenset({"int2", "int4", "int8", "oid"})

PAGE = 2000
_LONGEST_S = 3600.0
"""A count, or the first page of a sample, may have to go through the whole table."""


class _Shape:
    """What is read of the table, as it is today."""

    def __init__(self, table: str, key: Sequence[Column], read: Sequence[tuple[Column, Decoder]]) -> None:
        schema, _, name = table.partition(".")
        self.table = quoted(schema, name)
        self.key = tuple(key)
        self.read = tuple(read)
        self.select = sql.SQL(", ").join(
            [sql.SQL("t.{}::numeric" if c.type.name == "money" else "t.{}").format(quoted(c.name)) for c, _ in read]
        )
        self.order = sql.SQL(", ").join([sql.SQL("t.{}").format(quoted(column.name)) for column in key])

    def rows(self, result: Any, *, first: int = 0, versions: bool = False) -> list[SourceRow]:
        """`first`: cells before the row's own; with `versions` one more follows them."""
        start = first + versions
        found = []
        for line in range(result.ntuples):
            row = {
                column.name: value_of(result.get_value(line, at), decode) for at, (column, decode) in enumerate(self.read, start)
            }
            version = (result.get_value(line, first) or b"").decode() if versions else ""
            found.append(SourceRow({column.name: row[column.name] for column in self.key}, row, version))
        return found


class PostgresTable:
    """One table as an index reads it. Read-only; one connection beside those of snapshots.

    Args:
        dsn: of a role that may SELECT.
        publication: the connector's: what it does not send is not read.
        key: the primary key's columns, in the declaration's order.
        columns: those that the projection needs, beside the key's.

    Every method raises SourceUnavailable, and ConfigurationError where the table or a column is missing or can't be read.
    """

    def __init__(self, dsn: str, publication: str, table: str, key: Sequence[str], columns: Sequence[str]) -> None:
        self._dsn = dsn
        self._publication = publication
        self._table = table
        self._key = tuple(key)
        self._columns = tuple(dict.fromkeys([*key, *sorted(columns)]))
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._lock = asyncio.Lock()
        self._shape: _Shape | None = None

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[PostgresSnapshot]:
        """One repeatable-read view of the table, until the block ends."""
        with translated(f"reading table {self._table}"):
            async with await connect(self._dsn, statement_timeout_s=_LONGEST_S) as connection:
                shape = await self._shaped(connection)
                await connection.execute("begin isolation level repeatable read read only")
                yield PostgresSnapshot(connection, shape)

    async def page(self, after: Key | None, size: int) -> list[SourceRow]:
        """The next rows behind this key, in the key's order."""
        async with self._lock:
            connection, shape = await self._open()
            query = sql.SQL("select {} from {} t").format(shape.select, shape.table)
            texts: list[str] = []
            if after is not None:
                texts = [key_text(after[column.name], column.name, column.type) for column in shape.key]
                values = sql.SQL(", ").join([sql.SQL("%s::{}").format(_cast(column)) for column in shape.key])
                query += sql.SQL(" where ({}) > ({})").format(shape.order, values)
            query += sql.SQL(" order by {} limit {}").format(shape.order, sql.Literal(size))
            return shape.rows(await self._result(connection, query, texts))

    async def now(self, keys: Sequence[Key]) -> list[SourceRow | None]:
        """These rows as they are now, with their versions, in the order given; None where there is none (any more)."""
        if not keys:
            return []
        async with self._lock:
            connection, shape = await self._open()
            texts = [[key_text(key[column.name], column.name, column.type) for key in keys] for column in shape.key]
            matches = sql.SQL(" and ").join(
                sql.SQL("t.{} = k.{}::{}").format(quoted(column.name), sql.Identifier(f"k{at}"), _cast(column))
                for at, column in enumerate(shape.key)
            )
            query = sql.SQL("select k.ord, t.xmin, {} from unnest({}) with ordinality as k({}) join {} t on {}").format(
                shape.select,
                sql.SQL(", ").join([sql.SQL("%s::text[]")] * len(shape.key)),
                sql.SQL(", ").join([*(sql.Identifier(f"k{at}") for at in range(len(shape.key))), sql.SQL("ord")]),
                shape.table,
                matches,
            )
            result = await self._result(connection, query, texts)
        found: list[SourceRow | None] = [None] * len(keys)
        for line, row in enumerate(shape.rows(result, first=1, versions=True)):
            found[int(result.get_value(line, 0)) - 1] = row
        return found

    async def key_of(self, document_id: str) -> Key | None:
        """The key of a document id; None where no row of this table can bear that id."""
        async with self._lock:
            _, shape = await self._open()
        try:
            texts = decode_id(document_id, len(shape.key))
            values = [int(text) if column.type.name in _INTEGERS else text for column, text in zip(shape.key, texts, strict=True)]
            # `007` reads as 7, and is not the id of row 7.
            if encode_id(values) != document_id:
                return None
            key = {column.name: value for column, value in zip(shape.key, values, strict=True)}
            for column in shape.key:
                key_text(key[column.name], column.name, column.type)
        except (ValueError, RecordError):
            return None
        # A text that the key's type does not take would fail the rows beside it as well.
        return key if await self._readable(shape, key) else None

    async def close(self) -> None:
        async with self._lock:
            if self._connection is not None:
                await self._connection.close()
                self._connection = None

    async def _readable(self, shape: _Shape, key: Key) -> bool:
        if all(column.type.name in ("text", "varchar") and column.type.kind == "b" for column in shape.key):
            return True
        texts = [key_text(key[column.name], column.name, column.type) for column in shape.key]
        query = sql.SQL("select {}").format(sql.SQL(", ").join([sql.SQL("%s::{}").format(_cast(column)) for column in shape.key]))
        async with self._lock:
            connection, _ = await self._open()
            try:
                await connection.execute(query, texts)
            except psycopg.errors.DataError:
                return False
            except psycopg.Error as error:
                raise translate(error, f"reading a key of table {self._table}") from error
        return True

    async def _open(self) -> tuple[psycopg.AsyncConnection[Any], _Shape]:
        with translated(f"reading table {self._table}"):
            if self._connection is None or self._connection.broken or self._connection.closed:
                self._connection = await connect(self._dsn)
                self._shape = None
            if self._shape is None:
                self._shape = await self._shaped(self._connection)
            return self._connection, self._shape

    async def _result(self, connection: psycopg.AsyncConnection[Any], query: sql.Composed, parameters: Sequence[Any]) -> Any:
        try:
            return (await connection.execute(query, parameters)).pgresult
        except psycopg.Error as error:
            # A column may have gone or changed its type meanwhile: looked at anew the next time.
            self._shape = None
            raise translate(error, f"reading rows of table {self._table}") from error

    async def _shaped(self, connection: psycopg.AsyncConnection[Any]) -> _Shape:
        columns = await columns_of(connection, await table_oid(connection, self._table))
        read = await decodable(connection, self._publication, self._table, columns)
        by_name = {column.name: (column, decode) for column, decode in read}
        if missing := [name for name in self._columns if name not in by_name]:
            raise ConfigurationError(
                [
                    f"table {self._table}: column {name!r} is missing, not published, or of a type that no event carries"
                    for name in missing
                ],
                remedy="sync-worker check",
            )
        return _Shape(self._table, [by_name[name][0] for name in self._key], [by_name[name] for name in self._columns])


class PostgresSnapshot:
    """The table at one moment."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], shape: _Shape) -> None:
        self._connection = connection
        self._shape = shape

    async def rows(self, where: str | None = None, *, page: int = PAGE) -> AsyncIterator[list[SourceRow]]:
        """In the key's order, a page at a time. `where` is SQL, checked by the caller."""
        shape = self._shape
        query = sql.SQL("declare compared no scroll cursor for select {} from {} t{} order by {}").format(
            shape.select, shape.table, _condition(where), shape.order
        )
        async for found in self._fetched(query, page):
            yield found

    async def sample(self, count: int, *, page: int = PAGE) -> AsyncIterator[list[SourceRow]]:
        """So many rows at random, each as likely as any other."""
        shape = self._shape
        keys = sql.SQL(", ").join([quoted(column.name) for column in shape.key])
        query = sql.SQL(
            "declare compared no scroll cursor for "
            "with k as materialized (select {keys} from {table} order by random() limit {count}) "
            "select {select} from {table} t join k using ({keys})"
        ).format(keys=keys, table=shape.table, count=sql.Literal(count), select=shape.select)
        async for found in self._fetched(query, page):
            yield found

    async def count(self, where: str | None = None) -> int:
        query = sql.SQL("select count(*) from {} t{}").format(self._shape.table, _condition(where))
        row = await (await self._connection.execute(query, [])).fetchone()
        assert row is not None
        return int(row[0])

    async def _fetched(self, query: sql.Composed, page: int) -> AsyncIterator[list[SourceRow]]:
        await self._connection.execute(query, [])
        fetch = sql.SQL("fetch forward {} from compared").format(sql.Literal(page))
        while True:
            result = (await self._connection.execute(fetch)).pgresult
            if result is None or result.ntuples == 0:
                return
            yield self._shape.rows(result)


def _cast(column: Column) -> sql.SQL:
    # The name comes from the catalogue's format_type, which quotes it.
    return sql.SQL(column.cast_name.replace("%", "%%"))


def _condition(where: str | None) -> sql.Composable:
    return sql.SQL("") if where is None else sql.SQL(" where (" + where.replace("%", "%%") + ")")
