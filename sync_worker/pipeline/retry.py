"""Retries: failed work that an operator wants tried again goes through the same lane as the stream, in the document's order.

An operator sets a row to `retrying`; the worker that owns the change's partition takes it up. The change is written only while
it is the newest thing known of its document: nothing of it is on its way, nothing later was applied or failed since. What is
known of a document's later changes is the failure memory, so a row without it (its document was not known when it failed, or it
was made from the dead-letter topic) is tried with the row as it is now instead; as is what failed on request, without a record.

A worker that dies leaves rows `retrying`; the next owner of the partition takes them up again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from sync_worker.batch.coalesce import Entry
from sync_worker.change.decode import key_of
from sync_worker.change.header import promised_key
from sync_worker.change.model import Record, TopicPartition
from sync_worker.errors import RecordError
from sync_worker.failure.model import RECORD_REMOVED, FailureStatus, order_of
from sync_worker.pipeline.lane import Lane
from sync_worker.pipeline.partition import Partition
from sync_worker.pipeline.quarantine import Quarantine
from sync_worker.pipeline.rewrite import Asked, asked_by, put_again, row_now
from sync_worker.pipeline.translate import Translator, reason_of
from sync_worker.ports import AskedRetry, Clock, DeadLetters, Log, Membership, Source, State, Telemetry
from sync_worker.progress.ledger import Span

log = structlog.get_logger(__name__)

_AT_ONCE = 200
_CATCH_UP_S = 10.0
"""How long a retry from the source waits for the stream to have no backlog, so that older changes do not follow it."""


@dataclass(slots=True, eq=False)
class _Written:
    """One that was put into the lane. A failure from `later_from` on is of a later change."""

    asked: AskedRetry
    partition: Partition
    document_id: str
    span: Span
    later_from: int


class Retries:
    """Those of one worker.

    Args:
        lanes: index name → its lane.
        partitions: those that the worker has now, kept up to date by whoever owns them.
    """

    def __init__(
        self,
        lanes: Mapping[str, Lane],
        partitions: Mapping[TopicPartition, Partition],
        *,
        state: State,
        log_port: Log,
        dead_letters: DeadLetters,
        source: Source,
        membership: Membership,
        translator: Translator,
        quarantine: Quarantine,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._lanes = lanes
        self._partitions = partitions
        self._state = state
        self._log = log_port
        self._dead_letters = dead_letters
        self._source = source
        self._membership = membership
        self._translator = translator
        self._quarantine = quarantine
        self._clock = clock
        self._telemetry = telemetry
        self._written: dict[int, _Written] = {}
        self._first_seen: dict[int, float] = {}

    async def round(self) -> None:
        """Judge what has settled, and take up what was asked since. Raises EnvironmentFault to be tried again."""
        await self._judge()
        places = [place for place, partition in self._partitions.items() if partition.caught_up]
        indexes = [name for name, lane in self._lanes.items() if lane.asks_open and self._open_to_retries(lane)]
        if not places or not indexes or len(self._written) >= _AT_ONCE:
            return
        asked = await self._state.asked_retries(indexes, places, limit=_AT_ONCE)
        grouped: dict[tuple[str, TopicPartition], list[AskedRetry]] = defaultdict(list)
        for retry in asked:
            if retry.work.id not in self._written:
                grouped[retry.work.failure.index, retry.work.failure.partition].append(retry)
        self._first_seen = {
            retry.work.id: self._first_seen.get(retry.work.id, self._clock.monotonic())
            for retries in grouped.values()
            for retry in retries
        }
        for (index, place), retries in grouped.items():
            await self._take_up(self._lanes[index], place, retries)

    @property
    def idle(self) -> bool:
        """Nothing written is waiting to be judged."""
        return not self._written

    def _open_to_retries(self, lane: Lane) -> bool:
        return not any(place in lane.replay_until for place in self._partitions)

    # Taking up

    async def _take_up(self, lane: Lane, place: TopicPartition, retries: Sequence[AskedRetry]) -> None:
        records = await self._records(retries)
        partition = self._partitions.get(place)
        if partition is None or not partition.caught_up:
            return
        async with partition.lock:
            for retry in retries:
                if partition.dropped or not lane.asks_open:
                    return
                await self._try(lane, partition, retry, records.get(retry.work.id))

    async def _try(self, lane: Lane, partition: Partition, retry: AskedRetry, record: Record | None) -> None:
        work = retry.work
        failure = work.failure
        if failure.topic_id != partition.topic_id:
            await self._back(
                retry, "its topic was deleted and made anew, so that its place in the order is not known: fill the index again"
            )
        elif failure.request is not None:
            await self._from_source(lane, partition, retry, asked_by(failure.request))
        elif record is None:
            await self._back(retry, "its payload is neither in the dead-letter topic nor in its own")
        elif retry.from_source or retry.rebuilt or failure.document_id is None:
            try:
                key = self._key(lane, record, failure.document_id)
            except RecordError as error:
                await self._failed_again(retry, reason_of(error).value, error.code, error.message)
                return
            await self._from_source(lane, partition, retry, key)
        else:
            await self._as_stored(lane, partition, retry, record, failure.document_id)

    async def _as_stored(self, lane: Lane, partition: Partition, retry: AskedRetry, record: Record, document_id: str) -> None:
        failure = retry.work.failure
        if lane.unsettled([document_id]):
            return  # what is on its way decides first
        newest = self._quarantine.memory.newest(failure.index, document_id)
        order = order_of(failure.offset, failure.request)
        if newest is None or newest.partition != partition.place or newest.order < order:
            # Superseded a moment ago, and then this changes nothing; else the row came into the table behind our back.
            await self._back(retry, "whether a later change of its document was applied is not known: retry it --from-source")
            return
        if newest.order > order:
            await self._close(retry, FailureStatus.SUPERSEDED, "a later change of its document failed as well")
            return
        translation = await self._translator.translate([record], partition.place, partition.topic_id, [lane.index])
        if translation.failures:
            told, _ = translation.failures[0]
            await self._failed_again(retry, told.reason_class.value, told.code, told.message)
            return
        steps = translation.steps[failure.index]
        if not steps:
            await self._close(retry, FailureStatus.RESOLVED, "it asks nothing of the index any more")
            return
        # More than one where the record is the delete of a key change: the row of the new key has its place there too.
        entry = next((entry for known, entry in steps if known == document_id), None)
        if entry is None:
            await self._back(retry, "today's declaration gives its document another id: retry it --from-source")
        else:
            self._put(lane, partition, retry, document_id, entry, later_from=failure.offset + 1)

    async def _from_source(self, lane: Lane, partition: Partition, retry: AskedRetry, asked: Asked) -> None:
        failure = retry.work.failure
        waited = self._clock.monotonic() - self._first_seen[retry.work.id]
        if self._membership.backlog(partition.place) != 0 and waited < _CATCH_UP_S:
            return
        try:
            document_id = asked if isinstance(asked, str) else lane.index.projector.document_id(asked)
            if lane.unsettled([document_id]):
                return
            _, entry = await row_now(
                lane.index,
                asked,
                partition.place,
                failure.offset,
                request=failure.request,
                source=self._source,
                clock=self._clock,
            )
        except RecordError as error:
            await self._failed_again(retry, reason_of(error).value, error.code, error.message)
            return
        assert partition.ledger is not None
        if not partition.dropped:
            self._put(lane, partition, retry, document_id, entry, later_from=partition.ledger.position)

    def _key(self, lane: Lane, record: Record, document_id: str | None) -> Mapping[str, Any]:
        """The record's own key, or the one that it promises where the failed document bears that. Raises RecordError."""
        promised = promised_key(record)
        if promised is not None and document_id is not None and lane.index.projector.document_id(promised) == document_id:
            return promised
        return key_of(record)

    def _put(
        self, lane: Lane, partition: Partition, retry: AskedRetry, document_id: str, entry: Entry, *, later_from: int
    ) -> None:
        assert partition.ledger is not None
        lane.retrying.add(document_id)
        span = put_again(lane, document_id, entry, partition.ledger.position)
        self._written[retry.work.id] = _Written(retry, partition, document_id, span, later_from)

    async def _records(self, retries: Sequence[AskedRetry]) -> Mapping[int, Record]:
        """The changes as they came: their dead letters, else the log itself where it still has them."""
        references = {retry.work.reference for retry in retries if retry.work.reference is not None}
        letters = await self._dead_letters.read(references) if references else {}
        records: dict[int, Record] = {}
        for retry in retries:
            failure, reference = retry.work.failure, retry.work.reference
            if failure.request is not None:
                continue
            letter = letters.get(reference) if reference is not None else None
            if letter is not None and letter[0].code == RECORD_REMOVED:
                continue
            if letter is not None and (letter[0].partition, letter[0].offset) == (failure.partition, failure.offset):
                records[retry.work.id] = letter[1]
                continue
            async for found in self._log.read(failure.partition, failure.offset, failure.offset + 1):
                for record in found:
                    records[retry.work.id] = record
        return records

    # What became of them

    async def _judge(self) -> None:
        for failed_work_id, written in list(self._written.items()):
            if written.partition.dropped:
                # Its next owner takes the row up again, whatever became of this write.
                self._forget(failed_work_id)
                continue
            if written.span.holders:
                continue
            work = written.asked.work
            status = await self._state.judge_retry(failed_work_id, attempts=work.attempts, later_from=written.later_from)
            if status in (FailureStatus.RESOLVED, FailureStatus.SUPERSEDED):
                self._quarantine.settled(work.failure.index, written.document_id, written.partition.place, written.later_from)
            # The bookmark's watermark must pass this write also where nothing else comes.
            written.partition.touched = True
            self._forget(failed_work_id)
            self._tell(written.asked, status)

    def _forget(self, failed_work_id: int) -> None:
        written = self._written.pop(failed_work_id)
        self._lanes[written.asked.work.failure.index].retrying.discard(written.document_id)

    async def _failed_again(self, retry: AskedRetry, reason_class: str, code: str, message: str) -> None:
        work = retry.work
        again = replace(
            work.failure,
            reason_class=type(work.failure.reason_class)(reason_class),
            code=code,
            message=message[:4096],
            failed_at=self._clock.now(),
        )
        await self._state.record_failures([again], [work.reference])
        offset = work.failure.offset
        self._tell(retry, await self._state.judge_retry(work.id, attempts=work.attempts, later_from=offset + 1))

    async def _back(self, retry: AskedRetry, reason: str) -> None:
        await self._close(retry, FailureStatus.OPEN, f"not tried: {reason}")

    async def _close(self, retry: AskedRetry, status: FailureStatus, reason: str) -> None:
        if await self._state.close_retry(retry.work.id, status, reason):
            self._tell(retry, status)

    def _tell(self, retry: AskedRetry, status: FailureStatus) -> None:
        failure = retry.work.failure
        outcome = "failed" if status is FailureStatus.OPEN else status.value
        self._telemetry.count("retries", index=failure.index, outcome=outcome)
        log.info("retried", index=failure.index, id=retry.work.id, outcome=outcome, document_id=failure.document_id)
