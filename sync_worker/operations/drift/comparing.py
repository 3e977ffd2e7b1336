"""One comparison of one index: the first look at everything, the second at what differed."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from sync_worker.drift.expected import expected_of
from sync_worker.drift.ids import IdSet
from sync_worker.drift.model import Candidate, Difference, Kind, SourceRow
from sync_worker.failure.findings import Proof
from sync_worker.failure.model import FailureStatus
from sync_worker.operations.books import Books
from sync_worker.operations.drift.documents import all_ids
from sync_worker.operations.drift.looks import Seen, look_at_rows, settle
from sync_worker.operations.drift.parts import BarrierPort, Compared
from sync_worker.operations.drift.report import DriftItem, Ghosts, IndexDrift
from sync_worker.operations.findings import clear_proven
from sync_worker.ports import Clock, Comparison, Depth

_Look = Callable[[Sequence[SourceRow]], Awaitable[Sequence[Candidate]]]

_AT_ONCE = 3
"""Pages whose documents are fetched at the same time, while the next one is read."""

_SETTLE_FROM = 10_000
"""So many candidates are looked at again before the first look goes on: memory stays bounded where everything differs."""

_COUNT_LOOKS = 5
_PROBES = 50

_PROOFS = {Depth.CONTENT: Proof.COMPARISON, Depth.IDS: Proof.IDS}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a comparison.

    Attributes:
        where: SQL condition on rows, checked; None for all of them.
        sample: how many rows and documents at random; 0 for all of them.
        limit: how many differences are listed, and kept for a repair.
        timeout_s: seconds that one barrier may take.
    """

    depth: Depth = Depth.CONTENT
    where: str | None = None
    sample: int = 0
    limit: int = 10_000
    timeout_s: float = 60.0

    @property
    def complete(self) -> bool:
        return self.depth is not Depth.COUNTS and self.where is None and not self.sample


@dataclass(frozen=True, slots=True)
class DriftParts:
    """What a comparison needs beside the index itself."""

    state: Books
    barrier: BarrierPort
    clock: Clock
    random: Random


class _Found:
    """Differences as they are confirmed, counted all and kept up to a limit."""

    def __init__(self, parts: DriftParts, target: Compared, wanted: Wanted) -> None:
        self._parts = parts
        self._target = target
        self._wanted = wanted
        self.waiting: list[Candidate] = []
        self.counts: Counter[Kind] = Counter()
        self.items: list[DriftItem] = []
        self.candidates: list[Candidate] = []
        self.explained = 0
        self.moving = 0

    async def add(self, candidates: Sequence[Candidate]) -> None:
        self.waiting += candidates
        if len(self.waiting) >= _SETTLE_FROM:
            await self.settle()

    async def settle(self) -> None:
        if not self.waiting:
            return
        content = self._wanted.depth is Depth.CONTENT
        settled = await settle(
            self._target, self.waiting, barrier=self._parts.barrier, content=content, timeout_s=self._wanted.timeout_s
        )
        self.waiting = []
        self.moving += settled.moving
        failures = await open_failures(self._parts.state, self._target.index) if settled.differences else {}
        for candidate, difference in settled.differences:
            item = described(difference, failures)
            self.counts[item.kind] += 1
            self.explained += item.failed_work is not None
            if len(self.items) < self._wanted.limit:
                self.items.append(item)
                self.candidates.append(candidate)

    def add_unnamed(self, count: int) -> None:
        """Rows whose key can't become an id."""
        self.counts[Kind.REFUSED] += count
        for _ in range(min(count, self._wanted.limit - len(self.items))):
            self.items.append(DriftItem("", Kind.REFUSED, (), "id_not_encodable", None))
            self.candidates.append(Candidate("", None))


def described(difference: Difference, failures: dict[str, int]) -> DriftItem:
    return DriftItem(
        difference.document_id, difference.kind, difference.fields, difference.code, failures.get(difference.document_id)
    )


async def open_failures(state: Books, index: str) -> dict[str, int]:
    """Document id → the newest failed work that is open."""
    works = await state.failed_work(
        index=index, statuses=(FailureStatus.OPEN, FailureStatus.RETRYING), limit=100_000, oldest_first=True
    )
    return {work.failure.document_id: work.id for work in works if work.failure.document_id is not None}


