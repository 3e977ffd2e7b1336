"""Rows of the source that are as new as every record taken from the log so far, or newer.

PostgreSQL hands a commit to Debezium once its WAL is written, and shows it to other sessions only afterwards. Between the two lie
microseconds, or as long as a synchronous standby stays away: a row that is read in between is older than the log, and nothing
follows there that would mend what was made of it. So every read names the transactions of the records before it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sync_worker.change.model import Row
from sync_worker.ports import Source

_REMEMBERED = 20_000
"""Transactions, at least. Those that are not visible yet are among the newest: each of them occupies a connection."""


class RowsAsNewAsTheLog:
    """The source as the pipeline reads it. Implements `ports.Source`.

    Remembers which transactions the log has told of; a read that finished forgets them.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._newer: set[int] = set()
        self._older: set[int] = set()

    def told(self, transaction: int) -> None:
        """A record of this transaction (PostgreSQL's 32 bits of it) was taken."""
        self._newer.add(transaction)
        if len(self._newer) >= _REMEMBERED:
            self._newer, self._older = set(), self._newer

    async def rows(
        self, table: str, key_columns: Sequence[str], keys: Sequence[Mapping[str, Any]], *, after: Collection[int] = ()
    ) -> Sequence[Row | None]:
        """As `Source.rows`, after all transactions told of as well; raises what that raises."""
        told = self._newer | self._older | set(after)
        found = await self._source.rows(table, key_columns, keys, after=told)
        # What is visible once is visible to every later read.
        self._newer -= told
        self._older -= told
        return found
