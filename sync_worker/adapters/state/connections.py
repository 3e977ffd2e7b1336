"""Connections to the state database, and transactions whose every fault is translated."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import structlog
from sqlalchemy import URL, Connection, Table, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from sync_worker.adapters.state.fault import FOREIGN, at_start, unavailable
from sync_worker.adapters.state.migration import migrate, revisions
from sync_worker.adapters.state.url import driver_url
from sync_worker.errors import ConfigurationError

_PATIENCE_S = 30.0
"""One transaction's limit, and how long a writer of SQLite waits for another."""

_MIGRATION_PATIENCE_S = 600.0

_WRITE = {"sqlite_begin": "IMMEDIATE"}

_log = structlog.get_logger(__name__)


class Connections:
    """What the tables' methods share: the engine and the time."""

    def __init__(self, engine: AsyncEngine, now: Callable[[], float]) -> None:
        self._engine = engine
        self._now = now

    @classmethod
    async def open(cls, url: str, *, now: Callable[[], float] = time.time) -> Self:
        """Connect and bring the schema up to date; several workers may do so at once.

        Args:
            url: `sqlite:///path` (the file is created, its directory is not) or `postgresql://…`.
            now: seconds since 1970.

        Raises:
            ConfigurationError: bad URL, a schema newer than this version knows, a file that is no database, no right
                to create tables, refused credentials.
            StateUnavailable: the database does not answer.
        """
        engine = _engine(driver_url(url))
        try:
            async with asyncio.timeout(_MIGRATION_PATIENCE_S):
                if engine.dialect.name == "sqlite":
                    await _use_write_ahead_log(engine)
                async with engine.execution_options(**_WRITE).begin() as connection:
                    await connection.run_sync(migrate)
        except FOREIGN as error:
            await engine.dispose()
            raise at_start(error) from error
        except BaseException:
            await engine.dispose()
            raise
        return cls(engine, now)

    @classmethod
    async def schema_revisions(cls, url: str) -> tuple[str, str]:
        """The schema's revision as it is, empty where there is none, and the newest that this version knows. Changes nothing,
        but makes the file of a SQLite database that is not there yet. Raises as `open` does."""
        engine = _engine(driver_url(url))
        try:
            async with asyncio.timeout(_PATIENCE_S), engine.begin() as connection:
                return await connection.run_sync(revisions)
        except FOREIGN as error:
            raise at_start(error) from error
        finally:
            await engine.dispose()

    async def close(self) -> None:
        try:
            await self._engine.dispose()
        except FOREIGN as error:
            _log.warning("state database did not close cleanly", error=str(unavailable(error)))

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        async with self._transaction(self._engine) as connection:
            yield connection

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        async with self._transaction(self._engine.execution_options(**_WRITE)) as connection:
            yield connection

    @asynccontextmanager
    async def _transaction(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        try:
            async with asyncio.timeout(_PATIENCE_S), engine.begin() as connection:
                yield connection
        except FOREIGN as error:
            raise unavailable(error) from error

    def _upsert(self, table: Table, key: Sequence[str], **keep: Any) -> postgresql.Insert | sqlite.Insert:
        """An insert that replaces the row with this key, all but the columns named in `keep`, which get their own term."""
        statement = self._insert(table)
        replaced = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in key}
        return statement.on_conflict_do_update(index_elements=list(key), set_=replaced | keep)

    def _insert(self, table: Table) -> postgresql.Insert | sqlite.Insert:
        return sqlite.insert(table) if self._engine.dialect.name == "sqlite" else postgresql.insert(table)


def _engine(url: URL) -> AsyncEngine:
    arguments: dict[str, Any] = {"timeout": _PATIENCE_S / 2}
    if url.get_backend_name() == "postgresql":
        # A server that vanishes without a word must not hold a worker longer than its patience.
        limits = {"connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
        limits["tcp_user_timeout"] = int(_PATIENCE_S * 1000)
        arguments = {name: value for name, value in limits.items() if name not in url.query}
    engine = create_async_engine(
        url, hide_parameters=True, pool_pre_ping=True, json_serializer=_to_json, connect_args=arguments, pool_timeout=_PATIENCE_S
    )
    if url.get_backend_name() == "sqlite":
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _to_json(value: Any) -> str:
    return json.dumps(value, default=str)


def _prepare_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    # Full: an acknowledged failure must outlive a power cut, as the committed offset on another machine does.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # The driver's own BEGIN comes late and takes no write lock, so that two writers can fail each other in the middle.
    kind = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    if kind is not None:
        connection.exec_driver_sql(f"BEGIN {kind}")


async def _use_write_ahead_log(engine: AsyncEngine) -> None:
    """Readers beside a writer. Changing the mode ignores the busy timeout, so it is asked for until it is there."""
    outside = engine.execution_options(sqlite_begin=None)
    for attempt in range(100):
        try:
            async with outside.connect() as connection:
                mode = (await connection.execute(text("PRAGMA journal_mode=WAL"))).scalar_one()
        except FOREIGN as error:
            if "locked" not in str(error) or attempt == 99:
                raise
            await asyncio.sleep(0.1)
            continue
        if mode != "wal":
            raise ConfigurationError(
                [f"[state] url: the file system of the SQLite file does not support its write-ahead log (mode {mode})"],
                remedy="Put the file on a local disk, or use PostgreSQL.",
            )
        return
