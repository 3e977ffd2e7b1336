"""The writers: each has rows of its own, so that the order of one row's versions is the order of its writer's transactions."""

from __future__ import annotations

import io
import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import psycopg

from sync_worker.testing.torture.tables import TABLES, Table

WRITERS = 2
ROWS = 400
"""Numbers of rows that writes of single rows meet again and again."""
MORE_ROWS = 2_500
"""Numbers of rows that only COPY and large transactions reach."""
POISON = 0.006
"""Share of written rows that can't become a document."""

Cursor = psycopg.Cursor[Any]

versions: Iterator[int] = itertools.count(1)


class Writer(threading.Thread):
    """Random transactions from one thread until it is stopped. It waits while PostgreSQL is down.

    Args:
        pause_s: between two transactions.
        behind: while it is set, next to nothing is written: what is measured is recovery, not a backlog that grows.

    Attributes:
        counts: committed changes by kind, in rows.
        trouble: what ended it, if it was not asked to end.
    """

    def __init__(self, number: int, url: str, seed: int, *, pause_s: float, behind: threading.Event) -> None:
        super().__init__(daemon=True, name=f"writer-{number}")
        self._number, self._url, self._pause_s = number, url, pause_s
        self._random = Random(f"{seed} writer {number}")
        self._behind = behind
        self._stop_asked = threading.Event()
        self.counts: Counter[str] = Counter()
        self.transactions = 0
        self.trouble: BaseException | None = None

    def stop(self) -> None:
        self._stop_asked.set()
        self.join(120)

    def run(self) -> None:
        while not self._stop_asked.is_set():
            try:
                with psycopg.connect(self._url, connect_timeout=5) as connection:
                    while not self._stop_asked.is_set():
                        self._transaction(connection)
                        self._stop_asked.wait(1.0 if self._behind.is_set() else self._pause_s)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                # PostgreSQL is down, or two writers stood in each other's way.
                self._stop_asked.wait(0.2)
            except BaseException as error:
                self.trouble = error
                return

    def _transaction(self, connection: psycopg.Connection[Any]) -> None:
        """Only what is committed is counted."""
        written: Counter[str] = Counter()
        rolled_back = self._random.random() < 0.03
        with connection.transaction(force_rollback=rolled_back), connection.cursor() as cursor:
            for _ in range(self._random.choice((1, 1, 1, 1, 2, 4, 12))):
                table = self._random.choice(TABLES)
                kind = self._random.choices(_KINDS, _WEIGHTS)[0]
                written[kind] += getattr(self, f"do_{kind}")(cursor, table)
        if rolled_back:
            written = Counter({"rolled_back": sum(written.values())})
        self.counts += written
        self.transactions += 1

    # -- what a transaction is made of; each returns the number of rows that it changed

    def do_insert(self, cursor: Cursor, table: Table) -> int:
        return _upsert(cursor, table, [self._row(table, self._any())])

    def do_insert_many(self, cursor: Cursor, table: Table) -> int:
        start = self._random.randrange(ROWS)
        numbers = [self._own(start + step) for step in range(self._random.randrange(5, 40))]
        return _upsert(cursor, table, [self._row(table, number) for number in numbers])

    def do_update(self, cursor: Cursor, table: Table) -> int:
        """Leaves the TOASTed column alone, so that Debezium does not see it."""
        return self._change(cursor, table, "n = %s", self._random.randrange(1000))

    def do_update_large(self, cursor: Cursor, table: Table) -> int:
        return self._change(cursor, table, "big = %s", self._large())

    def do_spoil(self, cursor: Cursor, table: Table) -> int:
        """A row whose document is there becomes one that can't be a document."""
        row = self._row(table, self._any(), self._poison(table))
        return _upsert(cursor, table, [row], only_present=True)

    def do_mend(self, cursor: Cursor, table: Table) -> int:
        cursor.execute(
            f"SELECT {', '.join(table.key)} FROM {table.name} WHERE owner = %s AND poison IS NOT NULL LIMIT 5".encode(),
            [self._number],
        )
        changed = 0
        for key in cursor.fetchall():
            values = [next(versions), *key]
            cursor.execute(
                f"UPDATE {table.name} SET v = %s, amount = 1.5, extra = '{{}}', poison = NULL WHERE {_is(table)}".encode(), values
            )
            changed += cursor.rowcount
        return changed

    def do_delete(self, cursor: Cursor, table: Table) -> int:
        cursor.execute(f"DELETE FROM {table.name} WHERE {_is(table)}".encode(), table.key_of(self._any()))
        return cursor.rowcount

    def do_reinsert(self, cursor: Cursor, table: Table) -> int:
        """Gone and there again in one transaction, or there and gone."""
        number = self._any()
        gone = f"DELETE FROM {table.name} WHERE {_is(table)}".encode()
        cursor.execute(gone, table.key_of(number))
        changed = cursor.rowcount + _upsert(cursor, table, [self._row(table, number)])
        if self._random.random() < 0.3:
            cursor.execute(gone, table.key_of(number))
            changed += cursor.rowcount
        return changed

    def do_move(self, cursor: Cursor, table: Table) -> int:
        """The key changes, to one that is free; of the partitioned table mostly into another partition."""
        old, new = table.key_of(self._any()), table.key_of(self._any())
        to = ", ".join(f"{name} = %s" for name in table.key)
        free = f"NOT EXISTS (SELECT FROM {table.name} WHERE {_is(table)})"
        cursor.execute(
            f"UPDATE {table.name} SET {to}, v = %s WHERE {_is(table)} AND {free}".encode(), [*new, next(versions), *old, *new]
        )
        return cursor.rowcount

    def do_copy(self, cursor: Cursor, table: Table) -> int:
        """Rows that share one position in the WAL."""
        start = self._random.randrange(ROWS, MORE_ROWS)
        numbers = range(start, start + self._random.randrange(30, 150))
        keys = [table.key_of(self._own(number)) for number in numbers]
        cursor.executemany(f"DELETE FROM {table.name} WHERE {_is(table)}".encode(), keys)
        text = io.StringIO()
        rows = {table.key_of(number): self._row(table, number) for number in map(self._own, numbers)}
        for row in rows.values():
            text.write("\t".join("\\N" if value is None else _copied(value) for value in row) + "\n")
        with cursor.copy(f"COPY {table.name} ({', '.join(table.columns)}) FROM STDIN".encode()) as copy:
            copy.write(text.getvalue())
        return 2 * len(rows)

    def do_sweep(self, cursor: Cursor, table: Table) -> int:
        """One statement over many rows of ours."""
        part = self._random.randrange(7)
        cursor.execute(
            f"UPDATE {table.name} SET v = %s, n = %s WHERE owner = %s AND n %% 7 = %s".encode(),
            [next(versions), self._random.randrange(1000), self._number, part],
        )
        return cursor.rowcount

    def do_large_transaction(self, cursor: Cursor, table: Table) -> int:
        changed = self.do_copy(cursor, table) + self.do_copy(cursor, table) + self.do_sweep(cursor, table)
        with cursor.connection.transaction(force_rollback=True):
            self.do_copy(cursor, table)
        cursor.execute(
            f"DELETE FROM {table.name} WHERE owner = %s AND n %% 5 = %s".encode(), [self._number, self._random.randrange(5)]
        )
        return changed + cursor.rowcount + self.do_copy(cursor, table)

    def do_truncate(self, cursor: Cursor, table: Table) -> int:
        if not table.truncated:
            return 0
        cursor.execute(f"TRUNCATE {table.name}".encode())
        return 1

    # -- one row

    def _any(self) -> int:
        return self._own(self._random.randrange(ROWS))

    def _own(self, number: int) -> int:
        return number * WRITERS + self._number

    def _change(self, cursor: Cursor, table: Table, what: str, value: object) -> int:
        values = [next(versions), value, *table.key_of(self._any())]
        cursor.execute(f"UPDATE {table.name} SET v = %s, {what} WHERE {_is(table)}".encode(), values)
        return cursor.rowcount

    def _row(self, table: Table, number: int, poison: str | None = None) -> list[Any]:
        random = self._random
        if poison is None and random.random() < POISON:
            poison = self._poison(table)
        amount: object = random.choice((None, random.randrange(-5000, 5000) / 8, random.randrange(100)))
        extra: str | None = random.choice((None, f'{{"tags": ["a{number}", null], "deep": {{"x": {number}}}}}'))
        match poison:
            case "nan":
                amount = "NaN"
            case "vast":
                amount = "1e400"
            case "deep":
                extra = "[" * 200 + "]" * 200
        at = None if random.random() < 0.1 else f"2026-01-01 00:00:00+00:{random.randrange(60):02}"
        big = self._large() if random.random() < 0.25 else None
        n = random.randrange(1000)
        return [*table.key_of(number), self._number, next(versions), n, f"näme {n}", amount, at, big, extra, poison]

    def _poison(self, table: Table) -> str:
        """What only the server can refuse is rare: it costs it a bisection, and the index stands still meanwhile."""
        if table.embeds and self._random.random() < 0.12:
            return "vector"
        return self._random.choice(("deep", "nan", "vast"))

    def _large(self) -> str:
        return f"{self._random.randrange(1 << 60):016x}" * self._random.randrange(150, 500)


