"""Undoing a late write: what it covered is read again, up to the present position, and the newest of each goes out.

Replaying only the late write's own range would write old changes and stop. While it runs nothing more of the index's
table is taken, so that what was read is the newest that this worker knows.
"""

from __future__ import annotations

from dataclasses import dataclass

from sync_worker.batch.coalesce import Entry
from sync_worker.change.model import Operation, TopicPartition
from sync_worker.pipeline.model import Index
from sync_worker.pipeline.scan import LateWrite
from sync_worker.pipeline.translate import Translator
from sync_worker.ports import Log


@dataclass(slots=True)
class Mended:
    """The newest entry of each document that a late write covered.

    Attributes:
        gone: first offset that the log no longer holds, None where all was there.
    """

    entries: dict[str, Entry]
    gone: int | None = None


async def newest_of(late: LateWrite, index: Index, topic_id: str, position: int, *, log: Log, translator: Translator) -> Mended:
    """Raises LogUnavailable, SourceUnavailable. `position`: everything below was taken."""
    partition: TopicPartition = late.partition
    (start, _) = (await log.bounds([partition]))[partition]
    mended = Mended({}, gone=late.low if late.low < start else None)
    async for records in log.read(partition, max(late.low, start), position):
        # Apart, because a change that lacks columns is passed over where a later one of its key is at hand: a document whose
        # only change in the late write's range is such a one would look as if the late write had not touched it.
        covered = [record for record in records if record.offset <= late.high]
        for run in (covered, records[len(covered) :]):
            translation = await translator.translate(run, partition, topic_id, [index])
            for document_id, entry in translation.steps[index.name]:
                if document_id is None:
                    for known, old in mended.entries.items():
                        mended.entries[known] = Entry(None, partition, entry.offset, old.source_ms, Operation.TRUNCATE)
                elif entry.offset <= late.high or document_id in mended.entries:
                    mended.entries[document_id] = entry
    return mended
