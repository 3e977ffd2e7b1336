"""The tables `rewrites`, `comparisons` and `scrubs`: what is to be written again, what was compared, how far the scrub is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import orjson
from sqlalchemy import delete, func, select, tuple_

from sync_worker.adapters.state.connections import Connections
from sync_worker.adapters.state.schema import comparisons, rewrites, scrubs
from sync_worker.change.model import TopicPartition
from sync_worker.ports import Comparison, Depth, Rewrite

_asked = rewrites.c


class DriftTables(Connections):
    """Implements `ports.Rewrites` and `ports.Comparisons`."""

    async def ask_for_rewrites(self, asked: Sequence[Rewrite]) -> None:
        values = [
            {
                "index_name": one.index,
                "document_id": one.document_id,
                "topic": one.place.topic,
                "partition": one.place.partition,
                "key": None if one.key is None else orjson.dumps(dict(one.key)).decode(),
                "run": one.run,
            }
            for one in asked
        ]
        if values:
            async with self._writing() as connection:
                await connection.execute(self._upsert(rewrites, ("index_name", "document_id")), values)

    async def asked_rewrites(
        self, indexes: Collection[str], places: Collection[TopicPartition], *, limit: int
    ) -> Sequence[Rewrite]:
        query = (
            select(rewrites)
            .where(_asked.index_name.in_(sorted(indexes)), tuple_(_asked.topic, _asked.partition).in_(sorted(places)))
            .order_by(_asked.index_name, _asked.document_id)
            .limit(limit)
        )
        async with self._reading() as connection:
            rows = (await connection.execute(query)).all()
        return [
            Rewrite(
                row.index_name,
                row.document_id,
                None if row.key is None else orjson.loads(row.key),
                TopicPartition(row.topic, row.partition),
                row.run,
            )
            for row in rows
        ]

    async def forget_rewrites(self, done: Sequence[Rewrite]) -> None:
        async with self._writing() as connection:
            for one in done:
                await connection.execute(
                    delete(rewrites).where(
                        _asked.index_name == one.index, _asked.document_id == one.document_id, _asked.run == one.run
                    )
                )

    async def rewrites_left(self, run: str) -> int:
        async with self._reading() as connection:
            return int((await connection.execute(select(func.count()).where(_asked.run == run))).scalar_one())

    async def withdraw_rewrites(self, run: str) -> None:
        async with self._writing() as connection:
            await connection.execute(delete(rewrites).where(_asked.run == run))

    # Comparisons

    async def save_comparison(self, comparison: Comparison) -> None:
        values = asdict(comparison)
        values["index_name"] = values.pop("index")
        values["depth"] = comparison.depth.value
        async with self._writing() as connection:
            await connection.execute(self._upsert(comparisons, ("index_name", "depth")), [values])

    async def comparisons(self) -> Sequence[Comparison]:
        async with self._reading() as connection:
            rows = (await connection.execute(select(comparisons).order_by(comparisons.c.index_name, comparisons.c.depth))).all()
        return [
            Comparison(
                row.index_name,
                Depth(row.depth),
                row.uid,
                row.began_at,
                row.ended_at,
                row.rows,
                row.documents,
                row.differences,
                row.by,
            )
            for row in rows
        ]

    # The scrub

    async def hold_scrub(self, index: str, worker: str, seconds: float) -> bool:
        moment = self._now()
        async with self._writing() as connection:
            row = (await connection.execute(select(scrubs).where(scrubs.c.index_name == index).with_for_update())).one_or_none()
            if row is not None and row.holder != worker and row.held_until > moment:
                return False
            values = {
                "index_name": index,
                "holder": worker,
                "held_until": moment + seconds,
                "progress": None if row is None else row.progress,
            }
            await connection.execute(self._upsert(scrubs, ("index_name",)), [values])
            return True

    async def scrub_progress(self, index: str) -> Mapping[str, Any] | None:
        async with self._reading() as connection:
            found: Mapping[str, Any] | None = (
                await connection.execute(select(scrubs.c.progress).where(scrubs.c.index_name == index))
            ).scalar_one_or_none()
        return found

    async def save_scrub(self, index: str, worker: str, progress: Mapping[str, Any] | None) -> bool:
        statement = scrubs.update().where(scrubs.c.index_name == index, scrubs.c.holder == worker)
        async with self._writing() as connection:
            return (await connection.execute(statement.values(progress=progress))).rowcount > 0
