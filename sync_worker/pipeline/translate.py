"""Records → what they ask of each index, and the records that ask nothing that can be done."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sync_worker.batch.coalesce import Entry
from sync_worker.change import fill
from sync_worker.change.decode import decode
from sync_worker.change.model import Change, Operation, Record, Row, TopicPartition
from sync_worker.document.action import Clear, Write
from sync_worker.errors import DecodeError, ProjectionError, RecordError
from sync_worker.failure.model import Failure, ReasonClass
from sync_worker.pipeline.model import Index
from sync_worker.ports import Clock, Source

_YIELD_EVERY = 1_000
_CONTRACT_CODES = frozenset({"field_missing", "key_mismatch"})


@dataclass(slots=True)
class Translation:
    """What a run of records asks.

    Attributes:
        steps: index name → (document id, entry) in offset order; the id is None for a clear.
        failures: one for each index that a bad record concerns.
        snapshot: Debezium's word in the last change: whether a snapshot was running.
        since_ms: commit time of the first change, milliseconds since 1970.
    """

    steps: dict[str, list[tuple[str | None, Entry]]] = field(default_factory=dict)
    failures: list[tuple[Failure, Record]] = field(default_factory=list)
    snapshot: str | None = None
    since_ms: int | None = None


class Translator:
    """Decodes, completes and projects records for the indexes of their table."""

    def __init__(self, source: Source, clock: Clock) -> None:
        self._source = source
        self._clock = clock

    async def translate(
        self, records: Sequence[Record], partition: TopicPartition, topic_id: str, indexes: Sequence[Index]
    ) -> Translation:
        """Raises SourceUnavailable when rows have to be fetched and can't be; nothing of a record escapes."""
        result = Translation(steps={index.name: [] for index in indexes})
        changes: list[tuple[Record, Change]] = []
        lacking = False
        columns = {column for index in indexes for column in index.projector.columns}
        for number, record in enumerate(records, 1):
            if number % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
            try:
                change = decode(record)
            except DecodeError as error:
                result.failures.extend(
                    (self._failure(index, record, partition, topic_id, None, None, error), record) for index in indexes
                )
                continue
            if change is None or change.operation is Operation.MESSAGE:
                continue
            changes.append((record, change))
            lacking = lacking or (bool(change.unavailable) and fill.incomplete(change, columns))
        whole: Sequence[Change | None] = [change for _, change in changes]
        if lacking:
            whole, unreadable = await self._complete([change for _, change in changes], columns)
            for position, reason in unreadable.items():
                record = changes[position][0]
                result.failures.extend(
                    (self._failure(index, record, partition, topic_id, None, None, reason), record) for index in indexes
                )
        for number, ((record, _), completed) in enumerate(zip(changes, whole, strict=True), 1):
            if number % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
            if completed is not None:
                self._project(completed, record, partition, topic_id, indexes, result)
        if changes:
            result.snapshot = changes[-1][1].snapshot
            result.since_ms = changes[0][1].source_ms
        return result

    async def _complete(
        self, changes: Sequence[Change], columns: set[str]
    ) -> tuple[Sequence[Change | None], Mapping[int, RecordError]]:
        """Whole changes, and those whose key the source can't read: position → why."""
        plan = fill.plan(changes, columns)
        rows: list[Row | None] = []
        unreadable: dict[int, RecordError] = {}
        if plan.keys:
            table, key_columns = changes[plan.positions[0]].table, list(plan.keys[0])
            try:
                rows.extend(await self._source.rows(table, key_columns, plan.keys))
            except RecordError:
                for position, key in zip(plan.positions, plan.keys, strict=True):
                    try:
                        rows.extend(await self._source.rows(table, list(key), [key]))
                    except RecordError as error:
                        unreadable[position] = error
                        rows.append(None)
        whole = list(fill.complete(plan, rows))
        for position in unreadable:
            whole[position] = None
        return whole, unreadable

    def _project(
        self,
        change: Change,
        record: Record,
        partition: TopicPartition,
        topic_id: str,
        indexes: Sequence[Index],
        result: Translation,
    ) -> None:
        for index in indexes:
            if index.table != change.table:
                continue
            try:
                action = index.projector.project(change)
            except RecordError as error:
                document_id = self._document_id(index, change.key)
                failure = self._failure(index, record, partition, topic_id, document_id, change, error)
                result.failures.append((failure, record))
                continue
            entry = Entry(None, partition, record.offset, change.source_ms, change.operation)
            if isinstance(action, Write):
                entry.line = action.line
                result.steps[index.name].append((action.document_id, entry))
            elif isinstance(action, Clear):
                if index.truncate != "ignore":
                    result.steps[index.name].append((None, entry))
            else:
                result.steps[index.name].append((action.document_id, entry))

    def _document_id(self, index: Index, key: Mapping[str, object]) -> str | None:
        try:
            return index.projector.document_id(key)
        except RecordError:
            return None

    def _failure(
        self,
        index: Index,
        record: Record,
        partition: TopicPartition,
        topic_id: str,
        document_id: str | None,
        change: Change | None,
        error: RecordError,
    ) -> Failure:
        if isinstance(error, DecodeError):
            reason = ReasonClass.DECODE
        elif isinstance(error, ProjectionError):
            reason = ReasonClass.CONTRACT if error.code in _CONTRACT_CODES else ReasonClass.PROJECTION
        else:
            reason = ReasonClass.REJECTED
        return Failure(
            index=index.name,
            document_id=document_id,
            operation=change.operation.name.lower() if change else "unknown",
            reason_class=reason,
            code=error.code,
            message=error.message[:4096],
            retryable=reason is not ReasonClass.DECODE,
            topic_id=topic_id,
            partition=partition,
            offset=record.offset,
            source_ms=change.source_ms if change else record.timestamp,
            failed_at=self._clock.now(),
        )