async def compare(parts: DriftParts, target: Compared, wanted: Wanted) -> tuple[IndexDrift, Sequence[Candidate]]:
    """What differs, and the candidates of the listed items, for a repair. Changes nothing but what it proves of the index.

    Raises SourceUnavailable, SinkUnavailable, SinkDenied, StateUnavailable, BarrierNotPassed, ConfigurationError.
    """
    began_at, began = parts.clock.now(), parts.clock.monotonic()
    if wanted.depth is Depth.COUNTS:
        return await _counted(parts, target, wanted, began_at, began), ()
    found = _Found(parts, target, wanted)
    seen = Seen(ids=IdSet() if wanted.complete else None)
    content = wanted.depth is Depth.CONTENT
    async with target.rows.snapshot() as snapshot:
        pages = snapshot.sample(wanted.sample) if wanted.sample else snapshot.rows(wanted.where)

        async def look(rows: Sequence[SourceRow]) -> Sequence[Candidate]:
            return await look_at_rows(target, rows, seen, content=content, strays=not wanted.complete)

        async for candidates in _side_by_side(pages, look):
            await found.add(candidates)
    documents = seen.belonging
    if seen.ids is not None:
        async for ids in all_ids(target):
            strays = [document_id for document_id in ids if document_id not in seen.ids]
            await found.add([Candidate(document_id, await target.rows.key_of(document_id)) for document_id in strays])
        documents = await target.documents.count(target.uid)
    elif wanted.sample:
        sampled = await _sampled_ids(parts, target, wanted.sample)
        await found.add([Candidate(one, await target.rows.key_of(one)) for one in sampled])
    await found.settle()
    found.add_unnamed(seen.unnamed)
    drift = IndexDrift(
        index=target.index,
        uid=target.uid,
        depth=wanted.depth,
        in_sync=not found.counts.total(),
        complete=wanted.complete and not found.moving,
        rows=seen.belonging,
        documents=documents,
        counts={kind.value: found.counts[kind] for kind in Kind},
        explained=found.explained,
        moving=found.moving,
        ghosts=Ghosts.ALL if wanted.complete else Ghosts.SAMPLE if wanted.sample else Ghosts.SLICE,
        items=tuple(found.items),
        more=found.counts.total() - len(found.items),
        began_at=began_at,
        seconds=round(parts.clock.monotonic() - began, 3),
        cleared=(),
    )
    return await _proven(parts, target, drift), found.candidates


async def _side_by_side(pages: AsyncIterator[Sequence[SourceRow]], look: _Look) -> AsyncIterator[Sequence[Candidate]]:
    """The looks at the pages, in their order, some of them at the same time."""
    running: deque[asyncio.Task[Sequence[Candidate]]] = deque()
    try:
        async for page in pages:
            running.append(asyncio.ensure_future(look(page)))
            if len(running) >= _AT_ONCE:
                yield await running.popleft()
        while running:
            yield await running.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _sampled_ids(parts: DriftParts, target: Compared, sample: int) -> list[str]:
    """Ids of documents at random places, a few neighbours at each."""
    total = await target.documents.count(target.uid)
    probes = min(sample, _PROBES)
    each = -(-sample // probes)
    ids: dict[str, None] = {}
    for _ in range(probes):
        offset = parts.random.randrange(max(1, total - each + 1))
        ids.update(dict.fromkeys(await target.documents.ids(target.uid, target.id_field, offset=offset, limit=each)))
    return list(ids)[:sample]


async def _proven(parts: DriftParts, target: Compared, drift: IndexDrift) -> IndexDrift:
    """Store a complete comparison; a clean one settles the findings that it disproves."""
    if not drift.complete:
        return drift
    await parts.state.save_comparison(
        Comparison(
            drift.index,
            drift.depth,
            drift.uid,
            drift.began_at,
            parts.clock.now(),
            drift.rows,
            drift.documents,
            sum(drift.counts.values()),
            "drift",
        )
    )
    if not drift.in_sync:
        return drift
    cleared = await clear_proven(
        parts.state,
        index=target.index,
        proof=_PROOFS[drift.depth],
        began=drift.began_at,
        by=f"drift --{drift.depth.value}",
        subjects=[target.topic, target.projector.table] if target.alone else [],
    )
    return replace(drift, cleared=tuple(f"{one.kind} {one.subject}" for one in cleared))


async def _counted(parts: DriftParts, target: Compared, wanted: Wanted, began_at: float, began: float) -> IndexDrift:
    """Documents are counted before the rows, and again once what was committed by then is applied: rows that came or went
    meanwhile lie between the two."""
    rows = documents = 0
    in_sync = False
    for _ in range(_COUNT_LOOKS):
        earlier = await target.documents.count(target.uid)
        rows = await _row_count(target)
        documents = earlier
        if rows != earlier:
            await parts.barrier.require([target.index], strict=True, timeout_s=wanted.timeout_s)
            documents = await target.documents.count(target.uid)
        in_sync = min(earlier, documents) <= rows <= max(earlier, documents)
        if in_sync:
            break
    return IndexDrift(
        index=target.index,
        uid=target.uid,
        depth=Depth.COUNTS,
        in_sync=in_sync,
        complete=False,
        rows=rows,
        documents=documents,
        counts={kind.value: 0 for kind in Kind},
        explained=0,
        moving=0,
        ghosts=Ghosts.NONE,
        items=(),
        more=0,
        began_at=began_at,
        seconds=round(parts.clock.monotonic() - began, 3),
        cleared=(),
    )


async def _row_count(target: Compared) -> int:
    async with target.rows.snapshot() as snapshot:
        if not target.filtered:
            return await snapshot.count()
        count = 0
        async for page in snapshot.rows():
            for row in page:
                count += expected_of(target.projector, row).document is not None
        return count
