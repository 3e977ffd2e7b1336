"""Waiting until transactions that the log has told of are visible: PostgreSQL shows a commit only after it has logged it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from typing import Any

import psycopg

from sync_worker.errors import SourceUnavailable

_PATIENCE_S = 2.0
"""Without a synchronous standby it takes microseconds, or as long as the operating system lets the backend wait."""

_FIRST_PAUSE_S = 0.002
_LONGEST_PAUSE_S = 0.1
_WRAP = 1 << 32
_HALF = 1 << 31


async def wait_until_visible(connection: psycopg.AsyncConnection[Any], transactions: Collection[int]) -> None:
    """Returns when what these transactions (32 bits of each id) did is visible to every later statement.

    Raises SourceUnavailable where one of them stays invisible, and psycopg's errors.
    """
    deadline, pause = time.monotonic() + _PATIENCE_S, _FIRST_PAUSE_S
    while transactions:
        transactions = await _invisible(connection, transactions)
        if not transactions:
            return
        if time.monotonic() > deadline:
            raise SourceUnavailable(
                f"PostgreSQL has logged transaction {min(transactions)} and does not show it yet: what is read now would be "
                "older than the log",
                remedy="look for `wait_event = 'SyncRep'` in pg_stat_activity: a synchronous standby is away, or source.url is a "
                "standby that lags; it goes on by itself once the transaction is visible",
            )
        await asyncio.sleep(pause)
        pause = min(_LONGEST_PAUSE_S, 2 * pause)


async def _invisible(connection: psycopg.AsyncConnection[Any], transactions: Collection[int]) -> list[int]:
    cursor = await connection.execute("select pg_current_snapshot()::text, pg_is_in_recovery()")
    row = await cursor.fetchone()
    assert row is not None
    _, end, running = str(row[0]).split(":")
    next_id = int(end)
    in_progress = {int(one) for one in running.split(",") if one}
    whole = sorted(next_id + (one - next_id + _HALF) % _WRAP - _HALF for one in transactions)
    waiting = [one for one in whole if one in in_progress]
    unknown = [one for one in whole if one >= next_id]
    for number, one in enumerate(unknown):
        runs = await _runs(connection, one)
        if runs is None:
            # Nor did any of the greater ones. The log may come from another server's past, whose transactions never began here;
            # on a standby they only have not arrived.
            waiting += unknown[number:] if row[1] else []
            break
        if runs:
            waiting.append(one)
    return [one % _WRAP for one in waiting]


async def _runs(connection: psycopg.AsyncConnection[Any], transaction: int) -> bool | None:
    """Whether one that the snapshot knows nothing of is still to end; None where it has not begun."""
    try:
        cursor = await connection.execute("select pg_xact_status(%s::text::xid8)", [str(transaction)])
    except psycopg.errors.InvalidParameterValue:
        return None
    row = await cursor.fetchone()
    return row is not None and row[0] == "in progress"
