"""A source with rows, and a connector with Debezium's semantics.

One change of a key is three records; an incremental snapshot reads chunks of rows between two watermarks and drops what
the stream changed meanwhile; after a restart everything since the last flushed position is told again, by another run.
A restart in the middle of a key change may lose its tombstone and its create (seen with Debezium 3.7.0).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from sync_worker.change.model import Row, TopicPartition
from sync_worker.change.partitioner import partition_of
from sync_worker.change.unavailable import PLACEHOLDER
from sync_worker.testing.simulation import engine
from sync_worker.testing.simulation.broker import Broker

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the write-ahead log.

    Attributes:
        operation: Debezium's `op`, or `low` and `high` for the watermarks of a snapshot's chunk.
        key: the row's, None for what concerns no single row.
        row: after the change; a large value that did not change is left out by the server.
        moved: the other key of a key change.
    """

    table: str
    operation: str
    key: int | None = None
    row: Row | None = None
    moved: int | None = None


@dataclass
class Source:
    """PostgreSQL. Every write is a transaction of its own."""

    tables: dict[str, dict[int, Row]] = field(default_factory=dict)
    wal: list[Event] = field(default_factory=list)
    version: int = 0

    def upsert(self, table: str, key: int, name: str, *, bad: bool = False, large: bool = False) -> None:
        self.version += 1
        old = self.tables[table].get(key)
        big = f"big-{self.version}" if large or old is None else old["big"]
        row: Row = {"id": key, "name": name, "n": f"bad-{self.version}" if bad else self.version, "big": big}
        self.tables[table][key] = row
        told = row if old is None or large else {**row, "big": PLACEHOLDER}
        self.wal.append(Event(table, "c" if old is None else "u", key, told))

    def delete(self, table: str, key: int) -> None:
        if self.tables[table].pop(key, None) is not None:
            self.wal.append(Event(table, "d", key))

    def move(self, table: str, key: int, new: int) -> None:
        """The row gets another key, if that is free."""
        rows = self.tables[table]
        if key in rows and new not in rows:
            self.version += 1
            rows[new] = {**rows.pop(key), "id": new, "n": self.version}
            self.wal.append(Event(table, "moved", key, dict(rows[new]), new))

    def truncate(self, table: str) -> None:
        self.tables[table].clear()
        self.wal.append(Event(table, "t"))

    async def rows(
        self, table: str, key_columns: Sequence[str], keys: Sequence[Mapping[str, Any]], *, after: Collection[int] = ()
    ) -> Sequence[Row | None]:
        """As `ports.Source`. The rows bear no offset: nobody can know which event of theirs is the newest."""
        found = [self.tables[table].get(key["id"]) for key in keys]
        return [dict(row, at=None) if row is not None else None for row in found]


