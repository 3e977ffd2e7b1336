"""From what the parts said to what `status` shows. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sync_worker.change.model import TopicPartition
from sync_worker.document.declaration import IndexDeclaration
from sync_worker.failure.model import FailureStatus, ReasonClass
from sync_worker.operations.settings import settings_differences
from sync_worker.operations.status.parts import LogSeen, SinkSeen, StateSeen, WorkerSeen
from sync_worker.operations.status.report import (
    ComparisonStatus,
    FailedTask,
    FillStatus,
    FindingStatus,
    HoldStatus,
    IndexStatus,
    PartitionStatus,
    RebuildStatus,
    WorkerStatus,
)
from sync_worker.operations.workers import ALIVE_S
from sync_worker.ports import Depth, WorkerRow
from sync_worker.rebuild.model import Phase
from sync_worker.rebuild.steps import waits_for
from sync_worker.watch.fills import stands

_UNSETTLED = (FailureStatus.OPEN, FailureStatus.RETRYING)


@dataclass(frozen=True, slots=True)
class Answers:
    """What was said; None by a part that did not answer.

    Attributes:
        told: live worker → what its pages say.
        sinks: index → one element, which is None where there is no such index.
    """

    now: float
    log: LogSeen | None
    state: StateSeen | None
    told: Mapping[str, WorkerSeen]
    sinks: Mapping[str, tuple[SinkSeen | None] | None]

    def live(self) -> Sequence[WorkerRow]:
        return [row for row in self.state.workers if self.now - row.last_seen < ALIVE_S] if self.state is not None else []

    def canary_age_s(self) -> float | None:
        """By a worker, which proves the whole way; else by what lies in Kafka."""
        ages = [seen.canary_age_s for seen in self.told.values() if seen.canary_age_s is not None]
        if ages:
            return min(ages)
        if self.log is None or self.log.canary_at is None:
            return None
        return max(0.0, self.now - self.log.canary_at)


def lags(answers: Answers, topics: Collection[str]) -> list[PartitionStatus]:
    """Every known partition of these topics."""
    owners = {place: row.worker for row in answers.live() for place in row.partitions}
    owners |= {place: worker for worker, seen in answers.told.items() for place in seen.applied}
    ends = answers.log.ends if answers.log is not None else {}
    marks = answers.state.bookmarks if answers.state is not None else {}
    places = {place for place in {*ends, *owners, *marks} if place.topic in topics}
    return [_lag(place, owners.get(place), answers) for place in sorted(places)]


def _lag(place: TopicPartition, owner: str | None, answers: Answers) -> PartitionStatus:
    seen = answers.told.get(owner or "")
    end = answers.log.ends.get(place) if answers.log is not None else None
    applied = seen.applied.get(place) if seen is not None else None
    if applied is None and answers.state is not None and place in answers.state.bookmarks:
        applied = answers.state.bookmarks[place].next_offset
    if applied is None and answers.log is not None:
        applied = answers.log.committed.get(place)
    if applied is None and answers.log is not None and answers.state is not None:
        applied = 0  # no bookmark and no commit: nothing of it was read
    messages = max(0, end - applied) if end is not None and applied is not None else None
    if messages is None and seen is not None:
        messages = seen.lag_messages.get(place)
    return PartitionStatus(place.topic, place.partition, owner, applied, end, messages, _lag_s(place, messages, answers, seen))


def _lag_s(place: TopicPartition, messages: int | None, answers: Answers, seen: WorkerSeen | None) -> float | None:
    if messages == 0:
        return 0.0
    if seen is not None and seen.lag_s.get(place):
        return round(seen.lag_s[place], 3)
    # Nobody has them: they have waited at most since the change before them.
    mark = answers.state.bookmarks.get(place) if answers.state is not None else None
    if messages and mark is not None and mark.tail is not None:
        return round(max(0.0, answers.now - mark.tail.timestamp / 1000), 3)
    return None


def index_status(
    index: IndexDeclaration, topic: str, partitions: Sequence[PartitionStatus], answers: Answers, canary_age_s: float | None
) -> IndexStatus:
    """One index, from what every part says of it."""
    own = tuple(one for one in partitions if one.topic == topic)
    answered = answers.sinks[index.name]
    sink = answered[0] if answered is not None else None
    lag_s = _largest([one.lag_s for one in own])
    differ = settings_differences(index.settings, sink.settings) if sink is not None else None
    failed = sink.newest_failed if sink is not None else None
    return IndexStatus(
        index=index.name,
        uid=index.uid,
        instance=index.meilisearch,
        exists=None if answered is None else sink is not None,
        created_at=sink.created_at if sink is not None else None,
        primary_key=sink.primary_key if sink is not None else None,
        documents=sink.documents if sink is not None else None,
        indexing=sink.indexing if sink is not None else None,
        lag_messages=_sum([one.lag_messages for one in own]),
        lag_s=lag_s,
        freshness_s=None if lag_s is None or canary_age_s is None else round(max(lag_s, canary_age_s), 3),
        partitions=own,
        open_failures=_open_failures(index.name, answers),
        unfinished_tasks=sink.unfinished_tasks if sink is not None else None,
        failed_tasks=sink.failed_tasks if sink is not None else None,
        newest_failed_task=None
        if failed is None
        else FailedTask(failed.uid, failed.error_code or "", failed.error_message or ""),
        settings_differ=differ,
        fill=_fill(index, sink, answers),
        comparison=_comparison(index, answers),
        paused=None if answers.state is None else index.name in answers.state.pauses,
        rebuild=_rebuild(index.name, answers),
    )


def _largest(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if values and len(known) == len(values) else None


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if values and len(known) == len(values) else None


def _open_failures(index: str, answers: Answers) -> Mapping[str, int] | None:
    if answers.state is None:
        return None
    counts = answers.state.counts
    return {reason.value: sum(counts.get((index, reason, status), 0) for status in _UNSETTLED) for reason in ReasonClass}


def _fill(index: IndexDeclaration, sink: SinkSeen | None, answers: Answers) -> FillStatus | None:
    if answers.state is None:
        return None
    fill = answers.state.fills.get(index.name)
    if sink is not None:
        fill = stands(fill, index.uid, sink.created_at)
    if fill is None:
        return None
    return FillStatus(fill.proof.value, fill.filled_at, round(answers.now - fill.filled_at, 3), fill.older_documents)


_THOROUGH = (Depth.COUNTS, Depth.IDS, Depth.CONTENT)


def _comparison(index: IndexDeclaration, answers: Answers) -> ComparisonStatus | None:
    known = answers.state.comparisons if answers.state is not None else ()
    own = [one for one in known if one.index == index.name and one.uid == index.uid]
    if not own:
        return None
    best = max(own, key=lambda one: (_THOROUGH.index(one.depth), one.began_at))
    return ComparisonStatus(best.depth.value, round(answers.now - best.began_at, 3), best.differences, best.by)


def workers_shown(answers: Answers) -> tuple[WorkerStatus, ...] | None:
    if answers.state is None:
        return None
    shown = []
    for row in answers.live():
        seen = answers.told.get(row.worker)
        partitions = tuple(f"{place.topic}/{place.partition}" for place in sorted(row.partitions))
        age = round(max(0.0, answers.now - row.last_seen), 3)
        shown.append(WorkerStatus(row.worker, row.address, age, seen is not None, seen.ready if seen else None, partitions))
    return tuple(shown)


def holds_shown(answers: Answers) -> tuple[HoldStatus, ...] | None:
    if answers.state is None:
        return None
    holds: list[HoldStatus] = []
    for row in answers.live():
        seen = answers.told.get(row.worker)
        if seen is not None:
            holds += seen.holds
        else:
            holds += [HoldStatus(row.worker, subject, "", cause, "look at its log", None) for subject, cause in row.holds.items()]
    return tuple(holds)


def findings_shown(answers: Answers) -> tuple[FindingStatus, ...] | None:
    if answers.state is None:
        return None
    return tuple(
        FindingStatus(f.kind, f.subject, f.evidence, f.doubt, f.remedy, f.blocking, f.first_seen, f.last_seen)
        for f in sorted(answers.state.findings, key=lambda f: (not f.blocking, f.kind, f.subject))
    )


def _rebuild(index: str, answers: Answers) -> RebuildStatus | None:
    rebuild = answers.state.rebuilds.get(index) if answers.state is not None else None
    if rebuild is None:
        return None
    live = "unknown" if rebuild.phase is Phase.SWAPPING else "new" if rebuild.new_is_live else "old"
    return RebuildStatus(rebuild.phase.value, live, rebuild.target_uid, waits_for(rebuild))
