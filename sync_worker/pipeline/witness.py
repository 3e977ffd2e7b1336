"""What the stream itself tells of the source: restarts of the connector, ends of snapshots, and rows that nobody asked for.

Looked at once for each chunk; a chunk of streamed changes costs one comparison.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import structlog

from sync_worker.change.header import run_id
from sync_worker.change.model import Record, TopicPartition
from sync_worker.errors import StateUnavailable
from sync_worker.failure.findings import FindingKind, found
from sync_worker.pipeline.translate import Translation
from sync_worker.ports import Clock, Log, State
from sync_worker.watch.fill import Fill, FillProof
from sync_worker.watch.fills import PendingFill, stands
from sync_worker.watch.snapshots import unasked

log = structlog.get_logger(__name__)

_KNOWN_S = 10.0
"""How long fills are taken as they were read last, and how often one index's finding is renewed, or a run's note tried again."""


class Witness:
    """One for the whole pipeline."""

    def __init__(self, state: State, log_port: Log, clock: Clock) -> None:
        self._state = state
        self._log = log_port
        self._clock = clock
        self._runs: dict[TopicPartition, str] = {}
        self._fills: dict[str, Fill | None] = {}
        self._learned_at: dict[str, float] = {}
        self._told_at: dict[str, float] = {}
        self._note_again_at: dict[TopicPartition, float] = {}

    def concerns(self, place: TopicPartition, records: Sequence[Record], translation: Translation) -> bool:
        """Whether there is anything to look at."""
        if translation.snapshot_row is not None:
            return True
        return bool(records) and self._is_new(place, run_id(records[-1]))

    def _is_new(self, place: TopicPartition, run: str | None) -> bool:
        return run != self._runs.get(place) and self._clock.monotonic() >= self._note_again_at.get(place, 0.0)

    async def look(
        self, place: TopicPartition, topic_id: str, records: Sequence[Record], translation: Translation, indexes: Collection[str]
    ) -> None:
        """Raises StateUnavailable, LogUnavailable; may be repeated. Call it before the records can be acknowledged."""
        run = run_id(records[-1]) if records else None
        if run is not None and self._is_new(place, run):
            await self._note_run(place, run)
        if translation.snapshot_row is not None:
            await self._note_snapshot(place, topic_id, translation.snapshot_row, translation.snapshot_end, indexes)

    async def _note_run(self, place: TopicPartition, run: str) -> None:
        """A note for people, so a state database that is away keeps no change from the index: it is tried again later."""
        key = (f"partition {place.topic}:{place.partition}", "connector run")
        try:
            known = (await self._state.recorded_facts()).get(key)
            if known != run:
                await self._state.record_facts({key: run})
        except StateUnavailable as fault:
            log.warning("the connector's run is not noted", cause=fault.message)
            self._note_again_at[place] = self._clock.monotonic() + _KNOWN_S
            return
        if known is not None and known != run:
            log.info("the connector was restarted", topic=place.topic, partition=place.partition, run=run)
        self._runs[place] = run

    async def _note_snapshot(
        self, place: TopicPartition, topic_id: str, row: int, end: int | None, indexes: Collection[str]
    ) -> None:
        now = self._clock.monotonic()
        if now - self._learned_at.get(place.topic, -_KNOWN_S) >= _KNOWN_S:
            await self._learn_fills(indexes)
            self._learned_at[place.topic] = now
        ended: dict[tuple[str, str], object] = {}
        for index in indexes:
            fill = self._fills.get(index)
            if fill is None:
                if end is not None:
                    ended[f"index {index}", "snapshot end"] = (await self._pending(place, topic_id, end)).as_json()
            elif unasked(row, place.partition, topic_id, known_id=fill.topic_id, ends=fill.ends):
                await self._tell(index, place, row, now)
        if ended:
            await self._state.record_facts(ended)

    async def _learn_fills(self, indexes: Collection[str]) -> None:
        """A fill of an index that was made anew since counts no more; one whose index is not recorded yet does."""
        fills, records = await self._state.fills(), await self._state.index_records(indexes)
        for name in indexes:
            record, fill = records.get(name), fills.get(name)
            self._fills[name] = fill if record is None else stands(fill, record.uid, record.created_at)

    async def _pending(self, place: TopicPartition, topic_id: str, end: int) -> PendingFill:
        """The last row has its place in one partition; how far the others' rows go is known by their ends alone."""
        count = (await self._log.partition_counts([place.topic])).get(place.topic, 1)
        others = [TopicPartition(place.topic, number) for number in range(count) if number != place.partition]
        bounds = await self._log.bounds(others) if others else {}
        ends = {other.partition: high for other, (_, high) in bounds.items()}
        return PendingFill(FillProof.LAST_ROW, topic_id, {**ends, place.partition: end + 1})

    async def _tell(self, index: str, place: TopicPartition, row: int, now: float) -> None:
        if now - self._told_at.get(index, -_KNOWN_S) < _KNOWN_S:
            return
        evidence = (
            f"the connector read the table again, unasked: a snapshot's row is at {row} of {place.topic}:{place.partition}, "
            "after the index had been filled. What was deleted between has no event"
        )
        await self._state.add_finding(found(FindingKind.DELETES_UNPROVEN, index, evidence, now=self._clock.now()))
        self._told_at[index] = now
