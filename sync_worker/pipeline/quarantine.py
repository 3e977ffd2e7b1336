"""Recording failed work: first the dead letter, confirmed, then the row; only then may the offset be acknowledged.

An open failure is remembered from its conviction on, so that a later change of the same document that is applied marks
it superseded before that change is acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import structlog

from sync_worker.batch.coalesce import Entry
from sync_worker.change.model import Record, StoredRecord, TopicPartition
from sync_worker.errors import OwnershipLost
from sync_worker.failure.flood import FloodGuard, FloodLimits
from sync_worker.failure.model import RECORD_REMOVED, Failure, OpenFailure, PayloadReference
from sync_worker.ports import DeadLetters, Log, State, Telemetry

log = structlog.get_logger(__name__)


def _say(index: str, failures: Sequence[Failure]) -> None:
    """One line for many, with what finds them again; the server's words may hold a value and stay in the table."""
    first = failures[0]
    log.warning(
        "dead-lettered",
        index=index,
        count=len(failures),
        document_id=first.document_id,
        code=first.code,
        reason_class=first.reason_class.value,
        partition=first.partition.partition,
        offset=first.offset,
    )


_Identity = tuple[str, TopicPartition, int, str | None]


def _identity(failure: Failure) -> _Identity:
    return failure.index, failure.partition, failure.offset, failure.request


def _open(failure: Failure) -> OpenFailure | None:
    if failure.document_id is None:
        return None
    return OpenFailure(failure.document_id, failure.partition, failure.offset, failure.request)


def letter_of(failure: Failure, line: bytes | None) -> StoredRecord:
    """What the dead letter of a request holds: the row's key, and the document that was made of the row, if one could be made."""
    assert failure.request is not None
    place = failure.partition
    key = failure.request.encode()
    return StoredRecord(place.topic, place.partition, failure.offset, failure.source_ms, key, line)


class FailureMemory:
    """Open failures of the partitions that this worker owns: index → document id → the newest."""

    def __init__(self) -> None:
        self._open: dict[str, dict[str, OpenFailure]] = {}

    def load(self, index: str, failures: Sequence[OpenFailure]) -> None:
        for failure in failures:
            self.remember(index, failure)

    def remember(self, index: str, failure: OpenFailure) -> None:
        known = self._open.setdefault(index, {})
        old = known.get(failure.document_id)
        if old is None or old.partition != failure.partition or old.order < failure.order:
            known[failure.document_id] = failure

    def forget_partition(self, partition: TopicPartition) -> None:
        for index, known in self._open.items():
            self._open[index] = {key: failure for key, failure in known.items() if failure.partition != partition}

    def knows(self, failure: Failure) -> bool:
        known = _open(failure)
        return known is not None and self._open.get(failure.index, {}).get(known.document_id) == known

    def newest(self, index: str, document_id: str) -> OpenFailure | None:
        """The newest open failure of this document; None where none is open."""
        return self._open.get(index, {}).get(document_id)

    def superseded_by(self, index: str, entries: Mapping[str, Entry], retried: Collection[str] = ()) -> list[str]:
        """Documents with an open failure that is older than the entry that was applied.

        A row that was read on request is newer than an earlier request's at the same place, unless it is that one's retry: what
        became of it is judged by whoever tried it.
        """
        known = self._open.get(index)
        if not known:
            return []

        def older(failure: OpenFailure, entry: Entry, document_id: str) -> bool:
            again = entry.request is not None and document_id not in retried and failure.order == entry.order
            return failure.partition == entry.partition and (failure.order < entry.order or again)

        return [key for key in known.keys() & entries.keys() if older(known[key], entries[key], key)]

    def forget(self, index: str, document_ids: Sequence[str]) -> None:
        known = self._open.get(index, {})
        for document_id in document_ids:
            known.pop(document_id, None)

    def forget_before(self, index: str, before: Mapping[TopicPartition, int]) -> None:
        known = self._open.get(index, {})
        self._open[index] = {key: one for key, one in known.items() if one.offset >= before.get(one.partition, 0)}

    def count(self, index: str) -> int:
        return len(self._open.get(index, {}))

    def exchange(self, one: str, other: str) -> None:
        self._open[one], self._open[other] = self._open.get(other, {}), self._open.get(one, {})

    def forget_index(self, index: str) -> None:
        self._open.pop(index, None)


