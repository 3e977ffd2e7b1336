"""The table `backfills`: one row for each, and a lease, so that one worker at a time goes on with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Row, func, insert, or_, select, tuple_, update

from sync_worker.adapters.state.connections import Connections
from sync_worker.adapters.state.schema import backfills as table
from sync_worker.adapters.state.schema import failed_work
from sync_worker.backfill.model import Backfill, Stage, Wish
from sync_worker.failure.model import FailureStatus

_row = table.c
_COLUMNS = ("id", "index", "table", "where", "prune", "stage", "wish", "by", "started_at", "ended_at")
"""Of a Backfill, those that have a column of their own; the rest is its progress."""


class BackfillTable(Connections):
    """Implements `operations.backfill.parts.Backfills`."""

    async def add_backfill(self, asked: Backfill) -> Backfill | None:
        """Store it with its id; None, and nothing stored, where another one of the table runs."""
        async with self._writing() as connection:
            query = select(_row.id).where(_row.table_name == asked.table, _row.ended_at.is_(None))
            if (await connection.execute(query)).first() is not None:
                return None
            moment = self._now()
            asked = replace(asked, started_at=moment, updated_at=moment)
            values = _values(asked) | {"holder": "", "held_until": 0.0}
            statement = insert(table).values(values).returning(_row.id)
            return replace(asked, id=int((await connection.execute(statement)).scalar_one()))

    async def backfills(self, *, running_only: bool = False, limit: int = 100) -> Sequence[Backfill]:
        """Newest first."""
        query = select(table).order_by(_row.id.desc()).limit(limit)
        if running_only:
            query = query.where(_row.ended_at.is_(None))
        async with self._reading() as connection:
            return [_backfill(row) for row in (await connection.execute(query)).all()]

    async def backfill(self, backfill_id: int) -> Backfill | None:
        async with self._reading() as connection:
            row = (await connection.execute(select(table).where(_row.id == backfill_id))).one_or_none()
        return None if row is None else _backfill(row)

    async def wish_backfill(self, backfill_id: int, wish: Wish) -> bool:
        """What an operator wants of it from now on; False where it has ended."""
        async with self._writing() as connection:
            statement = update(table).where(_row.id == backfill_id, _row.ended_at.is_(None)).values(wish=wish.value)
            return (await connection.execute(statement)).rowcount > 0

    async def hold_backfill(self, backfill_id: int, worker: str, seconds: float) -> bool:
        """Whether it is this worker's to go on with, from now on for so long."""
        moment = self._now()
        statement = (
            update(table)
            .where(_row.id == backfill_id, _row.ended_at.is_(None))
            .where(or_(_row.holder == worker, _row.held_until <= moment))
            .values(holder=worker, held_until=moment + seconds)
        )
        async with self._writing() as connection:
            return (await connection.execute(statement)).rowcount > 0

    async def save_backfill(self, backfill: Backfill, worker: str) -> bool:
        """Its progress, but for the wish; False, and nothing stored, where it is another worker's by now."""
        values = _values(replace(backfill, updated_at=self._now()))
        values.pop("wish")
        statement = update(table).where(_row.id == backfill.id, _row.holder == worker, _row.ended_at.is_(None))
        async with self._writing() as connection:
            return (await connection.execute(statement.values(values))).rowcount > 0

    async def failures_within(self, backfill: Backfill, topic: str) -> int:
        """Unsettled failures of its index in the range that its rows lie in."""
        failed = failed_work.c
        ranges = [
            (failed.partition == number) & (failed.offset >= backfill.starts.get(number, 0)) & (failed.offset < end)
            for number, end in backfill.ends.items()
        ]
        if not ranges:
            return 0
        query = (
            select(func.count())
            .where(failed.index_name == backfill.index, tuple_(failed.topic, failed.topic_id) == (topic, backfill.topic_id))
            .where(failed.status.in_([FailureStatus.OPEN.value, FailureStatus.RETRYING.value]), or_(*ranges))
        )
        async with self._reading() as connection:
            return int((await connection.execute(query)).scalar_one())


def _values(backfill: Backfill) -> dict[str, Any]:
    progress = {name: value for name, value in asdict(backfill).items() if name not in _COLUMNS}
    for name in ("starts", "ends"):
        progress[name] = {str(number): offset for number, offset in progress[name].items()}
    return {
        "index_name": backfill.index,
        "table_name": backfill.table,
        "where_sql": backfill.where,
        "prune": backfill.prune,
        "stage": backfill.stage.value,
        "wish": backfill.wish.value,
        "asked_by": backfill.by,
        "started_at": backfill.started_at,
        "ended_at": backfill.ended_at,
        "progress": progress,
    }


def _backfill(row: Row[Any]) -> Backfill:
    progress = dict(row.progress)
    for name in ("starts", "ends"):
        progress[name] = {int(number): offset for number, offset in progress[name].items()}
    progress["signals"] = tuple(progress["signals"])
    return Backfill(
        id=row.id,
        index=row.index_name,
        table=row.table_name,
        where=row.where_sql,
        prune=row.prune,
        stage=Stage(row.stage),
        wish=Wish(row.wish),
        by=row.asked_by,
        started_at=row.started_at,
        ended_at=row.ended_at,
        **progress,
    )
