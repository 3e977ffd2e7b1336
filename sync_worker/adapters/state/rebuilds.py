"""The tables `rebuilds` and `rebuild_confirmations`: where each rebuild is, and which workers do what it asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sync_worker.adapters.state.connections import Connections
from sync_worker.adapters.state.schema import bookmarks, failed_work, findings, index_records, rebuild_confirmations
from sync_worker.adapters.state.schema import rebuilds as rebuild_table
from sync_worker.failure.model import FailureStatus
from sync_worker.rebuild.model import Phase, Rebuild, RebuildConfirmation

_row = rebuild_table.c
_ASIDE = "\x01aside"
"""A name that no lane has, while two are exchanged."""


class RebuildTables(Connections):
    """What the command line decides and the workers do."""

    async def rebuilds(self) -> Mapping[str, Rebuild]:
        """Index name → its rebuild that is not over."""
        async with self._reading() as connection:
            rows = (await connection.execute(select(rebuild_table).where(_row.ended_at.is_(None)))).all()
        return {row.index_name: _rebuild(row) for row in rows}

    async def last_rebuild(self, index: str) -> Rebuild | None:
        """The newest one of this index, over or not."""
        query = select(rebuild_table).where(_row.index_name == index).order_by(_row.id.desc()).limit(1)
        async with self._reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _rebuild(row)

    async def add_rebuild(self, index: str, uid: str, target_uid: str, *, by: str, details: Mapping[str, Any]) -> Rebuild:
        """A planned one; where one of this index is not over, that."""
        moment = self._now()
        values = {
            "index_name": index, "uid": uid, "target_uid": target_uid, "phase": Phase.PLANNED.value, "epoch": 0,
            "old_created_at": "", "new_created_at": "", "new_is_live": False, "started_at": moment, "changed_at": moment,
            "started_by": by, "details": dict(details),
        }  # fmt: skip
        open_one = select(rebuild_table).where(_row.index_name == index, _row.ended_at.is_(None)).with_for_update()
        async with self._writing() as connection:
            if (row := (await connection.execute(open_one)).one_or_none()) is None:
                await connection.execute(insert(rebuild_table).values(**values))
                row = (await connection.execute(open_one)).one()
        return _rebuild(row)

    async def advance_rebuild(
        self,
        rebuild: Rebuild,
        phase: Phase,
        *,
        old_created_at: str | None = None,
        new_created_at: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> Rebuild | None:
        """Give it this phase; None where somebody else changed it since it was read."""
        return await self._change(rebuild, _advanced(rebuild, phase, old_created_at, new_created_at, details))

    async def exchange_rebuild(self, rebuild: Rebuild, phase: Phase) -> Rebuild | None:
        """The swap was done: what is remembered of each physical index goes by the other name from now on, in one transaction."""
        changed = replace(_advanced(rebuild, phase), new_is_live=not rebuild.new_is_live)
        return await self._change(rebuild, changed, exchange=True)

    async def end_rebuild(self, rebuild: Rebuild, phase: Phase) -> Rebuild | None:
        """Over: forget what was remembered of the index that was deleted, and close its failed work."""
        return await self._change(rebuild, _advanced(rebuild, phase), forget=True)

    async def confirm_rebuild(self, rebuild: Rebuild, worker: str) -> None:
        """This worker does what the rebuild asks in its present epoch."""
        values = {"rebuild_id": rebuild.id, "worker": worker, "epoch": rebuild.epoch, "confirmed_at": self._now()}
        async with self._writing() as connection:
            await connection.execute(self._upsert(rebuild_confirmations, ("rebuild_id", "worker")), [values])

    async def rebuild_confirmations(self, rebuild: Rebuild) -> Sequence[RebuildConfirmation]:
        """Those of its present epoch."""
        table = rebuild_confirmations.c
        query = select(rebuild_confirmations).where(table.rebuild_id == rebuild.id, table.epoch == rebuild.epoch)
        async with self._reading() as connection:
            rows = (await connection.execute(query.order_by(table.worker))).all()
        return [RebuildConfirmation(row.worker, row.epoch, row.confirmed_at) for row in rows]

    async def _change(self, before: Rebuild, after: Rebuild, *, exchange: bool = False, forget: bool = False) -> Rebuild | None:
        moment = self._now()
        after = replace(after, changed_at=moment)
        async with self._writing() as connection:
            done = await connection.execute(
                update(rebuild_table)
                .where(_row.id == before.id, _row.epoch == before.epoch)
                .values(
                    phase=after.phase.value,
                    epoch=after.epoch,
                    old_created_at=after.old_created_at,
                    new_created_at=after.new_created_at,
                    new_is_live=after.new_is_live,
                    changed_at=moment,
                    ended_at=moment if after.phase.over else None,
                    details=dict(after.details),
                )
            )
            if not done.rowcount:
                return None
            if exchange:
                await _exchange(connection, before.index, before.target_lane)
            if forget:
                await _forget(connection, before, moment)
        return after


def _advanced(
    rebuild: Rebuild,
    phase: Phase,
    old_created_at: str | None = None,
    new_created_at: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> Rebuild:
    return replace(
        rebuild,
        phase=phase,
        epoch=rebuild.epoch + 1,
        old_created_at=rebuild.old_created_at if old_created_at is None else old_created_at,
        new_created_at=rebuild.new_created_at if new_created_at is None else new_created_at,
        details={**rebuild.details, **(details or {})},
    )


async def _exchange(connection: AsyncConnection, one: str, other: str) -> None:
    named = failed_work.c.index_name
    for old, new in ((one, _ASIDE), (other, one), (_ASIDE, other)):
        await connection.execute(update(failed_work).where(named == old).values(index_name=new))
    records = (await connection.execute(select(index_records).where(index_records.c.index_name.in_((one, other))))).all()
    known = {row.index_name: row for row in records}
    for name, source in ((one, other), (other, one)):
        if (row := known.get(source)) is None:
            await connection.execute(delete(index_records).where(index_records.c.index_name == name))
            continue
        values = {
            "created_at": row.created_at, "primary_key": row.primary_key, "anchor_uid": row.anchor_uid,
            "anchor_metadata": row.anchor_metadata, "saved_at": row.saved_at,
        }  # fmt: skip
        await connection.execute(update(index_records).where(index_records.c.index_name == name).values(**values))
    for row in (await connection.execute(select(bookmarks.c.topic, bookmarks.c.partition, bookmarks.c.scanned))).all():
        scanned = dict(row.scanned)
        first, second = scanned.pop(one, None), scanned.pop(other, None)
        if first is None and second is None:
            continue
        scanned |= {name: uid for name, uid in ((one, second), (other, first)) if uid is not None}
        await _store_scanned(connection, (row.topic, row.partition), scanned)


async def _forget(connection: AsyncConnection, rebuild: Rebuild, moment: float) -> None:
    lane = rebuild.target_lane
    await connection.execute(
        update(failed_work)
        .where(failed_work.c.index_name == lane)
        .where(failed_work.c.status.in_((FailureStatus.OPEN.value, FailureStatus.RETRYING.value)))
        .values(
            status=FailureStatus.SUPERSEDED.value,
            status_reason=f"{rebuild.target_uid} was deleted",
            status_changed_at=moment,
        )
    )
    await connection.execute(
        update(findings)
        .where(findings.c.subject == lane, findings.c.cleared_at.is_(None))
        .values(cleared_by=f"{rebuild.target_uid} was deleted", cleared_at=moment)
    )
    await connection.execute(delete(index_records).where(index_records.c.index_name == lane))
    await connection.execute(delete(rebuild_confirmations).where(rebuild_confirmations.c.rebuild_id == rebuild.id))
    for row in (await connection.execute(select(bookmarks.c.topic, bookmarks.c.partition, bookmarks.c.scanned))).all():
        if lane in row.scanned:
            await _store_scanned(
                connection, (row.topic, row.partition), {name: uid for name, uid in row.scanned.items() if name != lane}
            )


async def _store_scanned(connection: AsyncConnection, place: tuple[str, int], scanned: Mapping[str, int]) -> None:
    topic, partition = place
    statement = update(bookmarks).where(bookmarks.c.topic == topic, bookmarks.c.partition == partition)
    await connection.execute(statement.values(scanned=dict(scanned)))


def _rebuild(row: Row[Any]) -> Rebuild:
    return Rebuild(
        row.id, row.index_name, row.uid, row.target_uid, Phase(row.phase), row.epoch, row.old_created_at, row.new_created_at,
        row.new_is_live, row.started_at, row.changed_at, row.started_by, row.details,
    )  # fmt: skip
