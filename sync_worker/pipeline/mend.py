"""Undoing a late write: what it covered is read again, up to the present position, and the newest of each goes out.

Replaying only the late write's own range would write old changes and stop. While it runs nothing more of the index's
table is taken, so that what was read is the newest that this worker knows.

A late clear took everything that was written since its TRUNCATE as well: all that the log has from there on goes out again.
What is older than the TRUNCATE is rightly gone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from sync_worker.batch.coalesce import ENTRY_OVERHEAD, Entry
from sync_worker.change.model import Operation, Record, TopicPartition
from sync_worker.pipeline.model import Index
from sync_worker.pipeline.scan import LateWrite
from sync_worker.pipeline.settle import lost_memory
from sync_worker.pipeline.translate import Translator
from sync_worker.ports import Log


@dataclass(slots=True)
class Mended:
    """The newest entry of each document that a late write covered.

    Attributes:
        gone: first offset that the log no longer holds, None where all was there.
        removed: documents that a TRUNCATE took → the newest change before it. The TRUNCATE's offset names no document, so that
            a write that is itself late can be undone only if it covers this one as well.
    """

    entries: dict[str, Entry]
    gone: int | None = None
    removed: dict[str, int] = field(default_factory=dict)

    def ranges(self) -> list[tuple[int, int]]:
        """Lowest and highest offset that the write of each document covers."""
        return [(self.removed.get(document_id, entry.offset), entry.offset) for document_id, entry in self.entries.items()]


async def is_our_truncate(clear: LateWrite, index: Index, topic_id: str, *, log: Log, translator: Translator) -> bool:
    """Whether a late clear is a TRUNCATE's of this log, so that the log can restore what it took.

    Another partition's documents can't be read again from this one: with several the answer is no.
    Raises LogUnavailable, SourceUnavailable.
    """
    place = clear.partition
    if (await log.partition_counts([place.topic])).get(place.topic) != 1:
        return False
    async for records in log.read(place, clear.low, clear.low + 1):
        translation = await translator.translate(records, place, topic_id, [index])
        if any(document_id is None for document_id, _ in translation.steps[index.name]):
            return True
    return False


async def newest_of(
    late: Sequence[LateWrite],
    index: Index,
    topic_id: str,
    position: int,
    *,
    log: Log,
    translator: Translator,
    most_bytes: int,
) -> Mended:
    """One reading for all late writes of one partition. Raises LogUnavailable, SourceUnavailable.

    Args:
        position: everything below was taken.
        most_bytes: what may be kept in memory to undo a clear. Raises OperatorNeeded where it is more.
    """
    partition: TopicPartition = late[0].partition
    low = min(write.low for write in late)
    (start, _) = (await log.bounds([partition]))[partition]
    mended = Mended({}, gone=low if low < start else None)
    clear = min((write for write in late if write.clear), key=lambda write: write.low, default=None)
    size = 0
    touched: set[str | None] = set()
    ranges = merged((write.low, max(position, write.high) if write.clear else write.high) for write in late)

    def is_covered(record: Record) -> bool:
        place = bisect_right(ranges, (record.offset, position)) - 1
        return place >= 0 and record.offset <= ranges[place][1]

    async for records in log.read(partition, max(low, start), position):
        # Apart, because a change that lacks columns is passed over where a later one of its key is at hand: a document whose
        # only change in a late write's range is such a one would look as if the late write had not touched it.
        for covered, run in groupby(records, is_covered):
            translation = await translator.translate(list(run), partition, topic_id, [index])
            if covered:
                # A retry from the source covers the offset of a change that fails: what came of its document later counts.
                touched.update(failure.document_id for failure, _ in translation.failures)
            for document_id, entry in translation.steps[index.name]:
                if document_id is None:
                    size = ENTRY_OVERHEAD * len(mended.entries)
                    for known, old in mended.entries.items():
                        mended.removed.setdefault(known, old.offset)
                        mended.entries[known] = Entry(None, partition, entry.offset, old.source_ms, Operation.TRUNCATE)
                elif covered or document_id in mended.entries or document_id in touched:
                    before = mended.entries.get(document_id)
                    size += ENTRY_OVERHEAD if before is None else -len(before.line or b"")
                    size += len(entry.line or b"")
                    mended.entries[document_id] = entry
                    mended.removed.pop(document_id, None)
        if clear is not None and size > most_bytes:
            what = f"task {clear.uid} cleared it late, and what was written since is more than fits into memory"
            raise lost_memory(index.name, what)
    return mended


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same offsets as disjoint ranges, ascending; both ends count."""
    result: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if result and low <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], high))
        else:
            result.append((low, high))
    return result
