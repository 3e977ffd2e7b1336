"""Coalescing: of several changes to one document in one flush, the last in offset order wins."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from sync_worker.change.model import Operation, TopicPartition
from sync_worker.failure.model import order_of
from sync_worker.progress.ledger import Span

ENTRY_OVERHEAD = 300
"""Bytes of memory that an entry costs beside its line: id, objects, table slots."""

SPAN_OVERHEAD = 250
"""Bytes of memory that a span costs: one document that changes all day long leaves one entry, but many spans."""


@dataclass(slots=True)
class Entry:
    """The newest thing known about one document.

    Attributes:
        line: its JSON, None where it is to be deleted.
        offset: of its record; of the last one taken before, where it was read from the source on request.
        request: as in `failure.model.Failure`, where it was.
    """

    line: bytes | None
    partition: TopicPartition
    offset: int
    source_ms: int
    operation: Operation
    request: str | None = None

    @property
    def order(self) -> tuple[int, bool]:
        return order_of(self.offset, self.request)


@dataclass(slots=True)
class Batch:
    """Changes of one index that will be sent in one flush.

    Attributes:
        entries: document id → entry; writes and deletes are disjoint because there is one entry an id.
        clear: the TRUNCATE after which all entries come, None where there was none.
        ranges: partition → lowest and highest offset that this batch covers, superseded ones included.
        spans: what may be acknowledged once the batch is done.
        size: bytes of memory, roughly.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    clear: Entry | None = None
    ranges: dict[TopicPartition, tuple[int, int]] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    size: int = 0

    def put(self, document_id: str, entry: Entry) -> None:
        self.put_all(((document_id, entry),))

    def put_all(self, steps: Iterable[tuple[str | None, Entry]]) -> None:
        """Put them in offset order; an entry without an id is a clear."""
        entries = self.entries
        size = self.size
        for document_id, entry in steps:
            if document_id is None:
                self.put_clear(entry)
                size = self.size
                continue
            old, line = entries.get(document_id), entry.line
            size += ENTRY_OVERHEAD if old is None else -len(old.line or b"")
            if line is not None:
                size += len(line)
            entries[document_id] = entry
        self.size = size

    def forget_before(self, document_id: str, partition: TopicPartition, offset: int) -> None:
        """Nothing older than this change is to be written of the document."""
        entry = self.entries.get(document_id)
        if entry is not None and entry.partition == partition and entry.offset < offset:
            del self.entries[document_id]
            self.size -= ENTRY_OVERHEAD + len(entry.line or b"")
            if not self.entries and self.clear is None:
                self.release()
                self.size = 0

    def put_clear(self, entry: Entry) -> None:
        """Every document before it is superseded."""
        self.entries.clear()
        self.size = SPAN_OVERHEAD * len(self.spans)
        self.clear = entry

    def cover(self, partition: TopicPartition, first: int, last: int) -> None:
        low, high = self.ranges.get(partition, (first, last))
        self.ranges[partition] = (min(low, first), max(high, last))

    def add_span(self, span: Span) -> None:
        """Hold the span until this batch is done."""
        span.hold()
        self.spans.append(span)
        self.size += SPAN_OVERHEAD
        if span.next_offset > span.first:
            self.cover(span.partition, span.first, span.next_offset - 1)

    def drop(self, partitions: Collection[TopicPartition]) -> None:
        """Forget what came from these partitions: they belong to somebody else now."""
        self.entries = {key: entry for key, entry in self.entries.items() if entry.partition not in partitions}
        if self.clear is not None and self.clear.partition in partitions:
            self.clear = None
        for partition in partitions:
            self.ranges.pop(partition, None)
        self.spans = [span for span in self.spans if span.partition not in partitions]
        lines = sum(len(entry.line or b"") for entry in self.entries.values())
        self.size = lines + ENTRY_OVERHEAD * len(self.entries) + SPAN_OVERHEAD * len(self.spans)

    def release(self) -> None:
        """Let go of the spans: everything of them in this batch is applied, superseded, or recorded."""
        for span in self.spans:
            span.release()
        self.spans = []

    def writes(self) -> Sequence[tuple[str, bytes]]:
        return [(document_id, line) for document_id, entry in self.entries.items() if (line := entry.line) is not None]

    def deletes(self) -> list[str]:
        return [document_id for document_id, entry in self.entries.items() if entry.line is None]

    def __len__(self) -> int:
        return len(self.entries) + (self.clear is not None)

    @property
    def empty(self) -> bool:
        """Nothing to send and nothing to acknowledge."""
        return not self.entries and self.clear is None and not self.spans
