"""The watch's own look, without storing anything, and where each partition would be read on from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from sync_worker.change.model import TopicPartition
from sync_worker.failure.findings import RULES, FindingKind
from sync_worker.operations.check.report import Check, Verdict, ok_unless
from sync_worker.operations.watch import Comparison
from sync_worker.operations.wording import counted
from sync_worker.ports import Bookmark, Log
from sync_worker.progress.start import objection, replaced_in_place
from sync_worker.watch.look import Noticed

AREA = "watch"

_TOLD_ELSEWHERE = frozenset({FindingKind.CONNECTOR_DOWN, FindingKind.CONNECTOR_LOSES})
"""What the connector's own area says, with more detail."""

_ONLY_WARNINGS = frozenset({FindingKind.SLOT_AT_RISK, FindingKind.REPLICA_IDENTITY_CHANGED, FindingKind.ROWS_CHANGED_UNSEEN})


class WatchFacts(Protocol):
    """The chain against what was recorded of it. Raises StateUnavailable."""

    async def comparison(self) -> Comparison: ...

    async def positions(self) -> list[Check]: ...


async def check_watch(watch: WatchFacts) -> list[Check]:
    """Parts that did not answer are told of by their own areas."""
    comparison = await watch.comparison()
    noticed = [_check(one) for one in comparison.noticed if one.kind not in _TOLD_ELSEWHERE]
    return ok_unless(AREA, "continuity", noticed, message="nothing was lost unseen, as far as it was recorded")


def _check(noticed: Noticed) -> Check:
    rule = RULES[noticed.kind]
    verdict = Verdict.WARNING if noticed.kind in _ONLY_WARNINGS else Verdict.ERROR
    remedy = rule.remedy.format(subject=noticed.subject, **noticed.words)
    return Check(AREA, noticed.subject, verdict, f"{noticed.kind}: {noticed.evidence}", remedy)


class Bookmarks(Protocol):
    async def bookmarks(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Bookmark]:
        """Raises StateUnavailable."""
        ...


async def check_positions(log: Log, state: Bookmarks, topics: Collection[str]) -> list[Check]:
    """What would hold a worker that starts now. Raises LogUnavailable, StateUnavailable."""
    ids = await log.topic_ids(topics)
    counts = await log.partition_counts(list(ids))
    places = [TopicPartition(topic, number) for topic, count in sorted(counts.items()) for number in range(count)]
    if not places:
        return []
    bounds, committed = await log.bounds(places), await log.committed(places)
    bookmarks = await state.bookmarks(places)
    problems = []
    for place in places:
        subject = f"{place.topic}:{place.partition}"
        bookmark, (start, end) = bookmarks.get(place), bounds[place]
        problem = objection(bookmark, committed.get(place), ids[place.topic], start, end, subject=subject)
        tail = bookmark.tail if bookmark is not None else None
        if problem is None and tail is not None and start <= tail.offset < end:
            there = [record async for records in log.read(place, tail.offset, tail.offset + 1) for record in records]
            problem = replaced_in_place(tail, there[0] if there else None, subject=subject)
        if problem is not None:
            problems.append(Check(AREA, subject, Verdict.ERROR, f"{problem.kind}: {problem.message}", problem.remedy))
    return ok_unless(AREA, "positions", problems, message=f"{counted(len(places), 'partition')} can be read on")
