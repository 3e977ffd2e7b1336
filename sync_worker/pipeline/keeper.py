"""The keeper of progress: looks for late writes, proves that the sink is still ours, stores, and only then acknowledges.

The order matters. What is done is noted first; then the index's tasks are looked through and its identity and anchor
are proven, so that nothing is acknowledged that a restored server has forgotten; then the bookmark is stored with the
scan's watermark; then the offset may be committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import structlog

from sync_worker.batch.pace import Limits
from sync_worker.change.model import TopicPartition
from sync_worker.errors import OperatorNeeded
from sync_worker.failure.findings import FindingKind, found
from sync_worker.pipeline.journal import Journal
from sync_worker.pipeline.lane import Lane
from sync_worker.pipeline.mend import is_our_truncate, newest_of
from sync_worker.pipeline.model import WorkerIdentity
from sync_worker.pipeline.partition import Partition
from sync_worker.pipeline.prepare import Preparation
from sync_worker.pipeline.scan import LateWrite, Sighting, while_owning
from sync_worker.pipeline.settle import lost_memory
from sync_worker.pipeline.translate import Translator
from sync_worker.ports import Bookmark, Clock, IndexRecord, Log, Membership, State, Telemetry
from sync_worker.progress.ledger import Span
from sync_worker.progress.start import made_anew

log = structlog.get_logger(__name__)

IDLE_CHECK_S = 5.0


class Keeper:
    """Keeps the progress of the partitions of one topic: one topic's trouble does not stop another's acknowledgements.

    Attributes:
        records: lane → what is remembered of its physical index.
        turn: held for each round; whoever holds it stops acknowledgements.
    """

    def __init__(
        self,
        lanes: Mapping[str, Lane],
        journals: Mapping[str, Journal],
        *,
        state: State,
        log_port: Log,
        membership: Membership,
        preparation: Preparation,
        translator: Translator,
        worker: WorkerIdentity,
        clock: Clock,
        telemetry: Telemetry,
        limits: Limits,
    ) -> None:
        self._lanes = dict(lanes)
        self._journals = journals
        self._state = state
        self._log = log_port
        self._membership = membership
        self._preparation = preparation
        self._translator = translator
        self._worker = worker
        self._clock = clock
        self._telemetry = telemetry
        self._limits = limits
        self.records: dict[str, IndexRecord] = {}
        self._checked_at = -IDLE_CHECK_S
        self._topics_checked_at = self._clock.monotonic()
        self.turn = asyncio.Lock()

    def add(self, lane: Lane) -> None:
        """It is kept from now on; its record is in `records`."""
        self._lanes[lane.index.name] = lane

    def remove(self, name: str) -> None:
        del self._lanes[name]
        self.records.pop(name, None)

    def exchange(self, one: str, other: str) -> None:
        """The two physical indexes bear each other's name from now on."""
        held = {name: (self._lanes[name].index, self.records.pop(name, None)) for name in (one, other)}
        for (index, _), (_, record) in ((held[one], held[other]), (held[other], held[one])):
            if record is not None:
                self.records[index.name] = replace(record, index=index.name, uid=index.uid)

    async def tick(self, partitions: Collection[Partition]) -> None:
        """One round. Raises EnvironmentFault to be tried again, OperatorNeeded (with its subject) to be decided."""
        async with self.turn:
            await self._tick(partitions)

    async def _tick(self, partitions: Collection[Partition]) -> None:
        active = [partition for partition in partitions if partition.active]
        done: dict[TopicPartition, int] = {}
        for partition in active:
            assert partition.ledger is not None
            partition.ledger.advance()
            done[partition.place] = partition.ledger.next_offset
        touched = [partition for partition in active if partition.touched]
        moved = [partition for partition in active if partition.touched or done[partition.place] != partition.saved]
        lanes = list(self._lanes.values()) if active else []
        now = self._clock.monotonic()
        if active and (moved or now - self._checked_at >= IDLE_CHECK_S):
            for lane in lanes:
                await self._look_for_late_writes(lane, active)
            for lane in lanes:
                await self._prove_identity(lane)
            self._checked_at = now
        if active and now - self._topics_checked_at >= IDLE_CHECK_S:
            await self._prove_topic(active)
            self._topics_checked_at = now
        if moved:
            for partition in await self._save(moved, lanes, done):
                if not partition.dropped:
                    self._membership.acknowledge(partition.place, partition.generation, done[partition.place])
                    partition.saved, partition.saved_at = done[partition.place], now
            for partition in touched:
                partition.touched = False

    async def _look_for_late_writes(self, lane: Lane, active: Sequence[Partition]) -> None:
        journal, index = self._journals[lane.index.name], lane.index
        mine = {partition.place: partition for partition in active if partition.place in journal.scanned}
        if not mine:
            return
        generations = {place: partition.generation for place, partition in mine.items()}
        topic_ids = {place: partition.topic_id for place, partition in mine.items()}
        sighting = await while_owning(index, journal, self._worker, generations, topic_ids)
        await self.report(index.name, sighting, mine.values())
        if sighting.pruned is not None:
            sighting.scanned = max(sighting.scanned, sighting.pruned - 1)
        for place, partition in mine.items():
            new = [late for late in sighting.late if late.partition == place and (late.uid, place) not in journal.mending]
            await self.mend(lane, partition, new)
        for place, partition in mine.items():
            if not partition.dropped:
                journal.scanned[place] = max(journal.scanned[place], sighting.scanned)

    async def mend(self, lane: Lane, partition: Partition, found: Sequence[LateWrite]) -> None:
        """Undo late writes of one partition: put the newest of everything that they covered into the lane."""
        if not found:
            return
        # What goes out now may be of before a TRUNCATE that is still to be read: that one has to clear again.
        lane.cleared.pop(partition.place, None)
        index, journal = lane.index, self._journals[lane.index.name]
        self._telemetry.count("late_writes_found", len(found), index=index.name)
        log.warning(
            "late write",
            index=index.name,
            partition=partition.place.partition,
            tasks=[write.uid for write in found[:10]],
            count=len(found),
            low=min(write.low for write in found),
            high=max(write.high for write in found),
        )
        if strange := [write for write in found if write.other_log and not write.clear]:
            evidence = f"tasks {[write.uid for write in strange]} wrote what they had read from a topic that bore the name before"
            await self._report_unmended(index.name, strange, evidence, low=min(write.low for write in strange))
            partition.touched = True
        late = []
        for write in found:
            if write in strange:
                continue
            if not write.clear or await is_our_truncate(
                write, index, partition.topic_id, log=self._log, translator=self._translator
            ):
                late.append(write)
            else:
                problem = lost_memory(index.name, f"task {write.uid} cleared the index behind this worker's back")
                await self._preparation.unless_accepted(index.name, problem)
        if not late:
            return
        async with partition.lock:
            if partition.dropped or partition.ledger is None:
                return
            position = partition.ledger.position
            try:
                mended = await newest_of(
                    late,
                    index,
                    partition.topic_id,
                    position,
                    log=self._log,
                    translator=self._translator,
                    most_bytes=self._limits.in_flight_bytes // 2,
                )
            except OperatorNeeded as problem:
                await self._preparation.unless_accepted(index.name, problem)
                return
            if partition.dropped:
                return
            if mended.gone is not None:
                uids = [write.uid for write in late]
                evidence = f"tasks {uids} cover offsets from {mended.gone} on, which the log no longer holds"
                await self._report_unmended(index.name, late, evidence, low=mended.gone)
            for document_id, entry in mended.entries.items():
                lane.buffer.put(document_id, entry)
            for low, high in mended.ranges():
                lane.buffer.cover(partition.place, low, high)
            if mended.entries:
                span = Span(partition.place, position, position)
                lane.buffer.add_span(span)
                journal.mending.update({(write.uid, partition.place): span for write in late})
                lane.arrived()
        self._telemetry.count("late_writes_mended", len(late), index=index.name)

    async def _prove_identity(self, lane: Lane) -> None:
        """Nothing is acknowledged that the server has forgotten: the old anchor and the new one must both be known."""
        index, journal = lane.index, self._journals[lane.index.name]
        record = await self._preparation.identify(index, self.records.get(index.name))
        if journal.anchor is not None and journal.anchor != (record.anchor_uid, record.anchor_metadata):
            uid, metadata = journal.anchor
            if (what := await self._preparation.anchor_problem(index, uid, metadata)) is not None:
                problem = lost_memory(index.name, what)
                problem.subject = index.name
                if index.name != index.declared:
                    await self._preparation.unless_accepted(index.name, problem)
                raise problem
            record = IndexRecord(index.name, index.uid, record.created_at, record.primary_key, uid, metadata)
        self.records[index.name] = record

    async def _prove_topic(self, active: Sequence[Partition]) -> None:
        """A topic that was made anew and outgrew the position at once is read on from there without a word by Kafka's clients."""
        ids = await self._log.topic_ids({partition.place.topic for partition in active})
        for partition in active:
            topic_id = ids.get(partition.place.topic, partition.topic_id)
            if topic_id != partition.topic_id and not partition.dropped:
                raise made_anew(partition.topic_id, topic_id, subject=partition.subject)

    async def _save(
        self, moved: Sequence[Partition], lanes: Sequence[Lane], done: Mapping[TopicPartition, int]
    ) -> Sequence[Partition]:
        """Those whose bookmark is stored: only they may be acknowledged."""
        bookmarks = []
        owned = [p for p in moved if not p.dropped and self._membership.owns(p.place, p.generation)]
        for partition in owned:
            scanned = {lane.index.name: self._journals[lane.index.name].watermark(partition.place, done) for lane in lanes}
            tail = partition.ledger.tail if partition.ledger is not None else None
            bookmarks.append(Bookmark(partition.place, partition.topic_id, done[partition.place], scanned, tail))
        records = [self.records[lane.index.name] for lane in lanes if lane.index.name in self.records]
        await self._state.save_progress(bookmarks, records)
        return owned

    async def report(self, index: str, sighting: Sighting, partitions: Iterable[Partition]) -> None:
        """Leave findings of what a look showed beside late writes. Raises StateUnavailable."""
        if (task := sighting.foreign) is not None:
            evidence = f"task {task.uid} ({task.kind}) was not sent by this group"
            await self._state.add_finding(found(FindingKind.FOREIGN_WRITE, index, evidence, now=self._clock.now()))
        if sighting.pruned is not None:
            evidence = f"the server's task history begins at {sighting.pruned}, and what was before it had not been looked at"
            await self._state.add_finding(found(FindingKind.TASKS_UNSEEN, index, evidence, now=self._clock.now()))
            # Stored, so that it is told once.
            for partition in partitions:
                partition.touched = True

    async def _report_unmended(self, index: str, late: Sequence[LateWrite], evidence: str, *, low: int) -> None:
        high = max(write.high for write in late)
        await self._state.add_finding(
            found(FindingKind.LATE_WRITE_NOT_UNDONE, index, evidence, now=self._clock.now(), low=low, high=high)
        )


def subject_of(needed: OperatorNeeded) -> str:
    """What the finding concerns; `progress` where nobody said."""
    return needed.subject or "progress"
