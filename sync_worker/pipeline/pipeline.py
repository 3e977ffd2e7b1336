"""The pipeline: partitions in, acknowledgements out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import TypeVar

import structlog

from sync_worker.batch.coalesce import Entry
from sync_worker.batch.pace import Limits
from sync_worker.change.model import Record, TopicPartition
from sync_worker.errors import EnvironmentFault, OperatorNeeded, OwnershipLost, StartAgain
from sync_worker.failure.findings import FindingKind, found, needed
from sync_worker.failure.flood import FloodLimits
from sync_worker.failure.model import Failure
from sync_worker.pipeline.as_new_as_the_log import RowsAsNewAsTheLog
from sync_worker.pipeline.control import Control
from sync_worker.pipeline.health import Health
from sync_worker.pipeline.holds import Holds, Patience, explain
from sync_worker.pipeline.journal import Journal
from sync_worker.pipeline.keeper import Keeper, subject_of
from sync_worker.pipeline.lane import Lane
from sync_worker.pipeline.model import Index, WorkerIdentity
from sync_worker.pipeline.moved import LOOK_S as MOVED_ROWS_S
from sync_worker.pipeline.moved import MovedRows, requests
from sync_worker.pipeline.partition import Partition
from sync_worker.pipeline.prepare import Preparation, Prepared
from sync_worker.pipeline.quarantine import Quarantine
from sync_worker.pipeline.rebuilding import Rebuilding, Site
from sync_worker.pipeline.report import Reporter
from sync_worker.pipeline.retry import Retries
from sync_worker.pipeline.rewriting import Rewriting
from sync_worker.pipeline.settle import Settler
from sync_worker.pipeline.tasks import Tasks
from sync_worker.pipeline.translate import Translation, Translator
from sync_worker.pipeline.waiting import happened
from sync_worker.pipeline.witness import Witness
from sync_worker.pipeline.write import Writer
from sync_worker.ports import PAUSED, Chunk, Clock, DeadLetters, Log, Membership, Sink, Source, State, Telemetry
from sync_worker.progress.bookmark import tail_of
from sync_worker.progress.ledger import Ledger

T = TypeVar("T")
log = structlog.get_logger(__name__)

_TICK_S = 0.25
_IDLE_S = 1.0
_SNAPSHOTS = frozenset({"first", "first_in_data_collection", "true", "incremental"})


class Pipeline:
    """Implements `ports.Intake`.

    Args:
        worker_name: how this worker is listed; `worker` is its group and the id of this run.

    Attributes:
        health: how it is, for the health pages.
        tasks: its own, and what ended them if anything did.
    """

    def __init__(
        self,
        indexes: Sequence[Index],
        *,
        state: State,
        log_port: Log,
        dead_letters: DeadLetters,
        source: Source,
        membership: Membership,
        clock: Clock,
        telemetry: Telemetry,
        random: Random,
        worker: WorkerIdentity,
        worker_name: str,
        limits: Limits,
        flood: FloodLimits,
    ) -> None:
        self._clock = clock
        self._telemetry = telemetry
        self._membership = membership
        self._limits = limits
        self._state = state
        self._log = log_port
        self._holds = Holds(clock)
        self._patience = Patience(self._holds, state, clock, random)
        self._quarantine = Quarantine(
            dead_letters, state, log_port, telemetry=telemetry, flood=flood, indexes=[index.name for index in indexes]
        )
        rows = RowsAsNewAsTheLog(source)
        self._translator = Translator(rows, clock)
        self._witness = Witness(state, log_port, clock)
        self._preparation = Preparation(log_port, state, self._patience, worker=worker, clock=clock)
        self._partitions: dict[TopicPartition, Partition] = {}
        self._settled = {index.topic: asyncio.Event() for index in indexes}
        self._settlers: dict[int, Settler] = {}
        self._journals: dict[str, Journal] = {}
        self._worker = worker
        self._lanes = {index.name: self._lane(index) for index in indexes}
        self._keepers = {
            topic: Keeper(
                {name: lane for name, lane in self._lanes.items() if lane.index.topic == topic},
                self._journals,
                state=state,
                log_port=log_port,
                membership=membership,
                preparation=self._preparation,
                translator=self._translator,
                worker=worker,
                clock=clock,
                telemetry=telemetry,
                limits=limits,
            )
            for topic in {index.topic for index in indexes}
        }
        self.tasks = Tasks()
        self.health = Health(self._partitions, self._holds, self.tasks, membership=membership, clock=clock)
        self.reporter = Reporter(
            worker_name, self._partitions, self.health, state=state, membership=membership, telemetry=telemetry, clock=clock
        )
        self._control = Control(
            self._lanes,
            Retries(
                self._lanes,
                self._partitions,
                state=state,
                log_port=log_port,
                dead_letters=dead_letters,
                source=rows,
                membership=membership,
                translator=self._translator,
                quarantine=self._quarantine,
                clock=clock,
                telemetry=telemetry,
            ),
            Rewriting(
                self._lanes,
                self._partitions,
                state=state,
                source=rows,
                membership=membership,
                quarantine=self._quarantine,
                clock=clock,
            ),
            worker_name=worker_name,
            state=state,
            holds=self._holds,
            patience=self._patience,
            clock=clock,
        )
        self._moved_rows = MovedRows(
            self._lanes, self._partitions, state=state, source=rows, quarantine=self._quarantine, clock=clock
        )
        self._rebuilding = Rebuilding(
            Site(
                self._lanes,
                self._journals,
                self._keepers,
                self._partitions,
                self._quarantine,
                self.tasks,
                make_lane=self._lane,
                busy=lambda: not (self._control.idle and self._moved_rows.idle),
            ),
            worker_name=worker_name,
            state=state,
            holds=self._holds,
            patience=self._patience,
            clock=clock,
            telemetry=telemetry,
        )
        self._worker_name = worker_name
        self._stopping = False

    def _lane(self, index: Index) -> Lane:
        settler = self._settler(index.sink)
        journal = self._journals.setdefault(index.name, Journal())
        writer = Writer(journal, settler, worker=self._worker, membership=self._membership, clock=self._clock)

        def backlog() -> int:
            return sum(self._membership.backlog(place) or 0 for place in self._partitions if place.topic == index.topic)

        return Lane(
            index,
            writer=writer,
            settler=settler,
            quarantine=self._quarantine,
            patience=self._patience,
            limits=self._limits,
            clock=self._clock,
            telemetry=self._telemetry,
            backlog=backlog,
            settled=lambda: self._on_settled(index.topic),
            truncated=lambda: self._tell_of_truncate(index),
        )

    def _settler(self, sink: Sink) -> Settler:
        if id(sink) not in self._settlers:
            name = str(len(self._settlers)) if self._settlers else "default"
            self._settlers[id(sink)] = Settler(name, sink, patience=self._patience, clock=self._clock, telemetry=self._telemetry)
        return self._settlers[id(sink)]

    def _on_settled(self, topic: str) -> None:
        self.health.applied()
        self._settled[topic].set()

    async def wait_for(self, subject: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """The answer, however long the other side needs to come up; meanwhile it is among the holds."""
        return await self._patience.persist(subject, attempt, wanted=lambda: True)

    # ports.Intake

    async def start(self) -> None:
        for number, settler in enumerate(self._settlers.values()):
            self.tasks.spawn(f"settler {number}", settler.run())
        for lane in self._lanes.values():
            self.tasks.spawn(f"index {lane.index.name}", lane.run())
        for topic in self._keepers:
            self.tasks.spawn(f"keeper {topic}", self._keep(topic))
        self.tasks.spawn("operators' requests", self._control.run())
        self.tasks.spawn("rebuilds", self._rebuilding.run())
        self.tasks.spawn("rows of moved keys", self._read_moved_rows())
        self.tasks.spawn("heartbeat", self.reporter.heartbeat())
        self.tasks.spawn("lag", self.reporter.lag())

    async def assigned(self, partitions: frozenset[TopicPartition], generation: int) -> None:
        await self.revoked(frozenset(self._partitions))
        for place in sorted(partitions):
            partition = Partition(place, generation, saved_at=self._clock.monotonic())
            self._partitions[place] = partition
            self.tasks.spawn(f"prepare {partition.subject} {generation}", self._prepare(partition), forever=False)
        self._telemetry.gauge("assigned_partitions", len(self._partitions))

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        gone = [self._partitions.pop(place) for place in partitions if place in self._partitions]
        for partition in gone:
            partition.drop()
            self._quarantine.forget_partition(partition.place)
            for journal in self._journals.values():
                journal.forget(partition.place)
        for lane in self._lanes.values():
            places = [partition.place for partition in gone if partition.place.topic == lane.index.topic]
            if places:
                lane.drop(places)
        self._telemetry.gauge("assigned_partitions", len(self._partitions))

    async def take(self, chunk: Chunk) -> None:
        partition = self._partitions.get(chunk.partition)
        if partition is None or partition.generation != chunk.generation:
            return
        await partition.ready.wait()
        lanes = self._lanes_of(chunk.partition)
        partition.taking += 1
        try:
            await self._until_allowed(lanes, partition)
            await self._until_swapped(partition)
            await self._room(lanes, partition)
            async with partition.lock:
                lanes = self._lanes_of(chunk.partition)
                await self._take(chunk, partition, lanes)
        except OwnershipLost:
            return
        finally:
            partition.taking -= 1
        self._lift_replay_gates(lanes, partition)

    def idle(self) -> bool:
        quiet = all(lane.quiet for lane in self._lanes.values()) and not self._holds.current()
        return quiet and all(partition.ready.is_set() for partition in self._partitions.values())

    async def stop(self, *, drain_s: float) -> None:
        self._stopping = True
        deadline = self._clock.monotonic() + drain_s
        while self._clock.monotonic() < deadline and not all(lane.drained for lane in self._lanes.values()):
            if self.tasks.crash is not None or any(hold.kind != PAUSED for hold in self._holds.current()):
                break
            await self._clock.sleep(0.02)
        try:
            left = max(0.5, deadline - self._clock.monotonic())
            async with asyncio.timeout(left):
                for topic, keeper in self._keepers.items():
                    await keeper.tick(self._of_topic(topic))
        except Exception as error:
            log.warning("last acknowledgement not stored", cause=explain(error))
        await self.tasks.cancel_all()
        try:
            await self._state.worker_gone(self._worker_name)
        except EnvironmentFault as fault:
            log.warning("not signed off", cause=fault.message)

    # Taking

    async def _until_swapped(self, partition: Partition) -> None:
        while self._rebuilding.stands_still(partition.place.topic):
            self._raise_if_unwanted(partition)
            await self._clock.sleep(0.02)

    async def _room(self, lanes: Sequence[Lane], partition: Partition) -> None:
        """Wait until memory allows another chunk. A lane on hold may keep half of it, so that the others go on."""
        while True:
            self._raise_if_unwanted(partition)
            total = sum(lane.size for lane in self._lanes.values())
            share = self._limits.in_flight_bytes // (4 * len(self._lanes))
            fits = total < self._limits.in_flight_bytes
            if all(lane.size < share or (fits and not self._stuck(lane)) for lane in lanes):
                return
            for lane in lanes:
                # A lane that waits for the end of a replay and may take no more would wait for ever.
                if lane.replay_until and lane.index.name not in self._holds:
                    lane.replay_until.clear()
                    lane.wake()
            await self._clock.sleep(0.02)

    def _stuck(self, lane: Lane) -> bool:
        return lane.index.name in self._holds and lane.size > self._limits.in_flight_bytes // 2

    async def _take(self, chunk: Chunk, partition: Partition, lanes: Sequence[Lane]) -> None:
        def wanted() -> bool:
            return not partition.dropped and self.tasks.crash is None

        indexes = [lane.index for lane in lanes if lane.index.name == lane.index.declared]
        translation = await self._patience.persist(
            partition.subject,
            lambda: self._translator.translate(chunk.records, partition.place, partition.topic_id, indexes),
            wanted=wanted,
        )
        if self._witness.concerns(partition.place, chunk.records, translation):
            names = [index.name for index in indexes]
            await self._patience.persist(
                partition.subject,
                lambda: self._witness.look(partition.place, partition.topic_id, chunk.records, translation, names),
                wanted=wanted,
            )
        if translation.promises_elsewhere:
            asked = requests(translation.promises_elsewhere, partition.place, partition.topic_id)
            await self._patience.persist(partition.subject, lambda: self._state.ask_for_moved_rows(asked), wanted=wanted)
        if translation.failures:
            await self._record(translation, partition, lanes)
        for lane in lanes:
            if lane.index in indexes and any(document_id is None for document_id, _ in translation.steps[lane.index.name]):
                await self._before_clear(lane, partition)
        self._raise_if_unwanted(partition)
        assert partition.ledger is not None
        first = partition.ledger.position
        if chunk.records and chunk.next_offset <= first:
            return  # retention moved the start between two looks at it: written now, it would cover no offset that is ours
        span = partition.ledger.take(
            min(first, chunk.next_offset),
            chunk.next_offset,
            translation.since_ms,
            tail_of(chunk.records[-1]) if chunk.records else None,
        )
        for lane in lanes:
            if self._put(lane, translation):
                lane.buffer.add_span(span)
                lane.arrived()
            _forget_what_failed(lane, translation, partition.place)
        span.release()
        self._count_promises(partition, chunk, translation)
        self._settled[partition.place.topic].set()

    async def _read_moved_rows(self) -> None:
        while True:
            several = {topic for topic, count in self._translator.partition_counts.items() if count > 1}
            await self._patience.persist("rows of moved keys", lambda: self._moved_rows.round(several), wanted=lambda: True)  # noqa: B023
            await self._clock.sleep(MOVED_ROWS_S)

    def _count_promises(self, partition: Partition, chunk: Chunk, translation: Translation) -> None:
        kept, broken = partition.promises.look(chunk.records)
        for promise in translation.promises_read:
            partition.promises.made(promise)
        topic = partition.place.topic
        if kept or translation.promises_kept:
            self._telemetry.count("promises_kept", kept + translation.promises_kept, topic=topic)
        if broken:
            self._telemetry.count("promises_broken", broken, topic=topic)
            log.warning("key changes lost their create; their rows were read from the source", topic=topic, count=broken)

    async def _until_allowed(self, lanes: Sequence[Lane], partition: Partition) -> None:
        """What the watch found may forbid to read on for an index of this table: what would be written may be wrong."""
        for lane in lanes:
            name = lane.index.declared
            while (evidence := self.health.holds_index(name)) is not None:
                problem = needed(FindingKind.KEY_CHANGED, name, evidence)
                await self._patience.wait_for_operator(name, problem, wanted=lambda: not partition.dropped)
                await self._patience.persist(name, self.learn_findings, wanted=lambda: not partition.dropped)

    async def learn_findings(self) -> None:
        """Read the open findings at once, as it is done every few seconds anyway. Raises StateUnavailable."""
        self.health.learned(await self._state.findings())

    def _put(self, lane: Lane, translation: Translation) -> bool:
        """Whether there was anything for this lane."""
        name, buffer = lane.index.name, lane.buffer
        steps = _for_lane(lane, translation)
        buffer.put_all(steps)
        for operation, count in Counter([entry.operation for _, entry in steps]).items():
            self._telemetry.count("events", count, index=name, operation=operation.name.lower())
        if translation.snapshot in _SNAPSHOTS and steps:
            lane.saw_snapshot(len(steps), last=False)
        elif steps:
            lane.saw_snapshot(len(steps) if translation.snapshot_end is not None else 0, last=True)
        return bool(steps)

    async def _record(self, translation: Translation, partition: Partition, lanes: Sequence[Lane]) -> None:
        told: list[tuple[Failure, Record | None]] = []
        for lane in lanes:
            name = lane.index.name
            mine = _failures_of(lane, translation)
            failures = [failure for failure, _ in mine]
            told += mine
            if failures:
                example = f"{failures[-1].code}: {failures[-1].message}"
                try:
                    self._quarantine.guard(name, len(failures), len(_for_lane(lane, translation)), example)
                except OperatorNeeded as problem:
                    await self._patience.wait_for_operator(name, problem, wanted=lambda: not partition.dropped)
                    self._quarantine.reset_guard(name)

        def wanted() -> bool:
            return not partition.dropped

        await self._patience.persist("dead letters", lambda: self._quarantine.record(told, wanted=wanted), wanted=wanted)

    async def _before_clear(self, lane: Lane, partition: Partition) -> None:
        """Nothing to do with one partition: the clear has its place in the order there."""

        def wanted() -> bool:
            return not partition.dropped

        await self._patience.persist(partition.subject, lambda: self._tell_of_truncate(lane.index), wanted=wanted)
        if lane.index.truncate == "hold":
            await self._hold_for_truncate(lane, partition)

    async def _tell_of_truncate(self, index: Index) -> None:
        """Before its event is acknowledged, and again once the index is cleared: a fill that began between the two lacks what
        the clear took from the other partitions."""
        count = (await self._log.partition_counts([index.topic])).get(index.topic, 1)
        if count > 1:
            evidence = f"{index.table} was truncated, and {index.topic} has {count} partitions"
            await self._state.add_finding(
                found(FindingKind.TRUNCATE_OVER_PARTITIONS, index.name, evidence, now=self._clock.now())
            )

    async def _hold_for_truncate(self, lane: Lane, partition: Partition) -> None:
        name = lane.index.name
        problem = needed(
            FindingKind.TRUNCATE, name, f"{name}: {lane.index.table} was truncated, and the declaration says to hold"
        )
        await self._patience.wait_for_operator(name, problem, wanted=lambda: not partition.dropped)

    def _lift_replay_gates(self, lanes: Sequence[Lane], partition: Partition) -> None:
        assert partition.ledger is not None
        # What is delivered and not taken yet is no backlog of the group's any more, and still part of the replay.
        nothing_left = self._membership.backlog(partition.place) == 0 and not partition.taking
        for lane in lanes:
            until = lane.replay_until.get(partition.place)
            if until is not None and (partition.ledger.position >= until or nothing_left):
                del lane.replay_until[partition.place]
                lane.wake()

    # Preparing

    async def _prepare(self, partition: Partition) -> None:
        lanes: list[Lane] = []
        replaced = False

        async def prepare() -> Prepared:
            partition.preparing = False
            # Whoever waits for all workers must know of this one before it reads what is asked of them.
            await self.reporter.tell()
            await self._rebuilding.before_preparing(partition)
            await self._control.read_pauses()
            lanes[:] = self._lanes_of(partition.place)
            topic = partition.place.topic
            counts = await self._log.partition_counts([topic])
            self._translator.partition_counts.update(counts)
            indexes = [lane.index for lane in lanes]
            return await self._preparation.prepare(partition.place, indexes, partitions=counts.get(topic, 0))

        while True:
            try:
                prepared = await self._patience.persist(partition.subject, prepare, wanted=lambda: not partition.dropped)
                if (prepared.rewind or replaced) and not partition.dropped:
                    if prepared.rewind:
                        # Retention may have passed what was delivered: then this is done again from where the group stands.
                        with suppress(ValueError):
                            self._membership.acknowledge(partition.place, partition.generation, prepared.next_offset)
                    # What was delivered meanwhile may be of the log that is gone, and the consumer reads on from there.
                    raise StartAgain(f"{partition.subject}: another log, read from its start: starting again")
                self._open(partition, prepared, lanes)
                await self._undo_late_writes(partition, prepared, lanes)
                break
            except OperatorNeeded as problem:
                replaced = replaced or problem.kind == FindingKind.LOG_REPLACED
                try:
                    await self._patience.wait_for_operator(
                        problem.subject or partition.subject, problem, wanted=lambda: not partition.dropped
                    )
                except OwnershipLost:
                    return
            except OwnershipLost:
                return
        log.info("partition ready", partition=partition.subject, generation=partition.generation, offset=prepared.next_offset)
        partition.preparing = False
        partition.ready.set()

    def _open(self, partition: Partition, prepared: Prepared, lanes: Sequence[Lane]) -> None:
        keeper = self._keepers[partition.place.topic]
        if partition.dropped:
            raise OwnershipLost(f"{partition.subject} was revoked")
        partition.topic_id = prepared.topic_id
        partition.ledger = Ledger(partition.place, prepared.next_offset, prepared.tail)
        partition.saved = prepared.next_offset
        partition.end_offset = prepared.end_offset
        for lane in lanes:
            name = lane.index.name
            sighting, journal = prepared.sightings[name], self._journals[name]
            keeper.records[name] = prepared.records[name]
            self._quarantine.memory.load(name, prepared.failures[name])
            journal.scanned[partition.place] = sighting.scanned
            written_until = max(sighting.high.get(partition.place, -1) + 1, prepared.acknowledged)
            lane.open(partition.generation, partition.place, prepared.topic_id, written_until)
            lane.cleared[partition.place] = sighting.cleared
            if written_until <= prepared.next_offset or prepared.next_offset >= prepared.end_offset:
                lane.replay_until.pop(partition.place, None)

    async def _undo_late_writes(self, partition: Partition, prepared: Prepared, lanes: Sequence[Lane]) -> None:
        keeper = self._keepers[partition.place.topic]
        for lane in lanes:
            name = lane.index.name
            sighting = prepared.sightings[name]
            await self._patience.persist(
                partition.subject,
                lambda name=name, sighting=sighting: keeper.report(name, sighting, [partition]),  # type: ignore[misc]
                wanted=lambda: not partition.dropped,
            )
            late = sighting.late
            await self._patience.persist(
                partition.subject,
                lambda lane=lane, late=late: keeper.mend(lane, partition, late),  # type: ignore[misc]
                wanted=lambda: not partition.dropped,
            )

    # Keeping

    async def _keep(self, topic: str) -> None:
        while True:
            try:
                await self._patience.persist(f"progress of {topic}", lambda: self._tick(topic), wanted=lambda: True)
            except OperatorNeeded as problem:
                await self._patience.wait_for_operator(subject_of(problem), problem, wanted=lambda: True)
                raise StartAgain(f"{subject_of(problem)}: the finding {problem.kind} was cleared: starting again") from problem
            if await happened(self._settled[topic], self._clock, _IDLE_S):
                await self._clock.sleep(_TICK_S)

    async def _tick(self, topic: str) -> None:
        await self._keepers[topic].tick(self._of_topic(topic))
        for partition in self._of_topic(topic):
            if partition.active:
                self._lift_replay_gates(self._lanes_of(partition.place), partition)

    # Inside

    def _of_topic(self, topic: str) -> list[Partition]:
        return [partition for place, partition in self._partitions.items() if place.topic == topic]

    def _lanes_of(self, place: TopicPartition) -> list[Lane]:
        return [lane for lane in self._lanes.values() if lane.index.topic == place.topic]

    def _raise_if_unwanted(self, partition: Partition) -> None:
        if self.tasks.crash is not None:
            raise StartAgain(f"the pipeline ended: {explain(self.tasks.crash)}") from self.tasks.crash
        if partition.dropped or self._stopping:
            raise OwnershipLost(f"{partition.subject} was revoked")


def _for_lane(lane: Lane, translation: Translation) -> Sequence[tuple[str | None, Entry]]:
    """Its index's steps; without the rows of a fill that are for the other lane alone."""
    steps, rows = translation.steps[lane.index.declared], translation.asked_rows
    if lane.takes_rows or not rows:
        return steps
    return [step for step in steps if step[1].offset not in rows]


def _forget_what_failed(lane: Lane, translation: Translation, place: TopicPartition) -> None:
    """A change that lacks columns may fail now and have been applied by an earlier owner: the source's row decides. Then what
    is older of its document was shown before, and must not be again."""
    for failure, _ in _failures_of(lane, translation):
        if failure.document_id is not None and failure.offset < lane.replay_until.get(place, 0):
            lane.buffer.forget_before(failure.document_id, place, failure.offset)


def _failures_of(lane: Lane, translation: Translation) -> list[tuple[Failure, Record | None]]:
    rows = set() if lane.takes_rows else translation.asked_rows
    return [
        (replace(failure, index=lane.index.name), record)
        for failure, record in translation.failures
        if failure.index == lane.index.declared and record.offset not in rows
    ]
