"""The scrub: the comparison of rows and documents as an endless, slow task of the worker, a slice at a time.

A round goes through the rows in the order of their key, and then through the ids of all documents. Each slice has its two looks
with the barrier in between, and where it ends is stored, so that another worker, or the next start, goes on there. One worker
at a time scrubs an index. It is the only net under losses that happen before Kafka.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from sync_worker.drift.model import Candidate, Key, Kind
from sync_worker.errors import SyncWorkerError
from sync_worker.failure.findings import FindingKind, Proof, found
from sync_worker.operations.drift.documents import Place, next_ids
from sync_worker.operations.drift.looks import Seen, Settled, look_at_rows, rows_of, settle
from sync_worker.operations.drift.parts import BarrierPort, Compared
from sync_worker.operations.findings import clear_proven
from sync_worker.ports import Clock, Comparison, Depth, State, Telemetry

log = structlog.get_logger(__name__)

_SLICE_S = 5.0
_MOST_ROWS = 1000
_LEASE_S = 300.0
_BARRIER_S = 60.0
_AFTER_FAULT_S = 30.0
_BETWEEN_ROUNDS_S = 60.0
_NAMED = 5


@dataclass(slots=True)
class Round:
    """How far one round over one index is. What `as_json` gives is stored after each slice.

    Attributes:
        after: the last key that was looked at; None before the first, and once the rows are done.
        rows_done: the documents' turn has come.
        counts: kind → differences so far.
        examples: document ids of the first of them.
    """

    began_at: float
    after: Key | None = None
    rows_done: bool = False
    place: Place = field(default_factory=Place)
    rows: int = 0
    documents: int = 0
    moving: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    def as_json(self) -> Mapping[str, Any]:
        return {
            "began_at": self.began_at,
            "after": None if self.after is None else dict(self.after),
            "rows_done": self.rows_done,
            "offset": self.place.offset,
            "tail": list(self.place.tail),
            "rows": self.rows,
            "documents": self.documents,
            "moving": self.moving,
            "counts": self.counts,
            "examples": self.examples,
        }

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Round:
        place = Place(value["offset"], tuple(value["tail"]))
        rest = {name: known for name, known in value.items() if name not in ("offset", "tail")}
        return cls(place=place, **rest)

    def add(self, settled: Settled) -> None:
        self.moving += settled.moving
        for _, difference in settled.differences:
            self.counts[difference.kind.value] = self.counts.get(difference.kind.value, 0) + 1
            if len(self.examples) < _NAMED:
                self.examples.append(difference.document_id)


class Scrub:
    """Goes through the indexes of one worker, round after round.

    Args:
        rows_per_second: of all indexes together; above 0.
        worker: name of this worker.
    """

    def __init__(
        self,
        targets: Sequence[Compared],
        *,
        rows_per_second: float,
        worker: str,
        state: State,
        barrier: BarrierPort,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._targets = targets
        self._rate = rows_per_second
        self._size = max(1, min(_MOST_ROWS, int(rows_per_second * _SLICE_S)))
        self._worker = worker
        self._state = state
        self._barrier = barrier
        self._clock = clock
        self._telemetry = telemetry

    async def run(self) -> None:
        """For ever. A part that does not answer is a log line; the slice is looked at again."""
        while True:
            worked = False
            for target in self._targets:
                try:
                    worked = await self.slice(target) or worked
                except SyncWorkerError as error:
                    log.warning("scrub", index=target.index, cause=error.message)
                    await self._clock.sleep(_AFTER_FAULT_S)
                except Exception:
                    # Whatever is wrong with a look at the data, it must not end the worker that brings it.
                    log.exception("scrub", index=target.index)
                    await self._clock.sleep(_AFTER_FAULT_S)
            if not worked:
                await self._clock.sleep(_BETWEEN_ROUNDS_S)

    async def slice(self, target: Compared) -> bool:
        """The next slice of this index; whether there is more to do at once. Raises SyncWorkerError."""
        began = self._clock.monotonic()
        if not await self._state.hold_scrub(target.index, self._worker, _LEASE_S):
            return False
        stored = await self._state.scrub_progress(target.index)
        turn = Round(self._clock.now()) if stored is None else Round.of_json(stored)
        looked = await (self._documents(target, turn) if turn.rows_done else self._rows(target, turn))
        ended = turn.rows_done and turn.place.ended
        if not await self._state.save_scrub(target.index, self._worker, None if ended else turn.as_json()):
            return False
        self._telemetry.count("scrubbed", looked, index=target.index)
        if ended:
            await self._conclude(target, turn)
        await self._clock.sleep(max(0.0, looked / self._rate - (self._clock.monotonic() - began)))
        return not ended

    async def _rows(self, target: Compared, turn: Round) -> int:
        rows = await target.rows.page(turn.after, self._size)
        seen = Seen()
        turn.add(await self._settled(target, await look_at_rows(target, rows, seen, content=True, strays=True)))
        if seen.unnamed:
            turn.counts[Kind.REFUSED.value] = turn.counts.get(Kind.REFUSED.value, 0) + seen.unnamed
        turn.rows += seen.belonging
        turn.after = rows[-1].key if rows else None
        turn.rows_done = len(rows) < self._size
        return len(rows)

    async def _documents(self, target: Compared, turn: Round) -> int:
        """Only whether each has a row: what is in it was compared with the row."""
        known = set(turn.place.tail)
        ids = [document_id for document_id in await next_ids(target, turn.place, page=self._size) if document_id not in known]
        candidates = [Candidate(document_id, await target.rows.key_of(document_id)) for document_id in ids]
        rows = await rows_of(target, candidates)
        strays = [candidate for candidate, row in zip(candidates, rows, strict=True) if row is None]
        turn.add(await self._settled(target, strays))
        turn.documents += len(ids)
        return len(ids)

    async def _settled(self, target: Compared, candidates: Sequence[Candidate]) -> Settled:
        if not candidates:
            return Settled((), 0)
        settled = await settle(target, candidates, barrier=self._barrier, content=True, timeout_s=_BARRIER_S)
        if settled.differences:
            await self._tell(target, settled)
        return settled

    async def _tell(self, target: Compared, settled: Settled) -> None:
        """At once: a round may take days."""
        examples = ", ".join(f"{one.document_id} ({one.kind.value})" for _, one in settled.differences[:_NAMED])
        evidence = f"the scrub found {len(settled.differences)} in its last slice, among them {examples}"
        await self._state.add_finding(found(FindingKind.DRIFT, target.index, evidence, now=self._clock.now()))
        log.warning("drift", index=target.index, count=len(settled.differences))

    async def _conclude(self, target: Compared, turn: Round) -> None:
        total = sum(turn.counts.values())
        if turn.moving == 0:
            now = self._clock.now()
            made = Comparison(
                target.index, Depth.CONTENT, target.uid, turn.began_at, now, turn.rows, turn.documents, total, "scrub"
            )
            await self._state.save_comparison(made)
        if total == 0 and turn.moving == 0:
            await clear_proven(
                self._state,
                index=target.index,
                proof=Proof.COMPARISON,
                began=turn.began_at,
                by="scrub",
                subjects=[target.topic, target.projector.table] if target.alone else [],
            )
        log.info("scrubbed", index=target.index, rows=turn.rows, documents=turn.documents, differences=total, moving=turn.moving)


class ProofAge:
    """Shows when each index was last compared completely, whoever did it."""

    def __init__(self, state: State, *, clock: Clock, telemetry: Telemetry) -> None:
        self._state = state
        self._clock = clock
        self._telemetry = telemetry

    async def run(self) -> None:
        """For ever, once a minute."""
        while True:
            try:
                for one in await self._state.comparisons():
                    labels = {"index": one.index, "depth": one.depth.value}
                    self._telemetry.gauge("last_comparison_timestamp_seconds", one.began_at, **labels)
            except SyncWorkerError as error:
                log.warning("age of the last comparisons", cause=error.message)
            await self._clock.sleep(60.0)