_SHARES = {
    "insert": 26, "update": 24, "update_large": 4, "delete": 12, "reinsert": 5, "move": 9, "insert_many": 5,
    "spoil": 0.6, "mend": 1.5, "copy": 1.6, "sweep": 0.6, "large_transaction": 0.15, "truncate": 0.2,
}  # fmt: skip
_KINDS = tuple(_SHARES)
_WEIGHTS = tuple(_SHARES.values())


def _is(table: Table) -> str:
    return " AND ".join(f"{name} = %s" for name in table.key)


def _copied(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def _upsert(cursor: Cursor, table: Table, rows: list[list[Any]], *, only_present: bool = False) -> int:
    """Writes whole rows. Two of one statement may bear the same key; the last wins, as the statement takes a key only once."""
    unique = {tuple(row[: len(table.key)]): row for row in rows}
    if only_present:
        names = table.columns[len(table.key) :]
        changed = 0
        for key, row in unique.items():
            values = [*row[len(table.key) :], *key]
            cursor.execute(
                f"UPDATE {table.name} SET {', '.join(f'{name} = %s' for name in names)} WHERE {_is(table)}".encode(), values
            )
            changed += cursor.rowcount
        return changed
    one = "(" + ", ".join(["%s"] * len(table.columns)) + ")"
    kept = ", ".join(f"{name} = excluded.{name}" for name in table.columns if name not in table.key)
    cursor.execute(
        f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES {', '.join([one] * len(unique))} "
        f"ON CONFLICT ({', '.join(table.key)}) DO UPDATE SET {kept}".encode(),
        [value for row in unique.values() for value in row],
    )
    return cursor.rowcount


def light_beacon(connection: psycopg.Connection[Any], table: Table, number: int) -> int:
    """Write the table's beacon anew; returns its version."""
    version = next(versions)
    row: list[Any] = [*table.key_of(number), -1, version, 0, "beacon", None, None, None, None, None]
    with connection.transaction(), connection.cursor() as cursor:
        _upsert(cursor, table, [row])
    return version
