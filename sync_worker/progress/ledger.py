"""The order of acknowledgement of one partition in one generation of the consumer group.

Work finishes out of order (several indexes, several flushes in flight, isolation); offsets are acknowledged in order
only. A span is a run of offsets that the pipeline took over at once; it is done when every part of the pipeline that
holds it has let go.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from sync_worker.change.model import TopicPartition
from sync_worker.progress.bookmark import Tail


@dataclass(slots=True, eq=False)
class Span:
    """Offsets `first` <= offset < `next_offset` of one partition, and how many still hold them.

    `since_ms` is the commit time of its first change, milliseconds since 1970; `tail` its last record, None where it has none.
    """

    partition: TopicPartition
    first: int
    next_offset: int
    since_ms: int | None = None
    tail: Tail | None = None
    holders: int = 0

    def hold(self) -> None:
        self.holders += 1

    def release(self) -> None:
        """Raises ValueError when released more often than held: an acknowledgement would come too early."""
        if self.holders <= 0:
            raise ValueError(f"span {self.first}..{self.next_offset} of {self.partition} released twice")
        self.holders -= 1


@dataclass(slots=True)
class Ledger:
    """Spans of one partition in the order in which they were taken.

    Attributes:
        next_offset: everything below is done and may be acknowledged.
        position: everything below was taken.
        tail: the last record below `next_offset`.
    """

    partition: TopicPartition
    next_offset: int
    tail: Tail | None = None
    position: int = field(init=False)
    _spans: deque[Span] = field(default_factory=deque, init=False)

    def __post_init__(self) -> None:
        self.position = self.next_offset

    def take(self, first: int, next_offset: int, since_ms: int | None = None, tail: Tail | None = None) -> Span:
        """A span, held once by the caller. Raises ValueError for offsets that do not follow the last ones."""
        if first < self.position or next_offset < first:
            raise ValueError(f"offsets {first}..{next_offset} of {self.partition} do not follow {self.position}")
        span = Span(self.partition, first, next_offset, since_ms, tail, holders=1)
        self._spans.append(span)
        self.position = next_offset
        return span

    def advance(self) -> bool:
        """Move `next_offset` over the spans that are done, up to the first that is not; whether it moved."""
        moved = False
        while self._spans and self._spans[0].holders == 0:
            span = self._spans.popleft()
            self.next_offset, self.tail = span.next_offset, span.tail or self.tail
            moved = True
        return moved

    @property
    def since_ms(self) -> int | None:
        """Commit time of the oldest change that is not done; None where all are."""
        return next((span.since_ms for span in self._spans if span.holders and span.since_ms is not None), None)

    @property
    def open_spans(self) -> int:
        return len(self._spans)
