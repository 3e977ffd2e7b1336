"""Preparing a partition: everything that must be known before its first write.

Whether the log is the one that we know, whether the index is the one that we wrote to, which failures are open, what
earlier owners wrote. Nothing of the partition is taken before all of this is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from sync_worker.batch.metadata import parse_metadata
from sync_worker.change.model import Record, TopicPartition
from sync_worker.errors import LogUnavailable, OperatorNeeded, SinkDenied, StartAgain
from sync_worker.failure.findings import FindingKind, found
from sync_worker.failure.model import OpenFailure
from sync_worker.pipeline.holds import Patience
from sync_worker.pipeline.model import Index, WorkerIdentity
from sync_worker.pipeline.scan import Sighting, at_assignment
from sync_worker.pipeline.settle import lost_memory
from sync_worker.ports import Bookmark, Clock, IndexRecord, Log, State
from sync_worker.progress.bookmark import Tail
from sync_worker.progress.start import objection, replaced_in_place
from sync_worker.rebuild.model import logical

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Prepared:
    """What is known about one partition before its first write.

    Attributes:
        next_offset: where reading goes on.
        acknowledged: everything below was acknowledged by an earlier owner, whether its commit arrived or not.
        rewind: another log took the place of ours, an operator knows, and the group's offset is of the one that is gone: it has
            to start at `next_offset` instead, or what is below would never be read.
        tail: the last record that an earlier owner acknowledged, and that is still the one there.
        failures: index name → open failures.
        records: index name → what is remembered of the physical index from now on.
    """

    topic_id: str
    next_offset: int
    end_offset: int
    acknowledged: int
    tail: Tail | None = None
    rewind: bool = False
    failures: dict[str, Sequence[OpenFailure]] = field(default_factory=dict)
    sightings: dict[str, Sighting] = field(default_factory=dict)
    records: dict[str, IndexRecord] = field(default_factory=dict)


class Preparation:
    """Prepares partitions, one call each."""

    def __init__(self, log_port: Log, state: State, patience: Patience, *, worker: WorkerIdentity, clock: Clock) -> None:
        self._log = log_port
        self._state = state
        self._patience = patience
        self._worker = worker
        self._clock = clock

    async def prepare(self, partition: TopicPartition, indexes: Sequence[Index], *, partitions: int) -> Prepared:
        """Raises EnvironmentFault to be tried again, OperatorNeeded (with its subject) to be decided.

        Args:
            partitions: how many the topic has; 0 where it does not exist.
        """
        # Read once: an earlier owner's late save between two reads would give a watermark that passes over what it wrote, and
        # an acknowledgement that does not know of it.
        bookmark = (await self._state.bookmarks([partition])).get(partition)
        prepared = await self._position(partition, bookmark, partitions)
        remembered = await self._state.index_records([index.name for index in indexes])
        for index in indexes:
            record = await self.identify(index, remembered.get(index.name))
            prepared.records[index.name] = record
            prepared.failures[index.name] = await self._state.open_failures(index.name, partition, prepared.topic_id)
            watermark = bookmark.scanned.get(index.name) if bookmark is not None else None
            known = remembered.get(index.name)
            second = index.name != index.declared  # of a rebuild, which fills it
            if bookmark is not None and not second and (watermark is None or (known is not None and known.uid != index.uid)):
                await self._notice_unfilled(index, partition, prepared.next_offset)
            prepared.sightings[index.name] = await at_assignment(
                index,
                partition,
                self._worker,
                topic_id=prepared.topic_id,
                watermark=watermark,
                committed=prepared.next_offset,
            )
            if watermark is not None and prepared.next_offset < prepared.end_offset and await _may_lack(index, watermark):
                # Then all that is in the log may have been written, and is shown once more in one piece.
                prepared.sightings[index.name].high[partition] = prepared.end_offset - 1
            if prepared.acknowledged < 0:
                sighting = prepared.sightings[index.name]
                # A log may be another one under the same id, with another TRUNCATE there.
                sighting.cleared.clear()
                # What was written of the log before this one was its owners' work: the fill that has to follow is newer.
                sighting.late = [late for late in sighting.late if not late.other_log]
        if bookmark is None:
            scanned = {index.name: prepared.sightings[index.name].scanned for index in indexes}
            await self._state.save_progress([Bookmark(partition, prepared.topic_id, prepared.next_offset, scanned)], [])
        return prepared

    async def _position(self, partition: TopicPartition, bookmark: Bookmark | None, partitions: int) -> Prepared:
        topic_id = (await self._log.topic_ids([partition.topic])).get(partition.topic)
        if topic_id is None:
            raise LogUnavailable(f"the topic {partition.topic} does not exist", remedy="sync-worker connector apply")
        start, end = (await self._log.bounds([partition]))[partition]
        committed = (await self._log.committed([partition])).get(partition)
        subject = f"{partition.topic}:{partition.partition}"
        problem = objection(bookmark, committed, topic_id, start, end, subject=subject)
        if problem is None and bookmark is not None and bookmark.tail is not None:
            there = await record_at(self._log, partition, bookmark.tail.offset) if start <= bookmark.tail.offset < end else None
            problem = replaced_in_place(bookmark.tail, there, subject=subject)
        tail = bookmark.tail if bookmark is not None else None
        another_log = False
        if problem is not None:
            await self.unless_accepted(subject, problem)
            tail = None
            another_log = problem.kind == FindingKind.LOG_REPLACED
        await self._notice_growth(partition, partitions)
        if bookmark is None and committed is None:
            await self._state.audit(
                self._worker.run, "start at the log's start", subject, {"offset": start, "topic_id": topic_id}
            )
            log.info("first start", partition=subject, offset=start)
        # An accepted offset outside the log: the stream reads from the log's start then, and so do we.
        ours = bookmark is not None and bookmark.topic_id == topic_id and not another_log
        acknowledged = bookmark.next_offset if bookmark is not None and ours else -1
        inside = committed is not None and start <= committed <= end
        position = committed if committed is not None and inside and not another_log else start
        # Also where it is beyond the end: the log would grow up to it, and its next owner would take it for a commit of ours.
        rewind = committed is not None and committed > position
        return Prepared(topic_id, position, end, acknowledged, tail, rewind)

    async def identify(self, index: Index, remembered: IndexRecord | None) -> IndexRecord:
        """The index as it is now, compared with what is remembered of it.

        Raises SinkDenied when it is missing or has another primary key, OperatorNeeded when it is another index than the
        one that was written to, or the server does not know a task that it had applied.
        """
        identity = await index.sink.identity(index.uid)
        if identity is None:
            if remembered is not None:
                await self.unless_accepted(index.name, lost_memory(index.name, f"the index {index.uid} does not exist any more"))
            raise SinkDenied(
                f"{index.name}: the index {index.uid} does not exist",
                remedy="Create it with its settings: sync-worker indexes create",
            )
        if identity.primary_key not in (None, index.id_field):
            raise SinkDenied(
                f"{index.name}: the primary key of {index.uid} is {identity.primary_key!r}, declared is {index.id_field!r}",
                remedy="Declare the primary key that the index has, or build a new index: it can't be changed in place.",
            )
        record = IndexRecord(index.name, index.uid, identity.created_at, index.id_field, None, None)
        if remembered is None or remembered.uid != index.uid:
            return record
        if remembered.created_at != identity.created_at:
            await self._unless_swapped(index, identity.created_at)
            what = f"the index {index.uid} was created at {identity.created_at}, ours at {remembered.created_at}"
            await self.unless_accepted(index.name, lost_memory(index.name, what))
            return record
        forgotten = await self.anchor_problem(index, remembered.anchor_uid, remembered.anchor_metadata)
        if forgotten is not None:
            await self.unless_accepted(index.name, lost_memory(index.name, forgotten))
            return record
        return remembered

    async def _unless_swapped(self, index: Index, created_at: str) -> None:
        """Raises StartAgain where a rebuild's swap gave it this index: what this worker remembers is older than that."""
        stored = (await self._state.index_records([index.name])).get(index.name)
        rebuild = (await self._state.rebuilds()).get(index.declared)
        swapping = rebuild is not None and created_at in (rebuild.old_created_at, rebuild.new_created_at)
        if swapping or (stored is not None and stored.created_at == created_at):
            raise StartAgain(f"{index.name}: {index.uid} was swapped by a rebuild while this worker did not look")

    async def anchor_problem(self, index: Index, uid: int | None, metadata: str | None) -> str | None:
        """What is wrong with a task that was applied; None where the server still knows it (or has pruned it).

        The words hold the request's nonce: what an operator accepts is the loss of this task, not of a later one's with its uid.
        """
        if uid is None:
            return None
        written = parse_metadata(metadata)
        task = f"task {uid}" + (f" ({written.nonce})" if written else "")
        found = [task for task in await index.sink.tasks_from(index.uid, uid, limit=1) if task.uid == uid]
        if found:
            return None if found[0].metadata == metadata else f"{task}, which was ours, is now somebody else's"
        # Pruned together with all others: the index's creation is a task as well, so an older state would show at least that.
        oldest = await index.sink.oldest_task_uid(index.uid)
        return None if oldest is None or oldest > uid else f"{task}, which was applied, is unknown now"

    async def unless_accepted(self, subject: str, problem: OperatorNeeded) -> None:
        """Raises the problem unless an operator cleared exactly this one.

        With the second index of a rebuild nothing is lost that a new rebuild does not bring: SinkDenied until that one is ended.
        """
        if (index := logical(subject)) != subject:
            raise SinkDenied(problem.message, remedy=f"sync-worker reindex {index} --status, then --abort or --finish")
        problem.subject = subject
        if not await self._patience.was_accepted(subject, problem):
            raise problem
        log.warning("accepted by an operator", subject=subject, kind=problem.kind, evidence=problem.message)

    async def _notice_unfilled(self, index: Index, partition: TopicPartition, position: int) -> None:
        """The group has read the topic without this index: it was declared later, or an older configuration was at work."""
        if position == 0:
            return
        evidence = f"the group is at {position} of {partition.topic}:{partition.partition} and did not write {index.uid}"
        await self._state.add_finding(found(FindingKind.NEVER_FILLED, index.name, evidence, now=self._clock.now()))

    async def _notice_growth(self, partition: TopicPartition, count: int) -> None:
        """By a count of its own: at a first start the bookmarks of a topic's partitions come one after the other."""
        fact = (f"topic {partition.topic}", "partitions")
        known = (await self._state.recorded_facts()).get(fact)
        if known == count:
            return
        if known is not None and known < count:
            evidence = f"{partition.topic} has {count} partitions now, {known} were known"
            finding = found(FindingKind.PARTITION_COUNT_CHANGED, partition.topic, evidence, now=self._clock.now())
            await self._state.add_finding(finding)
        await self._state.record_facts({fact: count})


async def _may_lack(index: Index, watermark: int) -> bool:
    """Whether tasks behind the watermark may have been deleted or pruned: the oldest go first."""
    oldest = await index.sink.oldest_task_uid(index.uid)
    return oldest is None or oldest > watermark


async def record_at(log_port: Log, partition: TopicPartition, offset: int) -> Record | None:
    """The record at this offset; None where none is there. Raises LogUnavailable."""
    async for records in log_port.read(partition, offset, offset + 1):
        return records[0] if records else None
    return None