class Connector:
    """Debezium: tells the write-ahead log to the broker, in order, at least once."""

    def __init__(self, source: Source, broker: Broker, told: Any, *, may_lose: bool = False) -> None:
        self._source = source
        self._broker = broker
        self._told = told
        self._may_lose = may_lose
        self.run = 1
        self.position = 0
        self.flushed = 0
        self.stopped_until = 0.0
        self._window: dict[int, Row] | None = None
        self._chunks: list[tuple[str, int]] = []
        self._half: Event | None = None
        self.lost = 0
        self.repeated = 0
        self.window_dropped = 0

    def snapshot(self, table: str) -> None:
        """Ask for an incremental snapshot; one chunk takes half of the keys."""
        self._chunks += [(table, 0), (table, 1)]

    @property
    def idle(self) -> bool:
        return self.position == len(self._source.wal) and not self._chunks and self._window is None

    def restart(self) -> None:
        """A graceful one, or a crash: what was told since the last flush is told again, and a chunk under way is begun anew."""
        if self._half is not None and self._may_lose:
            self.position, self.lost = self.position + 1, self.lost + 1
            self.flushed = self.position
        self.repeated += self.position - self.flushed
        self._half = None
        self.position = self.flushed
        self.run += 1
        if self._window is not None:
            self._window = None

    def step(self, most: int) -> None:
        """One poll: at most so many events."""
        if engine.now() < self.stopped_until:
            return
        for _ in range(most):
            if self.position == len(self._source.wal):
                if self._chunks and self._window is None:
                    self._open_window()
                    continue
                break
            self._tell(self._source.wal[self.position])
            if self._half is None:
                self.position += 1
            elif self._may_lose and engine.chance(0.5):
                self.restart()
        if engine.chance(0.5) and self._half is None and self._window is None:
            self.flushed = self.position

    def _open_window(self) -> None:
        table, half = self._chunks[0]
        wal = self._source.wal
        wal.append(Event(table, "low", half))
        # Between the watermarks the application goes on: the chunk is read first, and its end is marked later.
        engine.after(engine.choose(3) * 0.3, lambda: wal.append(Event(table, "high", half)))
        self._window = {key: dict(row) for key, row in self._source.tables[table].items() if key % 2 == half}

    def _tell(self, event: Event) -> None:
        if event.operation == "low":
            return
        if event.operation == "high":
            self._close_window(event)
            return
        if event.operation == "moved":
            self._tell_move(event)
            return
        if self._window and self._chunks and self._chunks[0][0] == event.table:
            if event.key is None:
                self.window_dropped += len(self._window)
                self._window.clear()
            elif self._window.pop(event.key, None) is not None:
                self.window_dropped += 1
        self._record(event.table, event.operation, event.key, event.row)

    def _tell_move(self, event: Event) -> None:
        assert event.key is not None
        assert event.moved is not None
        if self._half is None:
            for key in (event.key, event.moved):
                if self._window and self._chunks[0][0] == event.table and self._window.pop(key, None) is not None:
                    self.window_dropped += 1
            self._record(event.table, "d", event.key, None, newkey=event.moved)
            if engine.chance(0.3):
                self._half = event  # the poll ends between the two halves
                return
        else:
            self._half = None
        self._record(event.table, "c", event.moved, event.row, oldkey=event.key)

    def _close_window(self, event: Event) -> None:
        if self._window is None or not self._chunks or self._chunks[0] != (event.table, event.key):
            return  # a mark of a run that ended: its chunk was begun anew
        for key, row in self._window.items():
            self._record(event.table, "r", key, row)
        self._window = None
        self._chunks.pop(0)

    def _record(
        self,
        table: str,
        operation: str,
        key: int | None,
        row: Row | None,
        *,
        newkey: int | None = None,
        oldkey: int | None = None,
    ) -> None:
        place = self.place(table, key)
        offset = self._broker.ends[place]
        schema, name = table.split(".")
        moment = 1_700_000_000_000 + int(engine.now() * 1000)
        snapshot = "incremental" if operation == "r" else None
        origin = {"connector": "postgresql", "ts_ms": moment, "schema": schema, "table": name, "snapshot": snapshot}
        after = None if row is None else {**row, "at": offset}
        before = {"id": key} if key is not None else None
        value = orjson.dumps({"before": before, "after": after, "source": origin, "op": operation, "ts_ms": moment})
        headers = [("__debezium.context.runId", str(self.run).encode())]
        if newkey is not None:
            headers.append(("__debezium.newkey", orjson.dumps({"id": newkey})))
        if oldkey is not None:
            headers.append(("__debezium.oldkey", orjson.dumps({"id": oldkey})))
        raw = None if key is None else orjson.dumps({"id": key})
        self._told(place, offset, operation, key, row)
        self._broker.append(place, raw, value, headers)
        if operation == "d":
            self._broker.append(place, raw, None, headers[:1])

    def partitions(self, table: str) -> int:
        return self._broker.topics[f"app.{table}"].partitions

    def place(self, table: str, key: int | None) -> TopicPartition:
        count = self.partitions(table)
        return TopicPartition(f"app.{table}", 0 if key is None else partition_of(orjson.dumps({"id": key}), count))
