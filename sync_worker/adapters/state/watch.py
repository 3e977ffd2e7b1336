"""The tables `recorded_facts` and `fills`: what was seen of the chain, and when each index was filled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, select

from sync_worker.adapters.state.connections import Connections
from sync_worker.adapters.state.schema import fills as fill_table
from sync_worker.adapters.state.schema import recorded_facts
from sync_worker.watch.fill import Fill, FillProof


class WatchTables(Connections):
    """What the watch compares the present with."""

    async def recorded_facts(self) -> Mapping[tuple[str, str], Any]:
        """(subject, aspect) → value, all of them: a few for each table."""
        async with self._reading() as connection:
            rows = (await connection.execute(select(recorded_facts))).all()
        return {(row.subject, row.aspect): row.value for row in rows}

    async def record_facts(self, facts: Mapping[tuple[str, str], Any]) -> None:
        """Store each value in place of the last one; None forgets it."""
        saved_at = self._now()
        kept = [
            {"subject": subject, "aspect": aspect, "value": value, "saved_at": saved_at}
            for (subject, aspect), value in sorted(facts.items())
            if value is not None
        ]
        row = recorded_facts.c
        async with self._writing() as connection:
            for (subject, aspect), value in sorted(facts.items()):
                if value is None:
                    await connection.execute(delete(recorded_facts).where(row.subject == subject, row.aspect == aspect))
            if kept:
                await connection.execute(self._upsert(recorded_facts, ("subject", "aspect")), kept)

    async def fills(self) -> Mapping[str, Fill]:
        """Index name → its last complete fill."""
        async with self._reading() as connection:
            rows = (await connection.execute(select(fill_table))).all()
        return {
            row.index_name: Fill(
                index=row.index_name,
                uid=row.uid,
                created_at=row.created_at,
                proof=FillProof(row.proof),
                declaration=row.declaration,
                columns=row.columns,
                topic_id=row.topic_id,
                # JSON has no numbers for keys.
                ends={int(partition): offset for partition, offset in row.ends.items()},
                filled_at=row.filled_at,
                older_documents=row.older_documents,
                older_since=row.older_since,
            )
            for row in rows
        }

    async def save_fills(self, fills: Sequence[Fill]) -> None:
        """Store each in place of the index's last one."""
        rows = []
        for fill in sorted(fills, key=lambda fill: fill.index):
            values = asdict(fill)
            rows.append({"index_name": values.pop("index"), **values, "ends": {str(p): o for p, o in fill.ends.items()}})
        if rows:
            async with self._writing() as connection:
                await connection.execute(self._upsert(fill_table, ("index_name",)), rows)
