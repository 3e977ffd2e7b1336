"""The table `failed_work`: writing it as the pipeline fails and supersedes, reading it as an operator asks."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Row, Text, and_, any_, bindparam, case, func, literal, or_, select, update

from sync_worker.adapters.state.connections import Connections
from sync_worker.adapters.state.schema import failed_work, rebuilt_failures
from sync_worker.change.model import TopicPartition
from sync_worker.failure.model import FailedWork, Failure, FailureStatus, OpenFailure, PayloadReference, ReasonClass
from sync_worker.failure.text import cut

_POSITION = ("topic_id", "topic", "partition", "offset", "index_name", "request")
_UNSETTLED = (FailureStatus.OPEN.value, FailureStatus.RETRYING.value)
_row = failed_work.c


class FailedWorkTable(Connections):
    """Failures by their source position."""

    async def record_failures(self, failures: Sequence[Failure], references: Sequence[PayloadReference | None]) -> None:
        """Insert; the same position and index again is another attempt of the same row, with its newest words.

        The same moment again (`failed_at`) is the same attempt told twice, and changes nothing. What another attempt does to
        the status, when a range is consumed again after a restart or to mend a late write:

        - *open* and *retrying* stay: what was asked of a row is not forgotten.
        - *superseded* and *discarded* stay: the change that superseded it lies behind it in the log, so it is consumed again as
          well; and what an operator has let go is not brought back by a restart.
        - *resolved* is open again: the index may hold something older than the retry had written.

        A request is nothing that is consumed again: its failure is open again whatever it was, but for *retrying*.
        """
        rows = [_values(failure, reference) for failure, reference in zip(failures, references, strict=True)]
        if not rows:
            return
        rows.sort(key=lambda row: [row[name] for name in _POSITION])  # two workers lock in one order
        statement = self._insert(failed_work)
        told = statement.excluded
        again = told.last_failed_at != _row.last_failed_at
        settled = and_(*(_row.status != status for status in _UNSETTLED))  # `in` is not for many rows at once
        reopened = and_(again, or_(_row.status == FailureStatus.RESOLVED.value, and_(_row.request != "", settled)))
        lettered = told.dlq_topic.is_not(None)
        statement = self._upsert(
            failed_work,
            _POSITION,
            id=_row.id,
            attempts=_row.attempts + case((again, 1), else_=0),
            first_failed_at=case((told.first_failed_at < _row.first_failed_at, told.first_failed_at), else_=_row.first_failed_at),
            dlq_topic=case((lettered, told.dlq_topic), else_=_row.dlq_topic),
            dlq_partition=case((lettered, told.dlq_partition), else_=_row.dlq_partition),
            dlq_offset=case((lettered, told.dlq_offset), else_=_row.dlq_offset),
            status=case((reopened, FailureStatus.OPEN.value), else_=_row.status),
            status_reason=case((reopened, literal("failed again after it was ") + _row.status), else_=_row.status_reason),
            status_changed_at=case((reopened, told.last_failed_at), else_=_row.status_changed_at),
        )
        async with self._writing() as connection:
            await connection.execute(statement, rows)

    async def restore(self, told: Sequence[tuple[Failure, PayloadReference | None]], *, reason: str) -> int:
        """Insert failures from their dead letters, each with all its attempts; how many rows were missing.

        Several of one position are attempts of one row. Rows that are there are left alone. The new ones are open, and known as
        restored: whether a later change of their document was applied is not known of them.
        """
        rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        for failure, reference in sorted(told, key=lambda pair: pair[0].failed_at):
            row = _values(failure, reference)
            key = tuple(row[name] for name in _POSITION)
            if (known := rows.get(key)) is not None:
                again = failure.failed_at != known["last_failed_at"]
                row["attempts"] = known["attempts"] + again
                row["first_failed_at"] = known["first_failed_at"]
                if reference is None:
                    row |= {name: known[name] for name in ("dlq_topic", "dlq_partition", "dlq_offset")}
            rows[key] = row | {"status_reason": reason}
        count = 0
        async with self._writing() as connection:
            for _, row in sorted(rows.items()):
                statement = (
                    self._insert(failed_work).values(row).on_conflict_do_nothing(index_elements=_POSITION).returning(_row.id)
                )
                made = (await connection.execute(statement)).scalar()
                if made is not None:
                    values = {"failed_work_id": made, "rebuilt_at": self._now()}
                    await connection.execute(self._upsert(rebuilt_failures, ("failed_work_id",)), [values])
                    count += 1
        return count

    async def restored(self, ids: Collection[int]) -> frozenset[int]:
        """Those of these rows that `restore` made."""
        query = select(rebuilt_failures.c.failed_work_id).where(rebuilt_failures.c.failed_work_id.in_(sorted(ids)))
        async with self._reading() as connection:
            return frozenset((await connection.execute(query)).scalars())

    async def move_letters(self, moved: Mapping[PayloadReference, PayloadReference]) -> None:
        """Dead letters lie elsewhere now; rows that name none of the old places stay as they are."""
        if not moved:
            return
        statement = (
            update(failed_work)
            .where(
                _row.dlq_partition == bindparam("old_partition"),
                _row.dlq_offset == bindparam("old_offset"),
                _row.dlq_topic == bindparam("old_topic"),
            )
            .values(
                dlq_topic=bindparam("new_topic"), dlq_partition=bindparam("new_partition"), dlq_offset=bindparam("new_offset")
            )
        )
        values = [
            {
                "old_topic": before.topic,
                "old_partition": before.partition,
                "old_offset": before.offset,
                "new_topic": after.topic,
                "new_partition": after.partition,
                "new_offset": after.offset,
            }
            for before, after in moved.items()
        ]
        async with self._writing() as connection:
            await connection.execute(statement, values)

    async def erase(self, index: str, document_id: str, reason: str) -> int:
        """Forget the words and the letters of this document's failures, and discard open ones; how many rows there are.

        What stays tells nothing of the row's content: id, position, code, and when.
        """
        unsettled = _row.status.in_(_UNSETTLED)
        async with self._writing() as connection:
            result = await connection.execute(
                update(failed_work)
                .where(_row.index_name == index, _row.document_id == document_id)
                .values(
                    message="[erased]",
                    dlq_topic=None,
                    dlq_partition=None,
                    dlq_offset=None,
                    status=case((unsettled, FailureStatus.DISCARDED.value), else_=_row.status),
                    status_reason=case((unsettled, reason), else_=_row.status_reason),
                    status_changed_at=case((unsettled, self._now()), else_=_row.status_changed_at),
                )
            )
            return result.rowcount

    async def open_failures(self, index: str, partition: TopicPartition, topic_id: str | None = None) -> Sequence[OpenFailure]:
        """Every open or retrying failure of this index from this partition, by offset.

        The offset of one from a topic with another id than `topic_id` is -1: it is older than everything in this one.
        """
        offset = _row.offset if topic_id is None else case((_row.topic_id == topic_id, _row.offset), else_=-1)
        query = (
            select(_row.document_id, offset, _row.request)
            .where(_row.index_name == index, _row.document_id.is_not(None), _from(partition), _row.status.in_(_UNSETTLED))
            .order_by(offset, _row.id)
        )
        async with self._reading() as connection:
            return [
                OpenFailure(document_id, partition, found, request or None)
                for document_id, found, request in await connection.execute(query)
            ]

    async def supersede(
        self,
        index: str,
        document_ids: Collection[str],
        before: Mapping[TopicPartition, int],
        topic_ids: Mapping[TopicPartition, str] | None = None,
    ) -> int:
        """Mark open failures of these documents with an offset below `before[partition]`, or of another topic than
        `topic_ids[partition]`, as superseded; how many."""
        if not document_ids:
            return 0
        return await self._supersede(index, before, topic_ids, "a later change was applied", self._among(document_ids))

    async def supersede_all(
        self, index: str, before: Mapping[TopicPartition, int], topic_ids: Mapping[TopicPartition, str] | None = None
    ) -> int:
        """The same for every failure of the index, also of records whose document is unknown: a clear was applied."""
        return await self._supersede(index, before, topic_ids, "the index was cleared")

    async def _supersede(
        self,
        index: str,
        before: Mapping[TopicPartition, int],
        topic_ids: Mapping[TopicPartition, str] | None,
        reason: str,
        *documents: ColumnElement[bool],
    ) -> int:
        count = 0
        async with self._writing() as connection:
            for partition, offset in sorted(before.items()):
                older = _row.offset < offset
                if topic_ids is not None:
                    older = or_(older, _row.topic_id != topic_ids[partition])
                result = await connection.execute(
                    update(failed_work)
                    .where(_row.index_name == index, _from(partition), older, _row.status.in_(_UNSETTLED), *documents)
                    .values(status=FailureStatus.SUPERSEDED.value, status_reason=reason, status_changed_at=self._now())
                )
                count += result.rowcount
        return count

    def _among(self, document_ids: Iterable[str]) -> ColumnElement[bool]:
        """One parameter however many ids: both databases limit the number of parameters."""
        ids = list(document_ids)
        if self._engine.dialect.name == "sqlite":
            return _row.document_id.in_(select(func.json_each(json.dumps(ids)).table_valued("value").c.value))
        return _row.document_id == any_(literal(ids, ARRAY(Text)))

    async def failed_work(
        self,
        *,
        index: str | None = None,
        statuses: Collection[FailureStatus] = (),
        reason_class: ReasonClass | None = None,
        code: str | None = None,
        document_id: str | None = None,
        retryable: bool | None = None,
        failed_before: float | None = None,
        failed_after: float | None = None,
        ids: Collection[int] | None = None,
        before_id: int | None = None,
        limit: int = 100,
        oldest_first: bool = False,
    ) -> Sequence[FailedWork]:
        """Rows that fit every given filter, newest first; the next page is `before_id` = the last row's id.

        Args:
            failed_before, failed_after: of the first failure, seconds since 1970.
        """
        query = select(failed_work).order_by(_row.id if oldest_first else _row.id.desc()).limit(limit)
        equal = {
            _row.index_name: index,
            _row.reason_class: reason_class and reason_class.value,
            _row.code: code,
            _row.document_id: document_id,
            _row.retryable: retryable,
        }
        query = query.where(*(column == value for column, value in equal.items() if value is not None))
        if statuses:
            query = query.where(_row.status.in_([status.value for status in statuses]))
        if failed_before is not None:
            query = query.where(_row.first_failed_at < failed_before)
        if failed_after is not None:
            query = query.where(_row.first_failed_at >= failed_after)
        if ids is not None:
            query = query.where(_row.id.in_(sorted(ids)))
        if before_id is not None:
            query = query.where(_row.id < before_id)
        async with self._reading() as connection:
            return [as_failed_work(row) for row in await connection.execute(query)]

    async def failed_counts(self, indexes: Collection[str]) -> Mapping[tuple[str, ReasonClass, FailureStatus], int]:
        """How many, for every reason class and status of these indexes and of any other in the table; zeros included."""
        query = select(_row.index_name, _row.reason_class, _row.status, func.count()).group_by(
            _row.index_name, _row.reason_class, _row.status
        )
        async with self._reading() as connection:
            counted = {
                (index, ReasonClass(reason), FailureStatus(status)): count
                for index, reason, status, count in await connection.execute(query)
            }
        names = sorted({*indexes, *(index for index, _, _ in counted)})
        return {
            (index, reason, status): counted.get((index, reason, status), 0)
            for index in names
            for reason in ReasonClass
            for status in FailureStatus
        }


def _from(partition: TopicPartition) -> ColumnElement[bool]:
    return and_(_row.topic == partition.topic, _row.partition == partition.partition)


def _values(failure: Failure, reference: PayloadReference | None) -> dict[str, Any]:
    return {
        "index_name": failure.index,
        "document_id": failure.document_id,
        "operation": failure.operation,
        "reason_class": failure.reason_class.value,
        "code": failure.code,
        "message": cut(failure.message),
        "retryable": failure.retryable,
        "status": FailureStatus.OPEN.value,
        "attempts": 1,
        "first_failed_at": failure.failed_at,
        "last_failed_at": failure.failed_at,
        "topic_id": failure.topic_id,
        "topic": failure.partition.topic,
        "partition": failure.partition.partition,
        "offset": failure.offset,
        "source_ms": failure.source_ms,
        "dlq_topic": reference and reference.topic,
        "dlq_partition": reference and reference.partition,
        "dlq_offset": reference and reference.offset,
        "status_reason": "",
        "status_changed_at": failure.failed_at,
        "request": failure.request or "",
    }


def as_failed_work(row: Row[Any]) -> FailedWork:
    """A row of the table, whatever columns it was read with beside the table's own."""
    failure = Failure(
        index=row.index_name,
        document_id=row.document_id,
        operation=row.operation,
        reason_class=ReasonClass(row.reason_class),
        code=row.code,
        message=row.message,
        retryable=row.retryable,
        topic_id=row.topic_id,
        partition=TopicPartition(row.topic, row.partition),
        offset=row.offset,
        source_ms=row.source_ms,
        failed_at=row.last_failed_at,
        request=row.request or None,
    )
    return FailedWork(
        id=row.id,
        failure=failure,
        status=FailureStatus(row.status),
        attempts=row.attempts,
        first_failed_at=row.first_failed_at,
        reference=None if row.dlq_topic is None else PayloadReference(row.dlq_topic, row.dlq_partition, row.dlq_offset),
        status_reason=row.status_reason,
        status_changed_at=row.status_changed_at,
    )
