"""Logical messages into PostgreSQL's log: no table is written, and no right is needed beyond CONNECT."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg

from sync_worker.adapters.source.fault import translate
from sync_worker.adapters.source.session import connect
from sync_worker.change.message import parse_lsn
from sync_worker.errors import ConfigurationError

_DOING = "writing a logical message"


class PostgresMessages:
    """One lazy connection; a broken one is replaced at the next call."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._lock = asyncio.Lock()

    async def emit(self, prefix: str, content: str) -> int:
        """Write one in a transaction of its own, committed at return; the LSN behind it.

        Raises SourceUnavailable, and ConfigurationError on a standby or for a role that may not.
        """
        async with self._lock:
            try:
                if self._connection is None:
                    self._connection = await connect(self._dsn, statement_timeout_s=10)
                cursor = await self._connection.execute("select pg_logical_emit_message(true, %s, %s)::text", [prefix, content])
                row = await cursor.fetchone()
            except (psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.ObjectNotInPrerequisiteState) as error:
                raise ConfigurationError(
                    [f"{_DOING}: source.url leads to a standby, where nothing can be written"],
                    remedy="Wait with --lsn for a position of the primary's, or let source.url lead to the primary.",
                ) from error
            except psycopg.Error as error:
                raise translate(error, _DOING) from error
            finally:
                if self._connection is not None and self._connection.broken:
                    self._connection = None
            return parse_lsn(str(row[0])) if row is not None else 0

    async def close(self) -> None:
        async with self._lock:
            if self._connection is not None:
                await self._connection.close()
                self._connection = None