class Quarantine:
    """Records failures, and marks them superseded."""

    def __init__(
        self,
        dead_letters: DeadLetters,
        state: State,
        log: Log,
        *,
        telemetry: Telemetry,
        flood: FloodLimits,
        indexes: Sequence[str],
    ) -> None:
        self._dead_letters = dead_letters
        self._state = state
        self._log = log
        self._telemetry = telemetry
        self._flood = flood
        self.memory = FailureMemory()
        self._lettered: dict[_Identity, PayloadReference] = {}
        self._guards = {index: FloodGuard(index, flood) for index in indexes}

    def add_index(self, index: str) -> None:
        self._guards[index] = FloodGuard(index, self._flood)

    def exchange(self, one: str, other: str) -> None:
        """The two physical indexes bear each other's name from now on; nothing of either is being recorded."""
        self.memory.exchange(one, other)
        self._guards[one], self._guards[other] = FloodGuard(one, self._flood), FloodGuard(other, self._flood)

    def forget_index(self, index: str) -> None:
        """It is deleted, or about to be."""
        self.memory.forget_index(index)
        self._lettered = {place: letter for place, letter in self._lettered.items() if place[0] != index}
        self._guards.pop(index, None)
        self._telemetry.gauge("open_failures", 0, index=index)

    def reset_guard(self, index: str) -> None:
        """An operator looked at the flood and let it through."""
        self._guards[index] = FloodGuard(index, self._flood)

    def guard(self, index: str, failed: int, passed: int, example: str = "") -> None:
        """Count outcomes before failures are recorded. Raises OperatorNeeded when they are a flood."""
        self._guards[index].observe(failed, passed, example)

    def failed_in_a_row(self, index: str) -> int:
        """Failures of this index since something of it was applied."""
        return self._guards[index].in_a_row

    async def record(self, failures: Sequence[tuple[Failure, Record | None]], *, wanted: Callable[[], bool]) -> None:
        """Record them; returns once dead letters and rows are stored. Safe to repeat.

        A letter that was delivered while the row could not be stored is not delivered again by a repetition.

        Raises EnvironmentFault, and OwnershipLost once `wanted` says that the partition is somebody else's: only its owner
        inserts.
        """
        fresh: list[tuple[Failure, Record]] = []
        rows: list[Failure] = []
        for failure, record in failures:
            if not self.memory.knows(failure):
                failure, record = (failure, record) if record is not None else await self._read(failure)
                if _identity(failure) not in self._lettered:
                    fresh.append((failure, record))
            rows.append(failure)
        self._raise_unless(wanted)
        if fresh:
            references = await self._dead_letters.publish(fresh)
            for (failure, _), reference in zip(fresh, references, strict=True):
                self._lettered[_identity(failure)] = reference
        self._raise_unless(wanted)
        places = [_identity(failure) for failure in rows]
        await self._state.record_failures(rows, [self._lettered.get(place) for place in places])
        for failure, place in zip(rows, places, strict=True):
            if self._lettered.pop(place, None) is not None:
                self._telemetry.count("failures", index=failure.index, reason_class=failure.reason_class.value)
                self._telemetry.count("dead_letters", index=failure.index)
            if (known := _open(failure)) is not None and wanted():
                self.memory.remember(failure.index, known)
        for index in {failure.index for failure, _ in fresh}:
            _say(index, [failure for failure, _ in fresh if failure.index == index])
        for index in {failure.index for failure in rows}:
            self._telemetry.gauge("open_failures", self.memory.count(index), index=index)

    def settled(self, index: str, document_id: str, partition: TopicPartition, below: int) -> None:
        """An open failure of this document was tried again and is closed, with all older ones."""
        newest = self.memory.newest(index, document_id)
        if newest is not None and newest.partition == partition and newest.offset < below:
            self.memory.forget(index, [document_id])
            self._telemetry.gauge("open_failures", self.memory.count(index), index=index)

    def forget_partition(self, partition: TopicPartition) -> None:
        """It belongs to somebody else now."""
        self.memory.forget_partition(partition)
        self._lettered = {place: letter for place, letter in self._lettered.items() if place[1] != partition}

    @staticmethod
    def _raise_unless(wanted: Callable[[], bool]) -> None:
        if not wanted():
            raise OwnershipLost("the failure's partition belongs to somebody else")

    async def supersede(
        self,
        index: str,
        entries: Mapping[str, Entry],
        topic_ids: Mapping[TopicPartition, str],
        retried: Collection[str] = (),
    ) -> None:
        """These entries are applied: older open failures of their documents are history. Raises StateUnavailable.

        Args:
            retried: documents of which an entry may be the retry of the failure itself.
        """
        hits = self.memory.superseded_by(index, entries, retried)
        if not hits:
            return
        before: dict[TopicPartition, int] = {}
        for document_id in hits:
            entry = entries[document_id]
            # A row that was read on request is newer than the record at its place, and than any earlier request there.
            own = entry.request is not None and document_id not in retried
            before[entry.partition] = max(entry.offset + own, before.get(entry.partition, 0))
        await self._state.supersede(index, hits, before, topic_ids)
        # Looked at again: meanwhile a newer change of the same document may have failed, and that failure is not history.
        superseded = set(self.memory.superseded_by(index, entries, retried))
        self.memory.forget(index, [document_id for document_id in hits if document_id in superseded])
        self._telemetry.gauge("open_failures", self.memory.count(index), index=index)

    async def supersede_all(
        self, index: str, before: Mapping[TopicPartition, int], topic_ids: Mapping[TopicPartition, str]
    ) -> None:
        """A clear was applied: every open failure before it is history. Raises StateUnavailable."""
        await self._state.supersede_all(index, before, topic_ids)
        self.memory.forget_before(index, before)
        self._telemetry.gauge("open_failures", self.memory.count(index), index=index)

    async def _read(self, failure: Failure) -> tuple[Failure, Record]:
        """The failure with its record; where the log no longer has it, with an empty one and words that say so."""
        async for records in self._log.read(failure.partition, failure.offset, failure.offset + 1):
            for record in records:
                if record.offset == failure.offset:
                    return failure, record
        place = failure.partition
        told = (
            f"{failure.code}: {failure.message} (the log no longer has the record at offset {failure.offset}: retention or "
            "compaction removed it before it was recorded, so that this letter is empty)"
        )
        removed = replace(failure, code=RECORD_REMOVED, message=told[:4096])
        return removed, StoredRecord(place.topic, place.partition, failure.offset, failure.source_ms, None, None)
