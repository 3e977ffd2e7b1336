"""One index's lane: what is collected, what is in flight, and what happens next.

Everything that writes to the index goes through its lane, one request at a time. Several flushes may be in flight; they
settle in any order. When one failed, nothing more is sent until all others settled; then the failed one is isolated.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

import structlog

from sync_worker.batch.coalesce import Batch, Entry
from sync_worker.batch.pace import Limits, Situation, wait_before_flush
from sync_worker.batch.packed import PackedEntries
from sync_worker.batch.payload import split_ids, split_lines
from sync_worker.change.model import Operation, TopicPartition
from sync_worker.errors import OperatorNeeded, OwnershipLost, PayloadTooLarge, SinkUnavailable, StartAgain
from sync_worker.failure.model import Failure
from sync_worker.failure.policy import policy_for
from sync_worker.pipeline.holds import Patience
from sync_worker.pipeline.isolate import Cause, Isolation
from sync_worker.pipeline.model import Flush, Index, Part, PartKind
from sync_worker.pipeline.quarantine import Quarantine, letter_of
from sync_worker.pipeline.settle import Settler
from sync_worker.pipeline.waiting import happened
from sync_worker.pipeline.write import Writer
from sync_worker.ports import Clock, Task, TaskStatus, Telemetry

log = structlog.get_logger(__name__)

_PACK_AFTER_S = 0.1
"""What settles sooner is not worth the work of making it small."""


class Lane:
    """The flush cycle of one index.

    Attributes:
        paused: nothing is sent; what is in flight settles.
        still: nothing new is put into it, and what is in it goes out: a rebuild is about to swap.
        closing: it is about to go, paused until then.
        takes_rows: whether the rows of an incremental snapshot are for it.
        cleared: partition → offsets of TRUNCATEs that an earlier owner applied: read again, they take nothing away.
    """

    def __init__(
        self,
        index: Index,
        *,
        writer: Writer,
        settler: Settler,
        quarantine: Quarantine,
        patience: Patience,
        limits: Limits,
        clock: Clock,
        telemetry: Telemetry,
        backlog: Callable[[], int],
        settled: Callable[[], None],
        truncated: Callable[[], Awaitable[None]],
    ) -> None:
        self.index = index
        self._settler = settler
        self.writer = writer
        self._quarantine = quarantine
        self._truncated = truncated
        self._patience = patience
        self._limits = limits
        self._clock = clock
        self._telemetry = telemetry
        self._backlog = backlog
        self._settled = settled
        self.buffer = Batch()
        self.generation = -1
        self.topic_ids: dict[TopicPartition, str] = {}
        self.replay_until: dict[TopicPartition, int] = {}
        self.cleared: dict[TopicPartition, set[int]] = {}
        self.snapshot_rate = 0.0
        self.paused = False
        self.still = False
        self.closing = False
        self.takes_rows = True
        self.retrying: set[str] = set()
        self._outbox: Flush | None = None
        self._flushes: deque[Flush] = deque()
        self._isolation: Isolation | None = None
        self._gone: set[TopicPartition] = set()
        self._changed = asyncio.Event()
        self._max_payload = index.max_payload
        self._snapshot_since: float | None = None
        self._snapshot_documents = 0
        self._snapshot_ended = False
        self._arrived_at = 0.0
        self._sent_at = 0.0
        self._wake_up = self._changed.set
        settler.listen(self._wake_up)

    # What others do to the lane

    @property
    def size(self) -> int:
        """Bytes of memory held, roughly."""
        outbox = self._outbox.batch.size if self._outbox is not None else 0
        return self.buffer.size + outbox + sum(flush.size for flush in self._flushes)

    @property
    def quiet(self) -> bool:
        """Nothing collected, in flight, isolating, or being recorded."""
        return self.buffer.empty and self._outbox is None and not self._flushes and self._isolation is None

    @property
    def halted(self) -> bool:
        """Paused, and nothing in flight, isolating, or being recorded: nothing is written before `paused` is taken back."""
        return self.paused and self._outbox is None and not self._flushes and self._isolation is None

    def unsettled(self, document_ids: Collection[str]) -> set[str]:
        """Those of these documents of which something is collected, in flight, isolating, or being recorded."""
        wanted = set(document_ids)
        flushes = [*self._flushes, *([self._outbox] if self._outbox is not None else [])]
        if self.buffer.clear is not None or any(flush.batch.clear is not None for flush in flushes):
            return wanted
        found = wanted & self.buffer.entries.keys()
        for flush in flushes:
            found |= wanted.intersection(flush.document_ids())
        return found

    def arrived(self) -> None:
        """Something was put into `buffer`."""
        self._arrived_at = self._clock.monotonic()
        self._changed.set()

    def saw_snapshot(self, documents: int, *, last: bool) -> None:
        """Read events of a snapshot came, or its last one, or an event that belongs to none: then no snapshot streams in."""
        if last:
            self._snapshot_ended = self._snapshot_ended or documents > 0
            self.snapshot_rate, self._snapshot_since = 0.0, None
            return
        now = self._clock.monotonic()
        if self._snapshot_since is None:
            self._snapshot_since, self._snapshot_documents = now, 0
        self._snapshot_documents += documents
        self.snapshot_rate = self._snapshot_documents / max(0.1, now - self._snapshot_since)

    @property
    def drained(self) -> bool:
        """Nothing left to finish before the worker ends. Half of a replay is not sent: it would leave old documents visible."""
        nothing_sent = self._outbox is None and not self._flushes and self._isolation is None
        return self.quiet or (nothing_sent and (self.paused or bool(self.replay_until)))

    @property
    def asks_open(self) -> bool:
        """Whether work that operators ask for may be put into it."""
        return not (self.paused or self.still)

    def close(self) -> None:
        """Let go of everything: its index is not written to any more. Its task has ended."""
        self._settler.stop_listening(self._wake_up)
        for flush in [*self._flushes, *([self._outbox] if self._outbox is not None else [])]:
            flush.batch.release()
        self.buffer.release()
        self._flushes.clear()
        self._outbox, self._isolation, self.buffer = None, None, Batch()
        self._show_in_flight()

    def wake(self) -> None:
        self._changed.set()

    def drop(self, partitions: Collection[TopicPartition]) -> None:
        """Forget what is not written yet of these partitions: their next owner reads it again."""
        self._gone.update(partitions)
        self.buffer.drop(partitions)
        for flush in self._flushes:
            flush.drop(partitions)
        if self._outbox is not None:
            self._outbox.drop(partitions)
        if self._isolation is not None:
            pool = self._isolation.pool
            for document_id in [key for key, entry in pool.items() if entry.partition in partitions]:
                del pool[document_id]
        for partition in partitions:
            self.replay_until.pop(partition, None)
            self.cleared.pop(partition, None)
        self._changed.set()

    def open(self, generation: int, partition: TopicPartition, topic_id: str, replay_until: int) -> None:
        """A partition was prepared: it may be written in this generation."""
        self.generation = generation
        self._gone.discard(partition)
        self.topic_ids[partition] = topic_id
        self.replay_until[partition] = replay_until
        self._changed.set()

    # What the lane does

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._patience.persist(self.index.name, self._step, wanted=lambda: True)
            except OwnershipLost as lost:
                log.info("write dropped", index=self.index.name, cause=lost.message)
                self._abandon()
            except OperatorNeeded as needed:
                await self._patience.wait_for_operator(self.index.name, needed, wanted=lambda: True)
                if needed.kind != "failure-flood":
                    raise StartAgain(f"{self.index.name}: the finding {needed.kind} was cleared: starting again") from needed
                self._quarantine.reset_guard(self.index.name)

    async def _step(self) -> None:
        if self._isolation is not None:
            await self._isolate()
        elif self._outbox is not None:
            await self._send(self._outbox)
        elif any(flush.finished for flush in self._flushes):
            await self._finish()
        elif self.paused:
            await happened(self._changed, self._clock, None)
        else:
            wait = self._wait_before_flush()
            if wait == 0.0:
                self._outbox = Flush(self.buffer, self.generation)
                self.buffer, self._snapshot_ended = Batch(), False
            elif (flush := next((flush for flush in self._flushes if flush.packable), None)) is None:
                await happened(self._changed, self._clock, wait)
            elif (left := self._sent_at + _PACK_AFTER_S - self._clock.monotonic()) > 0:
                await happened(self._changed, self._clock, left if wait is None else min(left, wait))
            else:
                await flush.pack()

    def _wait_before_flush(self) -> float | None:
        if any(flush.failed_parts() for flush in self._flushes if flush.finished) or (self.buffer.clear and self._flushes):
            return None
        full = self.buffer.size >= self._limits.in_flight_bytes // 2
        if self.replay_until and not full:
            return None
        now = self._clock.monotonic()
        situation = Situation(
            documents=len(self.buffer),
            size=self.buffer.size,
            in_flight_documents=sum(flush.document_count for flush in self._flushes),
            in_flight_bytes=sum(flush.size for flush in self._flushes),
            idle_s=now - self._arrived_at,
            since_send_s=now - self._sent_at,
            task_s=self._settler.usual_s,
            backlog=self._backlog(),
            snapshot_rate=self.snapshot_rate,
            snapshot_ended=self._snapshot_ended,
        )
        return wait_before_flush(situation, self._limits)

    # Sending

    def _plan(self, flush: Flush) -> list[Part]:
        batch = flush.batch

        def made(kind: PartKind, document_ids: list[str]) -> Part:
            return Part(self.index, kind, document_ids, flush.generation, dict(batch.ranges), self._topic_id(batch.ranges))

        deleted = batch.deletes()
        # A batch's size counts more than its lines, so one that is within the limit is one payload, as nearly all are.
        if 0 < batch.size <= self._max_payload:
            gone = set(deleted)
            groups = [[key for key in batch.entries if key not in gone] if gone else list(batch.entries)]
        else:
            groups = [[document_id for document_id, _ in group] for group in split_lines(batch.writes(), self._max_payload)]
        writes = [made(PartKind.WRITE, group) for group in groups if group]
        return writes + [made(PartKind.DELETE, group) for group in split_ids(deleted, self._max_payload)]

    def _topic_id(self, partitions: Iterable[TopicPartition]) -> str:
        known = {self.topic_ids.get(partition, "") for partition in partitions}
        return known.pop() if len(known) == 1 else ""

    async def _send(self, flush: Flush) -> None:
        if flush.batch.clear is not None:
            await self._clear(flush)
        for partition in flush.batch.ranges:
            # Part of a replay: what goes out now may be of before the next TRUNCATE, which then has to clear again.
            self.cleared.pop(partition, None)
        if not flush.parts:
            flush.parts = self._plan(flush)
        await self._send_parts(flush.parts, flush.batch.entries, lambda: self._plan_again(flush))
        self._flushes.append(flush)
        self._outbox = None
        self._sent_at = self._clock.monotonic()
        flush.sent_bytes = flush.batch.size
        self._telemetry.observe("flush_documents", len(flush.batch.entries), index=self.index.name)
        self._telemetry.observe("flush_bytes", flush.sent_bytes, index=self.index.name)
        self._show_in_flight()

    async def _send_parts(self, parts: list[Part], entries: Mapping[str, Entry], plan_again: Callable[[], list[Part]]) -> None:
        pending = deque(parts)
        while pending:
            part = pending[0]
            if not all(map(entries.__contains__, part.document_ids)):
                part.document_ids = [document_id for document_id in part.document_ids if document_id in entries]
            if not part.document_ids and part.uid is None and not part.settled.done():
                part.skip()
            else:
                try:
                    await self.writer.send(part, entries)
                except PayloadTooLarge:
                    self._max_payload = max(1024, sum(len(entries[d].line or b"") for d in part.document_ids) // 2)
                    self._telemetry.count("payload_splits", index=self.index.name)
                    pending = deque(plan_again())
                    continue
            pending.popleft()

    def _plan_again(self, flush: Flush) -> list[Part]:
        sent = [part for part in flush.parts if part.uid is not None or part.settled.done()]
        done = {document_id for part in sent for document_id in part.document_ids}
        rest = Batch(
            entries={key: entry for key, entry in flush.batch.entries.items() if key not in done}, ranges=flush.batch.ranges
        )
        flush.parts = sent + self._plan(Flush(rest, flush.generation))
        return flush.parts[len(sent) :]

    async def _clear(self, flush: Flush) -> None:
        entry = flush.batch.clear
        assert entry is not None
        if flush.clear_part is None and entry.offset in self.cleared.get(entry.partition, ()):
            await self._quarantine.supersede_all(self.index.name, {entry.partition: entry.offset}, self.topic_ids)
            flush.batch.clear = None
            return
        part = flush.clear_part
        if part is None:
            ranges = {entry.partition: (entry.offset, entry.offset)}
            part = Part(self.index, PartKind.CLEAR, [], flush.generation, ranges, self._topic_id(ranges))
            flush.clear_part = part
        await self.writer.send(part, {})
        task = await part.settled
        if task.status is not TaskStatus.SUCCEEDED:
            flush.clear_part = None
            raise SinkUnavailable(f"{self.index.name}: clearing failed: {task.error_code}: {task.error_message}")
        self.writer.journal.applied(task.uid, part.metadata or "")
        await self._quarantine.supersede_all(self.index.name, {entry.partition: entry.offset}, self.topic_ids)
        await self._truncated()
        flush.batch.clear = None
        log.info("index cleared", index=self.index.name, partition=entry.partition.partition, offset=entry.offset)

    # Settling

    async def _finish(self) -> None:
        """Finish what was applied; start isolating once something failed and nothing else is in flight."""
        for flush in [flush for flush in self._flushes if flush.finished and not flush.failed_parts()]:
            if self._failed_before(flush):
                continue
            await self._finish_applied(flush)
            self._flushes.remove(flush)
            self._show_in_flight()
            self._settled()
        if not any(flush.finished and flush.failed_parts() for flush in self._flushes):
            return
        if not all(flush.finished for flush in self._flushes):
            await happened(self._changed, self._clock, None)
            return
        self._isolation = self._isolate_what_failed()

    def _failed_before(self, flush: Flush) -> bool:
        """Whether an older flush failed: then this one's documents must stay known until that is isolated."""
        for older in self._flushes:
            if older is flush:
                return False
            if older.finished and older.failed_parts():
                return True
        return False

    async def _finish_applied(self, flush: Flush) -> None:
        for part in flush.parts:
            if part.packed is not None:
                await self._applied_packed(part.packed)
        await self._applied(flush.batch.entries)
        self._note_applied(flush)
        slowest = max((task.duration_s or 0.0 for part in flush.parts if (task := part.outcome)), default=0.0)
        if flush.parts:
            seconds = self._clock.monotonic() - min(part.accepted_at for part in flush.parts)
            self._telemetry.observe("flush_seconds", seconds, index=self.index.name)
        log.info(
            "flush applied",
            index=self.index.name,
            document_count=flush.document_count,
            bytes=flush.sent_bytes,
            tasks=[part.uid for part in flush.parts],
            server_s=round(slowest, 3),
            in_flight=len(self._flushes) - 1,
        )
        flush.batch.release()

    def _note_applied(self, flush: Flush) -> None:
        for part in flush.parts:
            if part.uid is not None and (task := part.outcome) and task.status is TaskStatus.SUCCEEDED:
                self.writer.journal.applied(task.uid, part.metadata or "")

    async def _applied(self, entries: Mapping[str, Entry]) -> None:
        await self._quarantine.supersede(self.index.name, entries, self.topic_ids, self.retrying)
        self._count_applied(len(entries), [entry.source_ms for entry in entries.values()])

    async def _applied_packed(self, packed: PackedEntries) -> None:
        if self._quarantine.memory.count(self.index.name):
            await self._quarantine.supersede(self.index.name, packed.unpack(), self.topic_ids, self.retrying)
        self._count_applied(len(packed), packed.source_ms)

    def _count_applied(self, count: int, source_ms: Sequence[int]) -> None:
        if count:
            self._guard(0, count, "")
        now = self._clock.now()
        for changed_ms in source_ms[:: max(1, count // 200)]:
            self._telemetry.observe("freshness_seconds", max(0.0, now - changed_ms / 1000), index=self.index.name)

    def _guard(self, failed: int, passed: int, example: str) -> None:
        self._quarantine.guard(self.index.name, failed, passed, example)

    # Isolating

    def _isolate_what_failed(self) -> Isolation:
        """Documents of failed parts that no later flush contains."""
        pool: dict[str, Entry] = {}
        newer: set[str] = set()
        cause = Cause("internal", "")
        for flush in reversed(self._flushes):
            failed: dict[str, Entry] = {}
            for part in flush.failed_parts():
                failed.update(flush.entries_of(part))
                outcome = part.outcome
                cause = Cause.of(outcome) if outcome else cause
            pool.update({key: entry for key, entry in failed.items() if key not in newer})
            newer.update(flush.document_ids())
        return Isolation(
            self.index, pool, cause, submit=self._submit, convict=self._convict, applied=self._applied,
            guard=self._guard if pool.keys() - self.retrying else _no_guard,
            clock=self._clock, telemetry=self._telemetry,
            failed_in_a_row=lambda: self._quarantine.failed_in_a_row(self.index.name),
        )  # fmt: skip

    async def _isolate(self) -> None:
        assert self._isolation is not None
        self._leave_out_what_is_cleared(self._isolation)
        self._give_company(self._isolation)
        await self._isolation.run()
        for flush in list(self._flushes):
            applied = {
                key: entry
                for part in flush.parts
                if part not in flush.failed_parts()
                for key, entry in flush.entries_of(part).items()
            }
            await self._applied(applied)
            self._note_applied(flush)
            flush.batch.release()
        self._flushes.clear()
        self._isolation = None
        self._show_in_flight()
        self._settled()

    def _leave_out_what_is_cleared(self, isolation: Isolation) -> None:
        """A TRUNCATE that waits behind supersedes what came before it in its partition. Acknowledged once it is applied."""
        clear = self.buffer.clear
        if clear is None:
            return
        older = [
            key for key, entry in isolation.pool.items() if entry.partition == clear.partition and entry.offset < clear.offset
        ]
        for document_id in older:
            del isolation.pool[document_id]
        if older:
            for span in [span for flush in self._flushes for span in flush.batch.spans if span not in self.buffer.spans]:
                self.buffer.add_span(span)

    def _give_company(self, isolation: Isolation) -> None:
        """What came later joins the pool: nothing is in flight, and its documents are newer than those of the same ids there."""
        if isolation.needs_company and self.buffer.entries and self.buffer.clear is None:
            flush = Flush(self.buffer, self.generation, company=True)
            self.buffer = Batch()
            self._flushes.append(flush)
            isolation.pool.update(flush.batch.entries)
            isolation.needs_company = False

    def _isolated_generation(self) -> int:
        return max((flush.generation for flush in self._flushes), default=self.generation)

    async def _submit(self, entries: Mapping[str, Entry]) -> Sequence[Task]:
        """Write entries to the live index, wait for their tasks. Used while isolating, when nothing else is in flight."""
        batch = Batch(entries=dict(entries))
        for entry in entries.values():
            batch.cover(entry.partition, entry.offset, entry.offset)
            if entry.operation is Operation.TRUNCATE:
                # The TRUNCATE's offset names no document: what its flush covered does.
                for flush in self._flushes:
                    batch.cover(entry.partition, *flush.batch.ranges.get(entry.partition, (entry.offset, entry.offset)))
        flush = Flush(batch, self._isolated_generation())
        flush.parts = self._plan(flush)
        # Tried again here: an isolation that begins anew would send anew what may have arrived (invariant 6).
        await self._patience.persist(
            self.index.name,
            lambda: self._send_parts(flush.parts, batch.entries, lambda: self._plan_again(flush)),
            wanted=lambda: True,
        )
        tasks = [await part.settled for part in flush.parts]
        self._note_applied(flush)
        return tasks

    async def _convict(self, document_id: str, entry: Entry, cause: Cause) -> None:
        generation = self._isolated_generation()

        def ours() -> bool:
            return entry.partition not in self._gone and self.writer.owns(entry.partition, generation)

        policy = policy_for(cause.code)
        failure = Failure(
            index=self.index.name,
            document_id=document_id,
            operation=entry.operation.name.lower(),
            reason_class=policy.reason_class,
            code=cause.code,
            message=cause.message[:4096],
            retryable=policy.retryable or entry.request is not None,
            topic_id=self.topic_ids[entry.partition],
            partition=entry.partition,
            offset=entry.offset,
            source_ms=entry.source_ms,
            failed_at=self._clock.now(),
            request=entry.request,
        )
        letter = None if entry.request is None else letter_of(failure, entry.line)
        await self._quarantine.record([(failure, letter)], wanted=ours)

    def _abandon(self) -> None:
        """A partition was lost between taking and writing: drop all of it that is not in flight; it will be read again."""
        lost = self._outbox.generation if self._outbox is not None else self._isolated_generation()
        self._outbox = None
        self._isolation = None
        self._flushes = deque(
            flush for flush in self._flushes if not flush.company and not (flush.finished and flush.failed_parts())
        )
        if lost == self.generation:
            self.buffer = Batch()  # of a newer generation, it would not be read again

    def _show_in_flight(self) -> None:
        self._telemetry.gauge("in_flight_documents", sum(flush.document_count for flush in self._flushes), index=self.index.name)
        self._telemetry.gauge("in_flight_bytes", sum(flush.size for flush in self._flushes), index=self.index.name)
        self._telemetry.gauge("in_flight_tasks", sum(len(flush.parts) for flush in self._flushes), index=self.index.name)


def _no_guard(_failed: int, _passed: int, _example: str) -> None:
    """What an operator tries again may fail as one: that is no flood out of a bad release."""
