"""Writing a document again as its row is now, by the partition's owner, in the document's order.

The row is read while the partition's lock is held and nothing of the document is on its way: it is as new as everything that
was taken from the log, or newer. What made it newer follows in the log and is written after it.

Where no record failed but somebody asked for the row, its failure has the row's key for an identity: the record that was
taken last is another row's, or another change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from sync_worker.batch.coalesce import Entry
from sync_worker.change.model import Change, Operation, Row, StoredRecord, TopicPartition
from sync_worker.document.action import Write
from sync_worker.errors import RecordError
from sync_worker.failure.model import Failure
from sync_worker.pipeline.lane import Lane
from sync_worker.pipeline.model import Index
from sync_worker.pipeline.quarantine import letter_of
from sync_worker.pipeline.translate import reason_of
from sync_worker.ports import Clock, Source
from sync_worker.progress.ledger import Span

Asked = Mapping[str, Any] | str
"""The key of a row, or the id of a document that no row can bear: that is deleted."""


def request_of(asked: Asked) -> str:
    """As in `failure.model.Failure`."""
    return orjson.dumps(asked, option=orjson.OPT_SORT_KEYS).decode()


def asked_by(request: str) -> Asked:
    asked: Asked = orjson.loads(request)
    return asked


async def row_now(
    index: Index,
    asked: Asked,
    place: TopicPartition,
    offset: int,
    *,
    request: str | None = None,
    source: Source,
    clock: Clock,
) -> tuple[str, Entry]:
    """The document id of what was asked for, and what today's declaration makes of its row; a deletion where there is none.

    Args:
        offset, request: as in `batch.coalesce.Entry`.

    Raises RecordError where the row does not become a document, SourceUnavailable.
    """
    document_id = asked if isinstance(asked, str) else index.projector.document_id(asked)
    row = None if isinstance(asked, str) else (await source.rows(index.table, list(asked), [asked]))[0]
    return document_id, entry_of(index, document_id, asked, row, place, offset, int(clock.now() * 1000), request)


def entry_of(
    index: Index,
    document_id: str,
    asked: Asked,
    row: Row | None,
    place: TopicPartition,
    offset: int,
    source_ms: int,
    request: str | None = None,
) -> Entry:
    """What today's declaration makes of the row for this document; a deletion where it makes none, or another one.

    A row that only equals the key by its type's own rules (a text without regard to case) has a document of its own.

    Raises RecordError where the row does not become a document.
    """
    if isinstance(asked, str) or row is None:
        return Entry(None, place, offset, source_ms, Operation.DELETE, request)
    action = index.projector.project(Change(Operation.READ, index.table, asked, row, None, (), source_ms, None))
    ours = isinstance(action, Write) and action.document_id == document_id
    line = action.line if isinstance(action, Write) and ours else None
    return Entry(line, place, offset, source_ms, Operation.READ, request)


def refused(
    lane: Lane, document_id: str | None, request: str, place: TopicPartition, offset: int, error: RecordError, now: float
) -> tuple[Failure, StoredRecord]:
    """The failure of a row that was read on request and does not become a document, with what its dead letter holds."""
    failure = Failure(
        index=lane.index.name,
        document_id=document_id,
        operation=Operation.READ.name.lower(),
        reason_class=reason_of(error),
        code=error.code,
        message=error.message[:4096],
        retryable=True,
        topic_id=lane.topic_ids[place],
        partition=place,
        offset=offset,
        source_ms=int(now * 1000),
        failed_at=now,
        request=request,
    )
    return failure, letter_of(failure, None)


def put_again(lane: Lane, document_id: str, entry: Entry, position: int) -> Span:
    """Put it into the lane; the span is done (no holder left) once it is applied, superseded, or recorded as failed.

    Args:
        position: everything below was taken. The caller holds the partition's lock, and nothing of the document is unsettled.
    """
    span = Span(entry.partition, position, position)
    lane.buffer.put(document_id, entry)
    covered = max(0, entry.offset)
    lane.buffer.cover(entry.partition, covered, covered)
    lane.buffer.add_span(span)
    lane.arrived()
    return span
