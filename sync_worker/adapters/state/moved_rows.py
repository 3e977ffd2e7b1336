"""The table `moved_rows`: rows that one worker asks another to read anew, because their key moved to its partition."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import orjson
from sqlalchemy import delete, select, tuple_

from sync_worker.adapters.state.connections import Connections
from sync_worker.adapters.state.schema import moved_rows as table
from sync_worker.change.model import TopicPartition
from sync_worker.ports import MovedRow

_row = table.c


class MovedRowTable(Connections):
    """Implements `ports.MovedKeys`."""

    async def ask_for_moved_rows(self, rows: Sequence[MovedRow]) -> None:
        values = [
            {
                "topic": row.place.topic,
                "partition": row.place.partition,
                "key": _text(row),
                "topic_id": row.topic_id,
                "origin_partition": row.origin.partition,
                "origin_offset": row.offset,
            }
            for row in rows
        ]
        if not values:
            return
        async with self._writing() as connection:
            await connection.execute(self._upsert(table, ("topic", "partition", "key")), values)

    async def moved_rows(self, places: Collection[TopicPartition]) -> Sequence[MovedRow]:
        query = select(table).where(tuple_(_row.topic, _row.partition).in_(sorted(places)))
        async with self._reading() as connection:
            rows = (await connection.execute(query.order_by(_row.origin_offset))).all()
        return [
            MovedRow(
                TopicPartition(row.topic, row.partition),
                orjson.loads(row.key),
                row.topic_id,
                TopicPartition(row.topic, row.origin_partition),
                row.origin_offset,
            )
            for row in rows
        ]

    async def forget_moved_row(self, row: MovedRow) -> None:
        same = (_row.topic == row.place.topic, _row.partition == row.place.partition, _row.key == _text(row))
        seen = (_row.topic_id == row.topic_id, _row.origin_offset == row.offset)
        async with self._writing() as connection:
            await connection.execute(delete(table).where(*same, *seen))


def _text(row: MovedRow) -> str:
    return orjson.dumps(row.key, option=orjson.OPT_SORT_KEYS).decode()
