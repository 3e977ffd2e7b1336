"""Rows whose key moved into another partition, where the create is not to be seen by the owner of the delete.

The row belongs to the owner of the partition of its new key, which may be another worker: only he knows what of it is on its
way. So the delete's owner stores a request before he acknowledges the delete, and the other one reads the row under his
partition's lock and writes it in that partition's order. That the create may have come meanwhile does no harm: the row
that is read is as new as everything that was taken there, or newer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import structlog

from sync_worker.change.model import TopicPartition
from sync_worker.errors import OwnershipLost, RecordError
from sync_worker.pipeline.lane import Lane
from sync_worker.pipeline.partition import Partition
from sync_worker.pipeline.quarantine import Quarantine
from sync_worker.pipeline.rewrite import put_again, refused, request_of, row_now
from sync_worker.ports import Clock, MovedRow, Source, State
from sync_worker.progress.ledger import Span

log = structlog.get_logger(__name__)

LOOK_S = 2.0


@dataclass(slots=True)
class _Written:
    """A request that was put into the lanes of one tenure of its partition."""

    row: MovedRow
    partition: Partition
    spans: list[Span]


class MovedRows:
    """Takes up the requests for the partitions that this worker owns."""

    def __init__(
        self,
        lanes: Mapping[str, Lane],
        partitions: Mapping[TopicPartition, Partition],
        *,
        state: State,
        source: Source,
        quarantine: Quarantine,
        clock: Clock,
    ) -> None:
        self._lanes = lanes
        self._partitions = partitions
        self._state = state
        self._source = source
        self._quarantine = quarantine
        self._clock = clock
        self._written: list[_Written] = []

    @property
    def idle(self) -> bool:
        """Nothing written is waiting for its task."""
        return not self._written

    async def round(self, several: Collection[str]) -> None:
        """One look. Raises EnvironmentFault to be tried again.

        Args:
            several: topics with more than one partition; no other has such rows.
        """
        await self._forget_applied()
        places = [place for place, one in self._partitions.items() if place.topic in several and one.caught_up]
        taken = [(written.row, written.partition) for written in self._written]
        for row in await self._state.moved_rows(places) if places else ():
            partition = self._partitions.get(row.place)
            if partition is None or not partition.caught_up or (row, partition) in taken:
                continue
            async with partition.lock:
                if not partition.dropped:
                    await self._take_up(row, partition)

    async def _take_up(self, row: MovedRow, partition: Partition) -> None:
        lanes = [lane for lane in self._lanes.values() if lane.index.topic == row.place.topic]
        if any(not lane.asks_open or partition.place in lane.replay_until or _on_its_way(lane, row) for lane in lanes):
            return
        assert partition.ledger is not None
        place, position, request = partition.place, partition.ledger.position, request_of(row.key)
        entries, failures = [], []
        for lane in lanes:
            try:
                found = await row_now(
                    lane.index, row.key, place, position - 1, request=request, source=self._source, clock=self._clock
                )
                entries.append((lane, *found))
            except RecordError as error:
                document_id, now = _document_id(lane, row), self._clock.now()
                failures.append(refused(lane, document_id, request, place, position - 1, error, now))
        if failures:
            try:
                await self._quarantine.record(failures, wanted=lambda: not partition.dropped)
            except OwnershipLost:
                return
        if partition.dropped:
            return
        spans = [put_again(lane, document_id, entry, position) for lane, document_id, entry in entries]
        self._written.append(_Written(row, partition, spans))
        log.info("row of a moved key read anew", topic=row.place.topic, partition=row.place.partition)

    async def _forget_applied(self) -> None:
        for written in list(self._written):
            if written.partition.dropped:
                self._written.remove(written)  # the next owner reads it again
            elif not any(span.holders for span in written.spans):
                await self._state.forget_moved_row(written.row)
                written.partition.touched = True
                self._written.remove(written)


def requests(keys: Sequence[tuple[Mapping[str, object], int, int]], origin: TopicPartition, topic_id: str) -> list[MovedRow]:
    """Requests for the owners of other partitions, from (new key, its partition, offset of the delete)."""
    return [MovedRow(TopicPartition(origin.topic, number), dict(key), topic_id, origin, offset) for key, number, offset in keys]


def _document_id(lane: Lane, row: MovedRow) -> str | None:
    try:
        return lane.index.projector.document_id(row.key)
    except RecordError:
        return None


def _on_its_way(lane: Lane, row: MovedRow) -> bool:
    document_id = _document_id(lane, row)
    return document_id is not None and bool(lane.unsettled([document_id]))
