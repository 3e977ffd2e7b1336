"""Documents that operators want made what their rows say now: written, or deleted, by the owner of their partition.

Only the owner knows what of a document is on its way. He reads the row while nothing is taken from the log and nothing of the
document is unsettled, so what he writes is as new as everything that was taken, or newer. A row that is inserted again while
its ghost is being removed comes later in the log, and is written after the deletion. A worker that dies leaves the requests to
the next owner.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from sync_worker.batch.coalesce import Entry
from sync_worker.change.model import Row, StoredRecord, TopicPartition
from sync_worker.errors import OwnershipLost, RecordError
from sync_worker.failure.model import Failure
from sync_worker.pipeline.lane import Lane
from sync_worker.pipeline.partition import Partition
from sync_worker.pipeline.quarantine import Quarantine
from sync_worker.pipeline.rewrite import entry_of, put_again, refused, request_of
from sync_worker.ports import Clock, Membership, Rewrite, Source, State
from sync_worker.progress.ledger import Span

log = structlog.get_logger(__name__)

_AT_ONCE = 500
_CATCH_UP_S = 10.0
"""How long requests wait for the stream to have no backlog: what lies in it would be shown once more after the newer row."""


@dataclass(slots=True)
class _Written:
    """A request that was put into the lanes of one tenure of its partition: two while its index is rebuilt."""

    asked: Rewrite
    partition: Partition
    spans: list[Span]


class Rewriting:
    """Takes up the requests for the partitions that this worker owns."""

    def __init__(
        self,
        lanes: Mapping[str, Lane],
        partitions: Mapping[TopicPartition, Partition],
        *,
        state: State,
        source: Source,
        membership: Membership,
        quarantine: Quarantine,
        clock: Clock,
    ) -> None:
        self._lanes = lanes
        self._partitions = partitions
        self._state = state
        self._source = source
        self._membership = membership
        self._quarantine = quarantine
        self._clock = clock
        self._written: dict[tuple[str, str], _Written] = {}
        self._waits_since: float | None = None

    @property
    def idle(self) -> bool:
        """Nothing written is waiting for its task."""
        return not self._written

    async def round(self) -> None:
        """One look. Raises EnvironmentFault to be tried again."""
        await self._forget_applied()
        places = [place for place, partition in self._partitions.items() if partition.caught_up]
        indexes = [name for name, lane in self._lanes.items() if lane.asks_open and not lane.replay_until]
        if not places or not indexes or len(self._written) >= _AT_ONCE:
            return
        grouped: dict[tuple[str, TopicPartition], list[Rewrite]] = defaultdict(list)
        # More than are put at once: those that are on their way already are among them.
        for asked in await self._state.asked_rewrites(indexes, places, limit=2 * _AT_ONCE):
            if (asked.index, asked.document_id) not in self._written:
                grouped[asked.index, asked.place].append(asked)
        if not grouped:
            self._waits_since = None
            return
        now = self._clock.monotonic()
        self._waits_since = now if self._waits_since is None else self._waits_since
        for (index, place), asked_here in grouped.items():
            if self._membership.backlog(place) != 0 and now - self._waits_since < _CATCH_UP_S:
                continue
            await self._take_up(
                [lane for lane in self._lanes.values() if lane.index.declared == index], place, asked_here[:_AT_ONCE]
            )

    async def _take_up(self, lanes: Sequence[Lane], place: TopicPartition, asked: Sequence[Rewrite]) -> None:
        partition = self._partitions.get(place)
        if partition is None or not partition.caught_up:
            return  # it came back meanwhile, and what an earlier owner applied may come once more
        async with partition.lock:
            if partition.dropped or any(not lane.asks_open or lane.replay_until for lane in lanes):
                return
            lane = lanes[0]
            busy = {document for lane in lanes for document in lane.unsettled([one.document_id for one in asked])}
            ready = [one for one in asked if one.document_id not in busy]
            rows = await self._rows(lane, ready)
            if partition.dropped:
                return
            assert partition.ledger is not None
            position = partition.ledger.position
            entries: dict[str, tuple[Rewrite, Entry]] = {}
            failures: list[tuple[Failure, StoredRecord]] = []
            for one in ready:
                try:
                    entries[one.document_id] = one, self._entry(lane, one, rows.get(one.document_id), position - 1)
                except RecordError as error:
                    request, now = _request(one), self._clock.now()
                    failures += [refused(lane, one.document_id, request, place, position - 1, error, now) for lane in lanes]
            if failures and not await self._recorded(failures, partition):
                return
            for document_id, (one, entry) in entries.items():
                spans = [put_again(lane, document_id, entry, position) for lane in lanes]
                self._written[one.index, document_id] = _Written(one, partition, spans)
        await self._state.forget_rewrites([one for one in ready if one.document_id not in entries])
        if ready:
            log.info("written again", index=lane.index.name, count=len(entries), refused=len(ready) - len(entries))

    async def _recorded(self, failures: Sequence[tuple[Failure, StoredRecord]], partition: Partition) -> bool:
        """Whether they are, and the partition is still ours. Raises EnvironmentFault."""
        try:
            await self._quarantine.record(failures, wanted=lambda: not partition.dropped)
        except OwnershipLost:
            return False
        return not partition.dropped

    async def _rows(self, lane: Lane, asked: Sequence[Rewrite]) -> Mapping[str, Row]:
        keyed = [(one.document_id, one.key) for one in asked if one.key is not None]
        if not keyed:
            return {}
        keys = [key for _, key in keyed]
        rows = await self._source.rows(lane.index.table, list(keys[0]), keys)
        return {document_id: row for (document_id, _), row in zip(keyed, rows, strict=True) if row is not None}

    def _entry(self, lane: Lane, one: Rewrite, row: Row | None, offset: int) -> Entry:
        asked = one.document_id if one.key is None else one.key
        source_ms = int(self._clock.now() * 1000)
        return entry_of(lane.index, one.document_id, asked, row, one.place, offset, source_ms, _request(one))

    async def _forget_applied(self) -> None:
        done = []
        for key, written in list(self._written.items()):
            if written.partition.dropped:
                del self._written[key]  # the next owner reads it again
            elif not any(span.holders for span in written.spans):
                done.append(written)
        if done:
            await self._state.forget_rewrites([written.asked for written in done])
        for written in done:
            # The bookmark's watermark must pass this write also where nothing else comes.
            written.partition.touched = True
            self._written.pop((written.asked.index, written.asked.document_id), None)


def _request(one: Rewrite) -> str:
    return request_of(one.document_id if one.key is None else one.key)
