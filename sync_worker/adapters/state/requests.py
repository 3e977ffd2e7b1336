"""What operators ask of the workers: retries of failed work, and pauses of indexes. Both sides of each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, and_, delete, exists, insert, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sync_worker.adapters.state.connections import Connections
from sync_worker.adapters.state.failed_work import as_failed_work
from sync_worker.adapters.state.schema import failed_work, pause_confirmations, rebuilt_failures, retries
from sync_worker.adapters.state.schema import pauses as pause_table
from sync_worker.change.model import TopicPartition
from sync_worker.failure.model import FailureStatus
from sync_worker.ports import AskedRetry, Pause, PauseConfirmation

_row = failed_work.c
_UNSETTLED = (FailureStatus.OPEN.value, FailureStatus.RETRYING.value)


class RequestTables(Connections):
    """Retries and pauses."""

    # Retries: what the operator does

    async def ask_retry(self, failed_work_id: int, *, from_source: bool, by: str) -> FailureStatus | None:
        """Set an open row to `retrying` for a worker to take up; the status that it has then, None where there is no such row.

        A row that is `retrying` already stays so, with its first request: asking twice is asking once.
        """
        async with self._writing() as connection:
            moment = self._now()
            changed = await connection.execute(
                update(failed_work)
                .where(_row.id == failed_work_id, _row.status == FailureStatus.OPEN.value)
                .values(status=FailureStatus.RETRYING.value, status_reason=f"asked by {by}", status_changed_at=moment)
            )
            if changed.rowcount:
                await connection.execute(delete(retries).where(retries.c.failed_work_id == failed_work_id))
                await connection.execute(
                    insert(retries).values(failed_work_id=failed_work_id, from_source=from_source, asked_at=moment, asked_by=by)
                )
            return await _status(connection, failed_work_id)

    async def discard(self, failed_work_id: int, reason: str) -> FailureStatus | None:
        """Set an open row to `discarded`; the status that it has then, None where there is no such row."""
        async with self._writing() as connection:
            await connection.execute(
                update(failed_work)
                .where(_row.id == failed_work_id, _row.status == FailureStatus.OPEN.value)
                .values(status=FailureStatus.DISCARDED.value, status_reason=reason, status_changed_at=self._now())
            )
            return await _status(connection, failed_work_id)

    # Retries: what the worker does

    async def asked_retries(
        self, indexes: Collection[str], partitions: Collection[TopicPartition], *, limit: int
    ) -> Sequence[AskedRetry]:
        """Rows that are `retrying`, oldest first. One without a request (written by hand) is tried as it is stored."""
        query = (
            select(failed_work, retries.c.from_source, rebuilt_failures.c.failed_work_id.label("rebuilt"))
            .outerjoin(retries, retries.c.failed_work_id == _row.id)
            .outerjoin(rebuilt_failures, rebuilt_failures.c.failed_work_id == _row.id)
            .where(_row.status == FailureStatus.RETRYING.value, _row.index_name.in_(sorted(indexes)))
            .where(tuple_(_row.topic, _row.partition).in_(sorted(partitions)))
            .order_by(_row.id)
            .limit(limit)
        )
        async with self._reading() as connection:
            rows = (await connection.execute(query)).all()
        return [AskedRetry(as_failed_work(row), bool(row.from_source), row.rebuilt is not None) for row in rows]

    async def close_retry(self, failed_work_id: int, status: FailureStatus, reason: str) -> bool:
        """Give the row this status and end the retry; False where it was not `retrying` any more."""
        async with self._writing() as connection:
            changed = await connection.execute(
                update(failed_work)
                .where(_row.id == failed_work_id, _row.status == FailureStatus.RETRYING.value)
                .values(status=status.value, status_reason=reason, status_changed_at=self._now())
            )
            await connection.execute(delete(retries).where(retries.c.failed_work_id == failed_work_id))
            return changed.rowcount > 0

    async def judge_retry(self, failed_work_id: int, *, attempts: int, later_from: int) -> FailureStatus:
        """What became of a retry that was written and settled; see the port."""
        async with self._writing() as connection:
            row = (await connection.execute(select(failed_work).where(_row.id == failed_work_id).with_for_update())).one()
            await connection.execute(delete(retries).where(retries.c.failed_work_id == failed_work_id))
            if row.status != FailureStatus.RETRYING.value:
                return FailureStatus(row.status)
            if row.attempts > attempts:
                verdict, reason = FailureStatus.OPEN, "tried again, and failed again"
            elif await self._later_failed(connection, row, later_from):
                verdict, reason = FailureStatus.SUPERSEDED, "a later change of the document failed"
            else:
                verdict, reason = FailureStatus.RESOLVED, "tried again, and applied"
                await self._supersede_older(connection, row, later_from)
            await connection.execute(
                update(failed_work)
                .where(_row.id == failed_work_id)
                .values(status=verdict.value, status_reason=reason, status_changed_at=self._now())
            )
            return verdict

    async def _later_failed(self, connection: AsyncConnection, row: Row[Any], later_from: int) -> bool:
        if row.document_id is None:
            return False
        later = exists().where(
            *_of_same_document(row), _row.id != row.id, _row.topic_id == row.topic_id, _row.offset >= later_from
        )
        return bool((await connection.execute(select(later))).scalar_one())

    async def _supersede_older(self, connection: AsyncConnection, row: Row[Any], later_from: int) -> None:
        """What was written is newer than every other failure of the document before it."""
        if row.document_id is None:
            return
        older = or_(_row.topic_id != row.topic_id, _row.offset < later_from)
        await connection.execute(
            update(failed_work)
            .where(*_of_same_document(row), _row.id != row.id, _row.status.in_(_UNSETTLED), older)
            .values(
                status=FailureStatus.SUPERSEDED.value,
                status_reason=f"failed work {row.id} was tried again, and applied",
                status_changed_at=self._now(),
            )
        )

    # Pauses

    async def pause(self, index: str, *, by: str, reason: str) -> Pause:
        """The index is paused from now on; one that is already stays as it was asked first."""
        async with self._writing() as connection:
            statement = self._insert(pause_table).on_conflict_do_nothing(index_elements=["index_name"])
            values = {"index_name": index, "asked_at": self._now(), "asked_by": by, "reason": reason}
            await connection.execute(statement, [values])
            row = (await connection.execute(select(pause_table).where(pause_table.c.index_name == index))).one()
        return Pause(row.index_name, row.asked_at, row.asked_by, row.reason)

    async def resume(self, index: str) -> bool:
        """Whether it was paused."""
        async with self._writing() as connection:
            gone = await connection.execute(delete(pause_table).where(pause_table.c.index_name == index))
            await connection.execute(delete(pause_confirmations).where(pause_confirmations.c.index_name == index))
            return gone.rowcount > 0

    async def pauses(self) -> Mapping[str, Pause]:
        """Index name → its pause."""
        async with self._reading() as connection:
            rows = (await connection.execute(select(pause_table))).all()
        return {row.index_name: Pause(row.index_name, row.asked_at, row.asked_by, row.reason) for row in rows}

    async def confirm_pause(self, pause: Pause, worker: str) -> None:
        """Stored while the pause is still the one that is confirmed."""
        async with self._writing() as connection:
            query = select(pause_table.c.asked_at).where(pause_table.c.index_name == pause.index)
            if (await connection.execute(query)).scalar() != pause.asked_at:
                return
            values = {"index_name": pause.index, "worker": worker, "asked_at": pause.asked_at, "confirmed_at": self._now()}
            await connection.execute(self._upsert(pause_confirmations, ("index_name", "worker")), [values])

    async def pause_confirmations(self, index: str) -> Sequence[PauseConfirmation]:
        """Those of the present pause, by worker."""
        query = (
            select(pause_confirmations)
            .join(
                pause_table,
                and_(
                    pause_table.c.index_name == pause_confirmations.c.index_name,
                    pause_table.c.asked_at == pause_confirmations.c.asked_at,
                ),
            )
            .where(pause_confirmations.c.index_name == index)
            .order_by(pause_confirmations.c.worker)
        )
        async with self._reading() as connection:
            rows = (await connection.execute(query)).all()
        return [PauseConfirmation(row.index_name, row.worker, row.confirmed_at) for row in rows]


def _of_same_document(row: Row[Any]) -> tuple[Any, ...]:
    return (
        _row.index_name == row.index_name,
        _row.document_id == row.document_id,
        _row.topic == row.topic,
        _row.partition == row.partition,
    )


async def _status(connection: AsyncConnection, failed_work_id: int) -> FailureStatus | None:
    found = (await connection.execute(select(_row.status).where(_row.id == failed_work_id))).scalar()
    return None if found is None else FailureStatus(found)
