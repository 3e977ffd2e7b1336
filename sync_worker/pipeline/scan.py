"""Looking for late writes: tasks of an index that were registered behind our back.

Late is a task of an older generation, or one of ours whose answer was lost. The check of the generation before a write
only dampens; this scan carries the guarantee that nothing older stays. What a late write covered is read again from the
log, up to the present position, and written again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sync_worker.batch.metadata import WriteMetadata, parse_metadata
from sync_worker.change.model import TopicPartition
from sync_worker.pipeline.journal import Journal
from sync_worker.pipeline.model import Index, PartKind, WorkerIdentity
from sync_worker.ports import Task, TaskStatus, TaskUid

PAGE = 1_000
"""Tasks of one request; the default of `Sink.tasks_from`."""

_DOCUMENT_TASKS = frozenset({"documentAdditionOrUpdate", "documentDeletion", "documentEdition"})
_WITHOUT_EFFECT = frozenset({TaskStatus.FAILED, TaskStatus.CANCELED})


@dataclass(frozen=True, slots=True)
class LateWrite:
    """One task that may have written old over new, for one partition of ours.

    Attributes:
        low, high: the offsets that it covers.
        clear: it deleted every document.
        other_log: the offsets are of a topic that bore the name before: this log does not tell what it wrote.
    """

    uid: int
    partition: TopicPartition
    low: int
    high: int
    clear: bool
    other_log: bool = False


@dataclass(slots=True)
class Sighting:
    """What one look at an index's tasks showed.

    Attributes:
        scanned: highest uid that is done with.
        high: partition → highest offset that earlier owners wrote.
        foreign: a task that is not of this group, if one was seen.
        pruned: the oldest task that the server still knows, where it has forgotten some that nobody looked at.
        cleared: offsets of TRUNCATEs whose clear was applied, with nothing older written behind it: read again, they would only
            take away for a moment what is rightly there.
    """

    scanned: int
    late: list[LateWrite] = field(default_factory=list)
    high: dict[TopicPartition, int] = field(default_factory=dict)
    foreign: Task | None = None
    pruned: TaskUid | None = None
    cleared: set[int] = field(default_factory=set)


async def at_assignment(
    index: Index, partition: TopicPartition, worker: WorkerIdentity, *, topic_id: str, watermark: int | None, committed: int
) -> Sighting:
    """What earlier owners of the partition wrote since its watermark.

    Everything that they wrote behind `committed` will be read again; what they wrote before it must be undone, because
    it was registered after the last look of the owner who committed. Nothing of ours is in flight yet.
    """
    newest = await index.sink.last_task(index.uid)
    if watermark is not None and (newest is None or newest.uid < watermark):
        # A restored server that somebody accepted counts its tasks anew: the watermark says nothing about them.
        watermark = None
    start = watermark + 1 if watermark is not None else max(0, (newest.uid if newest else 0) - 5 * PAGE)
    sighting = Sighting(start - 1)
    if watermark is not None and newest is not None and newest.uid > watermark:
        sighting.pruned = await _forgotten_behind(index, watermark)
    while True:
        tasks = await index.sink.tasks_from(index.uid, start)
        for task in tasks:
            sighting.scanned = task.uid
            written = _document_write(task)
            if written is None or written.group != worker.group:
                if _is_foreign(task, worker):
                    sighting.cleared.clear()
                    if watermark is not None:
                        sighting.foreign = task
                continue
            other_log = written.topic_id not in ("", topic_id)
            _note_clear(sighting.cleared, task, written, partition, other_log=other_log)
            for covered, (low, high) in written.ranges.items():
                if covered != partition:
                    continue
                if not other_log:
                    sighting.high[partition] = max(high, sighting.high.get(partition, -1))
                # Nothing of another log will be read again.
                if (low < committed or other_log) and watermark is not None and task.status not in _WITHOUT_EFFECT:
                    sighting.late.append(LateWrite(task.uid, partition, low, high, written.kind == PartKind.CLEAR, other_log))
        if len(tasks) < PAGE:
            return sighting
        start = tasks[-1].uid + 1


async def while_owning(
    index: Index,
    journal: Journal,
    worker: WorkerIdentity,
    generations: Mapping[TopicPartition, int],
    topic_ids: Mapping[TopicPartition, str],
) -> Sighting:
    """What others, or lost requests of ours, wrote since the last look, for the partitions in `generations`.

    Stops before a request of ours whose answer is still awaited, and at a task of a newer generation: then we are the
    one who is late, and the group will tell.
    """
    # A copy: a partition may be revoked while the server answers.
    looked = {partition: journal.scanned[partition] for partition in generations}
    sighting = Sighting(min(looked.values()))
    # From the last one seen on: that it is still there shows that none behind it was forgotten.
    start = max(0, sighting.scanned)
    first = True
    while True:
        tasks = await index.sink.tasks_from(index.uid, start)
        if first:
            await _look_for_a_gap(sighting, index, journal, tasks)
            tasks, first = [task for task in tasks if task.uid > sighting.scanned], False
        for task in tasks:
            written = _document_write(task)
            if written is not None and written.worker == worker.run and not journal.is_ours(task.uid):
                if written.nonce in journal.pending:
                    return sighting
            elif written is None or written.group != worker.group:
                if _is_foreign(task, worker):
                    sighting.foreign = task
                written = None
            if written is not None and not journal.is_ours(task.uid):
                for partition, (low, high) in written.ranges.items():
                    generation = generations.get(partition)
                    if generation is None or task.uid <= looked[partition]:
                        continue
                    if written.generation > generation:
                        return sighting
                    if (written.generation < generation or written.worker == worker.run) and task.status not in _WITHOUT_EFFECT:
                        other_log = written.topic_id not in ("", topic_ids[partition])
                        clear = written.kind == PartKind.CLEAR
                        sighting.late.append(LateWrite(task.uid, partition, low, high, clear, other_log))
            sighting.scanned = task.uid
        if len(tasks) < PAGE:
            return sighting
        start = tasks[-1].uid + 1


async def _look_for_a_gap(sighting: Sighting, index: Index, journal: Journal, tasks: Sequence[Task]) -> None:
    """Whether the server forgot tasks between the last look and this one.

    An index that is not written to for long loses its history by and by: where a look found none at all, nothing is missing
    before the next that is found.
    """
    if sighting.scanned < 0 or (tasks and tasks[0].uid == sighting.scanned):
        journal.bare = False
    elif not tasks:
        journal.bare = await index.sink.oldest_task_uid(index.uid) is None
    elif journal.bare:
        journal.bare = False
    else:
        sighting.pruned = await _forgotten_behind(index, sighting.scanned)


async def _forgotten_behind(index: Index, seen: int) -> TaskUid | None:
    """The oldest task known where some behind `seen` are forgotten: the oldest go first, and one up to `seen` would be left."""
    oldest = await index.sink.oldest_task_uid(index.uid)
    return oldest if oldest is not None and 0 <= seen < oldest - 1 else None


def _note_clear(cleared: set[int], task: Task, written: WriteMetadata, partition: TopicPartition, *, other_log: bool) -> None:
    if partition not in written.ranges or task.status in _WITHOUT_EFFECT:
        return
    if other_log:
        cleared.clear()
        return
    offset, high = written.ranges[partition]
    if written.kind != PartKind.CLEAR:
        # A flush that covers the TRUNCATE holds nothing of before it.
        cleared.difference_update([clear for clear in cleared if high < clear])
    elif task.status is TaskStatus.SUCCEEDED:
        cleared.add(offset)


def _is_foreign(task: Task, worker: WorkerIdentity) -> bool:
    """Whether somebody who is not of this group changed documents."""
    written = parse_metadata(task.metadata)
    ours = written is not None and written.group == worker.group
    return not ours and task.kind in _DOCUMENT_TASKS and task.status not in _WITHOUT_EFFECT


def _document_write(task: Task) -> WriteMetadata | None:
    return parse_metadata(task.metadata) if task.kind in _DOCUMENT_TASKS else None
