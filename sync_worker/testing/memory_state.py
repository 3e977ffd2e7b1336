"""The state database in memory, for systems that live in one process. It passes the suite of the real ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sync_worker.change.model import TopicPartition
from sync_worker.failure.findings import KEPT_WORDS, keeps_words
from sync_worker.failure.model import FailedWork, Failure, FailureStatus, Finding, OpenFailure, PayloadReference
from sync_worker.failure.text import cut
from sync_worker.ports import AskedRetry, Bookmark, Comparison, Depth, IndexRecord, MovedRow, Pause, Rewrite
from sync_worker.rebuild.model import Rebuild
from sync_worker.watch.fill import Fill

_UNSETTLED = frozenset({FailureStatus.OPEN, FailureStatus.RETRYING})


@dataclass(slots=True)
class FailedRow:
    """One row of failed work."""

    id: int
    failure: Failure
    reference: PayloadReference | None
    status: FailureStatus = FailureStatus.OPEN
    attempts: int = 1
    first_failed_at: float = 0.0
    status_reason: str = ""
    status_changed_at: float = 0.0
    from_source: bool = False

    def frozen(self) -> FailedWork:
        return FailedWork(
            self.id,
            self.failure,
            self.status,
            self.attempts,
            self.first_failed_at,
            self.reference,
            self.status_reason,
            self.status_changed_at,
        )


@dataclass
class MemoryState:
    """Implements `ports.State`. Every call is one transaction: it does not give way to others before it is done.

    Attributes:
        failed: (topic id, partition, offset, index, request) → row, in the order of insertion.
        now: seconds since 1970.
    """

    now: Callable[[], float] = lambda: 0.0
    failed: dict[tuple[str, TopicPartition, int, str, str | None], FailedRow] = field(default_factory=dict)
    marks: dict[TopicPartition, Bookmark] = field(default_factory=dict)
    records: dict[str, IndexRecord] = field(default_factory=dict)
    found: list[Finding] = field(default_factory=list)
    entries: list[tuple[str, str, str, Mapping[str, Any]]] = field(default_factory=list)
    paused: dict[str, Pause] = field(default_factory=dict)
    confirmed: dict[tuple[str, str], float] = field(default_factory=dict)
    facts: dict[tuple[str, str], Any] = field(default_factory=dict)
    filled: dict[str, Fill] = field(default_factory=dict)
    moved: dict[tuple[TopicPartition, str], MovedRow] = field(default_factory=dict)
    alive: dict[str, tuple[list[TopicPartition], Mapping[str, str]]] = field(default_factory=dict)

    rewrites: dict[tuple[str, str], Rewrite] = field(default_factory=dict)
    compared: dict[tuple[str, Depth], Comparison] = field(default_factory=dict)
    scrubs: dict[str, tuple[str, float, Mapping[str, Any] | None]] = field(default_factory=dict)

    rebuilding: dict[str, Rebuild] = field(default_factory=dict)
    rebuild_confirmed: dict[tuple[int, str], int] = field(default_factory=dict)

    # Rebuilds, as far as workers see them

    async def rebuilds(self) -> Mapping[str, Rebuild]:
        return dict(self.rebuilding)

    async def confirm_rebuild(self, rebuild: Rebuild, worker: str) -> None:
        self.rebuild_confirmed[rebuild.id, worker] = rebuild.epoch

    # Rewrites, comparisons, the scrub

    async def ask_for_rewrites(self, asked: Sequence[Rewrite]) -> None:
        self.rewrites.update({(one.index, one.document_id): one for one in asked})

    async def asked_rewrites(
        self, indexes: Collection[str], places: Collection[TopicPartition], *, limit: int
    ) -> Sequence[Rewrite]:
        found = [one for _, one in sorted(self.rewrites.items()) if one.index in indexes and one.place in places]
        return found[:limit]

    async def forget_rewrites(self, done: Sequence[Rewrite]) -> None:
        gone = {(one.index, one.document_id, one.run) for one in done}
        self.rewrites = {key: one for key, one in self.rewrites.items() if (*key, one.run) not in gone}

    async def rewrites_left(self, run: str) -> int:
        return sum(one.run == run for one in self.rewrites.values())

    async def withdraw_rewrites(self, run: str) -> None:
        self.rewrites = {key: one for key, one in self.rewrites.items() if one.run != run}

    async def save_comparison(self, comparison: Comparison) -> None:
        self.compared[comparison.index, comparison.depth] = comparison

    async def comparisons(self) -> Sequence[Comparison]:
        return [comparison for _, comparison in sorted(self.compared.items())]

    async def hold_scrub(self, index: str, worker: str, seconds: float) -> bool:
        holder, until, progress = self.scrubs.get(index, (worker, 0.0, None))
        if holder != worker and until > self.now():
            return False
        self.scrubs[index] = (worker, self.now() + seconds, progress)
        return True

    async def scrub_progress(self, index: str) -> Mapping[str, Any] | None:
        return self.scrubs[index][2] if index in self.scrubs else None

    async def save_scrub(self, index: str, worker: str, progress: Mapping[str, Any] | None) -> bool:
        holder, until, _ = self.scrubs.get(index, ("", 0.0, None))
        if holder != worker:
            return False
        self.scrubs[index] = (worker, until, progress)
        return True

    # Moved keys

    async def ask_for_moved_rows(self, rows: Sequence[MovedRow]) -> None:
        for row in rows:
            self.moved[row.place, str(sorted(row.key.items()))] = row

    async def moved_rows(self, places: Collection[TopicPartition]) -> Sequence[MovedRow]:
        found = [row for row in self.moved.values() if row.place in places]
        return sorted(found, key=lambda row: row.offset)

    async def forget_moved_row(self, row: MovedRow) -> None:
        known = (row.place, str(sorted(row.key.items())))
        if self.moved.get(known) == row:
            del self.moved[known]

    # Progress

    async def bookmarks(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Bookmark]:
        return {partition: self.marks[partition] for partition in partitions if partition in self.marks}

    async def index_records(self, indexes: Collection[str]) -> Mapping[str, IndexRecord]:
        return {index: self.records[index] for index in indexes if index in self.records}

    async def save_progress(self, bookmarks: Collection[Bookmark], indexes: Collection[IndexRecord]) -> None:
        for told in bookmarks:
            known = self.marks.get(told.partition)
            if known is not None and known.topic_id == told.topic_id and told.next_offset < known.next_offset:
                told = replace(told, next_offset=known.next_offset)
            self.marks[told.partition] = replace(told, scanned=dict(told.scanned))
        self.records.update({record.index: record for record in indexes})

    # Failed work

    async def record_failures(self, failures: Sequence[Failure], references: Sequence[PayloadReference | None]) -> None:
        for failure, reference in zip(list(failures), list(references), strict=True):
            failure = replace(failure, message=cut(failure.message))
            place = (failure.topic_id, failure.partition, failure.offset, failure.index, failure.request)
            row = self.failed.get(place)
            if row is None:
                self.failed[place] = FailedRow(len(self.failed) + 1, failure, reference, first_failed_at=failure.failed_at)
                continue
            if failure.failed_at != row.failure.failed_at:
                row.attempts += 1
                if row.status is FailureStatus.RESOLVED or (failure.request is not None and row.status not in _UNSETTLED):
                    row.status, row.status_reason = FailureStatus.OPEN, f"failed again after it was {row.status.value}"
                    row.status_changed_at = failure.failed_at
            row.first_failed_at = min(row.first_failed_at, failure.failed_at)
            row.failure, row.reference = failure, reference or row.reference

    async def open_failures(self, index: str, partition: TopicPartition, topic_id: str | None = None) -> Sequence[OpenFailure]:
        found = [
            OpenFailure(
                row.failure.document_id,
                partition,
                row.failure.offset if topic_id in (None, row.failure.topic_id) else -1,
                row.failure.request,
            )
            for row in self._unsettled(index, partition)
            if row.failure.document_id is not None
        ]
        return sorted(found, key=lambda failure: failure.offset)

    async def supersede(
        self,
        index: str,
        document_ids: Collection[str],
        before: Mapping[TopicPartition, int],
        topic_ids: Mapping[TopicPartition, str] | None = None,
    ) -> int:
        return self._supersede(index, before, topic_ids, "a later change was applied", set(document_ids))

    async def supersede_all(
        self, index: str, before: Mapping[TopicPartition, int], topic_ids: Mapping[TopicPartition, str] | None = None
    ) -> int:
        return self._supersede(index, before, topic_ids, "the index was cleared", None)

    def _supersede(
        self,
        index: str,
        before: Mapping[TopicPartition, int],
        topic_ids: Mapping[TopicPartition, str] | None,
        reason: str,
        documents: Collection[str] | None,
    ) -> int:
        count = 0
        for partition, offset in before.items():
            for row in self._unsettled(index, partition):
                older = row.failure.offset < offset
                other = topic_ids is not None and row.failure.topic_id != topic_ids[partition]
                if (older or other) and (documents is None or row.failure.document_id in documents):
                    self._set(row, FailureStatus.SUPERSEDED, reason)
                    count += 1
        return count

    def _unsettled(self, index: str, partition: TopicPartition) -> list[FailedRow]:
        return [
            row
            for row in self.failed.values()
            if row.failure.index == index and row.failure.partition == partition and row.status in _UNSETTLED
        ]

    # Retries and pauses

    async def ask_retry(self, failed_work_id: int, *, from_source: bool, by: str) -> FailureStatus | None:
        row = self._row(failed_work_id)
        if row is not None and row.status is FailureStatus.OPEN:
            row.from_source = from_source
            self._set(row, FailureStatus.RETRYING, f"asked by {by}")
        return None if row is None else row.status

    async def discard(self, failed_work_id: int, reason: str) -> FailureStatus | None:
        row = self._row(failed_work_id)
        if row is not None and row.status is FailureStatus.OPEN:
            self._set(row, FailureStatus.DISCARDED, reason)
        return None if row is None else row.status

    async def asked_retries(
        self, indexes: Collection[str], partitions: Collection[TopicPartition], *, limit: int
    ) -> Sequence[AskedRetry]:
        asked = [
            AskedRetry(row.frozen(), row.from_source, rebuilt=False)
            for row in self.failed.values()
            if row.status is FailureStatus.RETRYING and row.failure.index in indexes and row.failure.partition in partitions
        ]
        return asked[:limit]

    async def close_retry(self, failed_work_id: int, status: FailureStatus, reason: str) -> bool:
        row = self._row(failed_work_id)
        if row is None or row.status is not FailureStatus.RETRYING:
            return False
        self._set(row, status, reason)
        return True

    async def judge_retry(self, failed_work_id: int, *, attempts: int, later_from: int) -> FailureStatus:
        row = self._row(failed_work_id)
        assert row is not None
        if row.status is not FailureStatus.RETRYING:
            return row.status
        same = [other for other in self.failed.values() if other is not row and _document(other) == _document(row)]
        if row.attempts > attempts:
            self._set(row, FailureStatus.OPEN, "tried again, and failed again")
        elif any(other.failure.topic_id == row.failure.topic_id and other.failure.offset >= later_from for other in same):
            self._set(row, FailureStatus.SUPERSEDED, "a later change of the document failed")
        else:
            self._set(row, FailureStatus.RESOLVED, "tried again, and applied")
            for other in same:
                older = other.failure.topic_id != row.failure.topic_id or other.failure.offset < later_from
                if older and other.status in _UNSETTLED:
                    self._set(other, FailureStatus.SUPERSEDED, f"failed work {row.id} was tried again, and applied")
        return row.status

    def _row(self, failed_work_id: int) -> FailedRow | None:
        return next((row for row in self.failed.values() if row.id == failed_work_id), None)

    def _set(self, row: FailedRow, status: FailureStatus, reason: str) -> None:
        row.status, row.status_reason, row.status_changed_at = status, reason, self.now()

    async def pause(self, index: str, *, by: str, reason: str) -> Pause:
        return self.paused.setdefault(index, Pause(index, self.now(), by, reason))

    async def resume(self, index: str) -> bool:
        self.confirmed = {place: at for place, at in self.confirmed.items() if place[0] != index}
        return self.paused.pop(index, None) is not None

    async def pauses(self) -> Mapping[str, Pause]:
        return dict(self.paused)

    async def confirm_pause(self, pause: Pause, worker: str) -> None:
        if self.paused.get(pause.index) == pause:
            self.confirmed[pause.index, worker] = self.now()

    # Findings

    async def add_finding(self, finding: Finding) -> None:
        for number, known in enumerate(self.found):
            if known.cleared_by is None and (known.kind, known.subject) == (finding.kind, finding.subject):
                blocking = known.blocking or finding.blocking
                words = _added if keeps_words(finding.kind) else _newest
                self.found[number] = replace(
                    finding,
                    evidence=words(known.evidence, finding.evidence),
                    doubt=words(known.doubt, finding.doubt),
                    blocking=blocking,
                    first_seen=known.first_seen,
                    cleared_by=None,
                )
                return
        self.found.append(replace(finding, cleared_by=None))

    async def findings(self, *, open_only: bool = True) -> Sequence[Finding]:
        return [finding for finding in self.found if not open_only or finding.cleared_by is None]

    async def clear_finding(self, kind: str, subject: str, *, by: str) -> bool:
        for number, known in enumerate(self.found):
            if known.cleared_by is None and (known.kind, known.subject) == (kind, subject):
                self.found[number] = replace(known, cleared_by=by)
                return True
        return False

    # What the watch remembers

    async def recorded_facts(self) -> Mapping[tuple[str, str], Any]:
        return dict(self.facts)

    async def record_facts(self, facts: Mapping[tuple[str, str], Any]) -> None:
        self.facts = {subject: value for subject, value in {**self.facts, **facts}.items() if value is not None}

    async def fills(self) -> Mapping[str, Fill]:
        return dict(self.filled)

    async def save_fills(self, fills: Sequence[Fill]) -> None:
        self.filled.update({fill.index: fill for fill in fills})

    # Activity

    async def audit(self, actor: str, verb: str, subject: str, details: Mapping[str, Any]) -> None:
        self.entries.append((actor, verb, subject, dict(details)))

    async def worker_alive(
        self, worker: str, partitions: Collection[TopicPartition], holds: Mapping[str, str], address: str = ""
    ) -> None:
        self.alive[worker] = (sorted(partitions), dict(holds))

    async def worker_gone(self, worker: str) -> None:
        self.alive.pop(worker, None)

    async def close(self) -> None:
        pass


def _document(row: FailedRow) -> tuple[str, TopicPartition, str | int]:
    """Rows without a document id are of no document, so of no two the same."""
    failure = row.failure
    return failure.index, failure.partition, row.id if failure.document_id is None else failure.document_id


def _newest(_known: str, told: str) -> str:
    return told


def _added(known: str, told: str) -> str:
    return known if told in known else f"{known[:KEPT_WORDS]}. {told}"
