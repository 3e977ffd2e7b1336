"""Records → what they ask of each index, and the records that ask nothing that can be done."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from sync_worker.batch.coalesce import Entry
from sync_worker.change import fill
from sync_worker.change.decode import decode
from sync_worker.change.model import ASKED, Change, Operation, Record, Row, TopicPartition
from sync_worker.change.partitioner import partition_of
from sync_worker.change.promise import Promise, promises
from sync_worker.document.action import Clear, Write
from sync_worker.errors import DecodeError, ProjectionError, RecordError
from sync_worker.failure.model import Failure, ReasonClass
from sync_worker.pipeline.as_new_as_the_log import RowsAsNewAsTheLog
from sync_worker.pipeline.model import Index
from sync_worker.ports import Clock
from sync_worker.watch.snapshots import LAST_ROWS

_YIELD_EVERY = 1_000
_CONTRACT_CODES = frozenset({"field_missing", "key_mismatch"})


@dataclass(slots=True)
class Translation:
    """What a run of records asks.

    Attributes:
        steps: index name → (document id, entry) in offset order; the id is None for a clear.
        failures: one for each index that a bad record concerns.
        snapshot: Debezium's word in the last change: whether a snapshot was running.
        asked_rows: offsets of rows that a signal asked for.
        snapshot_row: offset of the last row that a snapshot read though no signal asked for it; None without one.
        snapshot_end: offset of the row that Debezium marks as its table's last.
        since_ms: commit time of the first change, milliseconds since 1970.
        promises_kept: key changes whose create is there.
        promises_read: those whose create is not, so that the row was read from the source.
        promises_elsewhere: those whose create belongs into another partition: new key, that partition, offset of the delete.
    """

    steps: dict[str, list[tuple[str | None, Entry]]] = field(default_factory=dict)
    failures: list[tuple[Failure, Record]] = field(default_factory=list)
    snapshot: str | None = None
    asked_rows: set[int] = field(default_factory=set)
    snapshot_row: int | None = None
    snapshot_end: int | None = None
    since_ms: int | None = None
    promises_kept: int = 0
    promises_read: list[Promise] = field(default_factory=list)
    promises_elsewhere: list[tuple[Mapping[str, Any], int, int]] = field(default_factory=list)


class _Run:
    """Records of one partition on their way into one `result`."""

    def __init__(self, partition: TopicPartition, topic_id: str, indexes: Sequence[Index]) -> None:
        self.partition = partition
        self.topic_id = topic_id
        self.indexes = indexes
        self.deferrable = {index.table for index in indexes if index.projector.declaration.deferrable_key}
        self.result = Translation(steps={index.name: [] for index in indexes})
        self.ways = [(index, index.table, index.projector.project, self.result.steps[index.name]) for index in indexes]


class Translator:
    """Decodes, completes and projects records for the indexes of their table.

    Attributes:
        partition_counts: topic → how many partitions it has; one where nothing is known.
    """

    def __init__(self, source: RowsAsNewAsTheLog, clock: Clock) -> None:
        self.partition_counts: dict[str, int] = {}
        self._source = source
        self._told: int | None = None
        self._clock = clock

    async def translate(
        self, records: Sequence[Record], partition: TopicPartition, topic_id: str, indexes: Sequence[Index]
    ) -> Translation:
        """Raises SourceUnavailable when rows have to be fetched and can't be; nothing of a record escapes."""
        columns = {column for index in indexes for column in index.projector.columns}
        run = _Run(partition, topic_id, indexes)
        for start in range(0, len(records), _YIELD_EVERY):
            for record in records[start : start + _YIELD_EVERY]:
                change = self._decoded(record, run)
                if change is None:
                    continue
                if (change.unavailable or change.moved or change.snapshot == ASKED) and fill.incomplete(change, columns):
                    return await self._translate_lacking(records, _Run(partition, topic_id, indexes), columns)
                self._project(change, record, run)
            await asyncio.sleep(0)
        return run.result

    async def _translate_lacking(self, records: Sequence[Record], run: _Run, columns: set[str]) -> Translation:
        """From the start, with all changes at hand before the first is projected: what one lacks, another may have."""
        decoded: list[tuple[Record, Change]] = []
        for start in range(0, len(records), _YIELD_EVERY):
            for record in records[start : start + _YIELD_EVERY]:
                if (change := self._decoded(record, run)) is not None:
                    decoded.append((record, change))
            await asyncio.sleep(0)
        decoded = _with_promised_rows(decoded, run, self.partition_counts.get(run.partition.topic, 1))
        whole, unreadable = await self._complete([change for _, change in decoded], columns, run.indexes)
        for position, reason in unreadable.items():
            self._fail_everywhere(decoded[position][0], run, reason)
        for start in range(0, len(decoded), _YIELD_EVERY):
            stop = start + _YIELD_EVERY
            for (record, _), completed in zip(decoded[start:stop], whole[start:stop], strict=True):
                if completed is not None:
                    self._project(completed, record, run)
            await asyncio.sleep(0)
        return run.result

    def _decoded(self, record: Record, run: _Run) -> Change | None:
        """What the record says; None where it says nothing, or what can't be read, which becomes a failure."""
        try:
            change = decode(record)
        except DecodeError as error:
            self._fail_everywhere(record, run, error)
            return None
        if change is None or change.operation is Operation.MESSAGE:
            return None
        if change.transaction != self._told and change.transaction is not None:
            self._told = change.transaction
            self._source.told(change.transaction)
        result = run.result
        if result.since_ms is None:
            result.since_ms = change.source_ms
        result.snapshot = change.snapshot
        if change.snapshot == ASKED:
            result.asked_rows.add(record.offset)
        elif change.snapshot is not None:
            result.snapshot_row = record.offset
            if change.snapshot in LAST_ROWS:
                result.snapshot_end = record.offset
        if change.operation is Operation.DELETE and change.table in run.deferrable:
            # The new row of the key may have come before it in the log.
            change.moved = True
        return change

    def _fail_everywhere(self, record: Record, run: _Run, reason: RecordError) -> None:
        run.result.failures.extend((self._failure(index, record, run, None, None, reason), record) for index in run.indexes)

    async def _complete(
        self, changes: Sequence[Change], columns: set[str], indexes: Sequence[Index]
    ) -> tuple[Sequence[Change | None], Mapping[int, RecordError]]:
        """Whole changes, and those whose key the source can't read: position → why."""
        plan = fill.plan(changes, columns)
        rows: list[Row | None] = [None] * len(plan.keys)
        unreadable: dict[int, RecordError] = {}
        fetched: list[int] = []
        for number, position in enumerate(plan.positions):
            if error := self._key_problem(changes[position], indexes):
                unreadable[position] = error
            else:
                fetched.append(number)
        if fetched:
            keys = [plan.keys[number] for number in fetched]
            table, key_columns = changes[plan.positions[fetched[0]]].table, list(keys[0])
            try:
                found = list(await self._source.rows(table, key_columns, keys))
            except RecordError:
                found = []
                for number, key in zip(fetched, keys, strict=True):
                    try:
                        found.extend(await self._source.rows(table, key_columns, [key]))
                    except RecordError as error:
                        unreadable[plan.positions[number]] = error
                        found.append(None)
            for number, row in zip(fetched, found, strict=True):
                rows[number] = row
        whole = list(fill.complete(plan, rows))
        for position in unreadable:
            whole[position] = None
        return whole, unreadable

    def _key_problem(self, change: Change, indexes: Sequence[Index]) -> RecordError | None:
        """Why no index could name the row's document: then its row is not looked for either."""
        try:
            for index in indexes:
                if index.table == change.table:
                    index.projector.document_id(change.key)
        except RecordError as error:
            return error
        return None

    def _project(self, change: Change, record: Record, run: _Run) -> None:
        for index, table, project, steps in run.ways:
            if table != change.table:
                continue
            try:
                action = project(change)
            except RecordError as error:
                failure = self._failure(index, record, run, self._document_id(index, change.key), change, error)
                run.result.failures.append((failure, record))
                continue
            line = action.line if type(action) is Write else None
            entry = Entry(line, run.partition, record.offset, change.source_ms, change.operation)
            if not isinstance(action, Clear):
                steps.append((action.document_id, entry))
            elif index.truncate != "ignore":
                steps.append((None, entry))

    def _document_id(self, index: Index, key: Mapping[str, object]) -> str | None:
        try:
            return index.projector.document_id(key)
        except RecordError:
            return None

    def _failure(
        self,
        index: Index,
        record: Record,
        run: _Run,
        document_id: str | None,
        change: Change | None,
        error: RecordError,
    ) -> Failure:
        reason = reason_of(error)
        return Failure(
            index=index.name,
            document_id=document_id,
            operation=change.operation.name.lower() if change else "unknown",
            reason_class=reason,
            code=error.code,
            message=error.message[:4096],
            retryable=reason is not ReasonClass.DECODE,
            topic_id=run.topic_id,
            partition=run.partition,
            offset=record.offset,
            source_ms=change.source_ms if change else record.timestamp,
            failed_at=self._clock.now(),
        )


def reason_of(error: RecordError) -> ReasonClass:
    """The class of a record that can't become a document."""
    if isinstance(error, DecodeError):
        return ReasonClass.DECODE
    if isinstance(error, ProjectionError):
        return ReasonClass.CONTRACT if error.code in _CONTRACT_CODES else ReasonClass.PROJECTION
    return ReasonClass.REJECTED


def _with_promised_rows(decoded: Sequence[tuple[Record, Change]], run: _Run, partitions: int) -> list[tuple[Record, Change]]:
    """Behind each delete that promises a row which does not follow: that row, to be read from the source."""
    result, here = run.result, run.partition.partition
    result.promises_kept, open_promises = promises(decoded)
    whole = list(decoded)
    for promise in reversed(open_promises):
        record, gone = decoded[promise.position]
        place = here if partitions == 1 else partition_of(orjson.dumps(promise.key), partitions)
        if place != here:
            result.promises_elsewhere.append((promise.key, place, promise.offset))
            continue
        result.promises_read.append(promise)
        asked = Change(Operation.DELETE, gone.table, promise.key, None, None, (), gone.source_ms, gone.snapshot, moved=True)
        whole.insert(promise.position + 1, (record, asked))
    return whole
