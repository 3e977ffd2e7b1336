"""When each index was filled completely, and how many of its documents may be older than its declaration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from sync_worker.change.model import TopicPartition
from sync_worker.errors import SinkDenied, SinkUnavailable
from sync_worker.failure.findings import FindingKind, found
from sync_worker.ports import Clock, IndexRecord, Log, Sink, State, Telemetry
from sync_worker.watch.columns import fingerprint
from sync_worker.watch.facts import ColumnSeen, ConnectorSeen, Recorded, Watched, WatchedIndex
from sync_worker.watch.fill import Fill, FillProof
from sync_worker.watch.fills import Mark, PendingFill, outdated, passed, stands, with_older
from sync_worker.watch.snapshots import Scan, completed_scans

log = structlog.get_logger(__name__)

SNAPSHOT_END = "snapshot end"
"""Aspect of `index NAME`: a snapshot of its table has ended in the log, as `PendingFill` in JSON."""

_NOTIFICATIONS_S = 600.0
"""The whole topic is read: not with every look of an index that stays without a proof."""

_DECLARATION = "declaration"
_UNFILLED = "unfilled since"


def index_subject(index: str) -> str:
    """How an index is called among the recorded facts."""
    return f"index {index}"


class FillWatch:
    """Looks at every declared index.

    Args:
        sinks: index name → its Meilisearch, with the uid there.
        notification_topic: where Debezium tells of its snapshots: an empty table has no row that could carry a mark.
    """

    def __init__(
        self,
        watched: Watched,
        sinks: Mapping[str, tuple[Sink, str]],
        *,
        state: State,
        log_port: Log,
        notification_topic: str,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self._watched = watched
        self._sinks = sinks
        self._state = state
        self._log = log_port
        self._notifications = TopicPartition(notification_topic, 0)
        self._telemetry = telemetry
        self._clock = clock
        self._scanned: Mapping[str, Scan] = {}
        self._read_at: float | None = None

    async def look(self, connector: ConnectorSeen | None) -> None:
        """Raises StateUnavailable, LogUnavailable. `connector` is None where it was not seen."""
        recorded = await self._state.recorded_facts()
        fills = dict(await self._state.fills())
        # While a snapshot runs, a restart of the connector begins it anew: what it has ended so far proves nothing.
        streaming = connector is not None and connector.position is not None and not connector.snapshotting
        if streaming:
            records = await self._state.index_records(list(self._watched.indexes))
            for name, record in records.items():
                standing = stands(fills.get(name), record.uid, record.created_at)
                fill = await self._filled(record, self._watched.indexes[name], recorded, standing)
                if fill is not None:
                    fills[name] = fill
        for name, index in self._watched.indexes.items():
            await self._compare_declarations(name, index, recorded, fills.get(name))

    async def _filled(self, record: IndexRecord, index: WatchedIndex, recorded: Recorded, fill: Fill | None) -> Fill | None:
        """The fill that is proven now; None where nothing new is."""
        name = record.index
        subject = index_subject(name)
        pending = recorded.get((subject, SNAPSHOT_END))
        if fill is not None:
            if pending is not None:
                await self._state.record_facts({(subject, SNAPSHOT_END): None})
            return None
        marks = await self._marks(index.topic)
        if pending is None:
            await self._without_proof(name, index, recorded, marks)
            return None
        end = PendingFill.of_json(pending)
        if not passed(end.ends, end.topic_id, marks, name):
            return None
        fill = completed_fill(index, record, end, recorded, now=self._clock.now())
        await self._state.save_fills([fill])
        await self._state.record_facts({(subject, SNAPSHOT_END): None, (subject, _UNFILLED): None})
        log.info("filled", index=name, proof=fill.proof.value)
        return fill

    async def _without_proof(self, name: str, index: WatchedIndex, recorded: Recorded, marks: Mapping[int, Mark]) -> None:
        """Neither a fill nor an end of a snapshot in the log: the table is empty, or was never read."""
        subject = index_subject(name)
        since = recorded.get((subject, _UNFILLED))
        if since is None:
            # What is in the log now may still hold the snapshot's last row: nothing is said before it is read.
            if (ends := await self._ends(index.topic)) is not None:
                await self._state.record_facts({(subject, _UNFILLED): ends.as_json()})
            return
        looked_at = PendingFill.of_json(since)
        if not passed(looked_at.ends, looked_at.topic_id, marks, name):
            return
        scan = (await self._scans()).get(index.table)
        known = [
            f for f in await self._state.findings(open_only=False) if f.kind == FindingKind.NEVER_FILLED and f.subject == name
        ]
        # An index that was declared after the scan did not get its rows; `never-filled` was told of it when it was first seen.
        if scan is not None and not any(finding.last_seen * 1000 >= scan.at_ms for finding in known):
            if (ends := await self._ends(index.topic)) is not None:
                await self._state.record_facts({(subject, SNAPSHOT_END): ends.as_json()})
        elif not known:
            evidence = f"everything in {index.topic} is applied, and no snapshot of {index.table} was seen in it"
            await self._state.add_finding(found(FindingKind.NEVER_FILLED, name, evidence, now=self._clock.now()))

    async def _compare_declarations(self, name: str, index: WatchedIndex, recorded: Recorded, fill: Fill | None) -> None:
        key = (index_subject(name), _DECLARATION)
        last = recorded.get(key)
        if fill is not None and outdated(fill, index.declaration, last):
            sink, uid = self._sinks[name]
            try:
                count = await sink.document_count(uid)
            except (SinkUnavailable, SinkDenied) as fault:
                log.warning("watch", index=name, cause=fault.message)
                return
            now = self._clock.now()
            fill = with_older(fill, count, now=now)
            evidence = f"the declaration changed since the index was filled: up to {count} documents are of an older one"
            await self._state.add_finding(found(FindingKind.OLDER_DECLARATION, name, evidence, now=now))
            await self._state.save_fills([fill])
        if last != index.declaration:
            await self._state.record_facts({key: index.declaration})
        self._telemetry.gauge("documents_of_older_declaration", fill.older_documents if fill is not None else 0, index=name)

    async def _marks(self, topic: str) -> Mapping[int, Mark]:
        count = (await self._log.partition_counts([topic])).get(topic, 0)
        found_marks = await self._state.bookmarks([TopicPartition(topic, number) for number in range(count)]) if count else {}
        return {
            place.partition: Mark(mark.topic_id, mark.next_offset, frozenset(mark.scanned)) for place, mark in found_marks.items()
        }

    async def _ends(self, topic: str) -> PendingFill | None:
        """Where the topic ends now; None where it is not there."""
        topic_id = (await self._log.topic_ids([topic])).get(topic)
        count = (await self._log.partition_counts([topic])).get(topic, 0)
        if topic_id is None or count == 0:
            return None
        bounds = await self._log.bounds([TopicPartition(topic, number) for number in range(count)])
        return PendingFill(FillProof.NOTIFICATION, topic_id, {place.partition: end for place, (_, end) in bounds.items()})

    async def _scans(self) -> Mapping[str, Scan]:
        now = self._clock.monotonic()
        if self._read_at is None or now - self._read_at >= _NOTIFICATIONS_S:
            self._scanned, self._read_at = await self._read_notifications(), now
        return self._scanned

    async def _read_notifications(self) -> Mapping[str, Scan]:
        topic = self._notifications.topic
        if topic not in await self._log.topic_ids([topic]):
            return {}
        start, end = (await self._log.bounds([self._notifications]))[self._notifications]
        return completed_scans([record async for chunk in self._log.read(self._notifications, start, end) for record in chunk])


def completed_fill(index: WatchedIndex, record: IndexRecord, end: PendingFill, recorded: Recorded, *, now: float) -> Fill:
    """A complete fill of one index, to be stored with `State.save_fills`: everything of it lies below `end`."""
    columns: list[list[Any]] = recorded.get((f"table {index.table}", "columns")) or []
    return Fill(
        index=record.index,
        uid=record.uid,
        created_at=record.created_at,
        proof=end.proof,
        declaration=index.declaration,
        columns=fingerprint([ColumnSeen(*column) for column in columns]) if columns else "",
        topic_id=end.topic_id,
        ends=end.ends,
        filled_at=now,
    )
