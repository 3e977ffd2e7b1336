"""Writing a document again as its row is now, by the partition's owner, in the document's order.

The row is read while the partition's lock is held and nothing of the document is on its way: it is as new as everything that
was taken from the log, or newer. What made it newer follows in the log and is written after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sync_worker.batch.coalesce import Entry
from sync_worker.change.model import Change, Operation, Row, TopicPartition
from sync_worker.document.action import Write
from sync_worker.pipeline.lane import Lane
from sync_worker.pipeline.model import Index
from sync_worker.ports import Clock, Source
from sync_worker.progress.ledger import Span


async def row_now(
    index: Index, key: Mapping[str, Any], place: TopicPartition, offset: int, *, source: Source, clock: Clock
) -> tuple[str, Entry]:
    """The document id of this key, and what today's declaration makes of its row; a deletion where the row is gone.

    Args:
        offset: that the entry is written for; where it fails, that is the failure's.

    Raises RecordError where the row does not become a document, SourceUnavailable.
    """
    document_id = index.projector.document_id(key)
    (row,) = await source.rows(index.table, list(key), [key])
    return document_id, entry_of(index, document_id, key, row, place, offset, int(clock.now() * 1000))


def entry_of(
    index: Index, document_id: str, key: Mapping[str, Any], row: Row | None, place: TopicPartition, offset: int, source_ms: int
) -> Entry:
    """What today's declaration makes of the row for this document; a deletion where it makes none, or another one.

    A row that only equals the key by its type's own rules (a text without regard to case) has a document of its own.

    Raises RecordError where the row does not become a document.
    """
    operation = Operation.DELETE if row is None else Operation.READ
    action = index.projector.project(Change(operation, index.table, key, row, None, (), source_ms, None))
    ours = isinstance(action, Write) and action.document_id == document_id
    return Entry(action.line if isinstance(action, Write) and ours else None, place, offset, source_ms, operation)


def put_again(lane: Lane, document_id: str, entry: Entry, position: int) -> Span:
    """Put it into the lane; the span is done (no holder left) once it is applied, superseded, or recorded as failed.

    Args:
        position: everything below was taken. The caller holds the partition's lock, and nothing of the document is unsettled.
    """
    span = Span(entry.partition, position, position)
    lane.buffer.put(document_id, entry)
    lane.buffer.cover(entry.partition, entry.offset, entry.offset)
    lane.buffer.add_span(span)
    lane.arrived()
    return span
