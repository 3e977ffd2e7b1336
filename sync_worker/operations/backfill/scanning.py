"""Having Debezium read the table, and seeing that it does: it may be asked again, and its connector restarted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import uuid4

import structlog

from sync_worker.backfill.model import Backfill, Stage, Wish
from sync_worker.backfill.notices import ScanSeen, scan_seen
from sync_worker.change.model import TopicPartition
from sync_worker.errors import EnvironmentFault, SyncWorkerError
from sync_worker.failure.findings import FindingKind, found
from sync_worker.failure.model import Finding
from sync_worker.operations.backfill.parts import BackfillParts, fed_by
from sync_worker.operations.backfill.rows import length, marks_of, place_now

log = structlog.get_logger(__name__)

ASK_AGAIN_S = 20.0
"""A signal that nothing was heard of for so long, while the connector runs, is sent again."""

STANDS_STILL_S = 60.0
"""A scan that has begun, and of which neither a notice nor a row came for so long, stands still."""

_RESTART_S = 10.0
"""Between two restarts of a connector whose task fails again and again."""

_RELEASED = frozenset({FindingKind.SINK_LOST_MEMORY.value, FindingKind.LOG_REPLACED.value})
"""They stop writing until the index is filled again, and filling it needs writing."""


class ScanFailed(SyncWorkerError):
    """Debezium could not read the table."""


async def start_step(parts: BackfillParts, backfill: Backfill) -> Backfill:
    """Note where it begins, then ask; where nothing may be read now, say what it waits for."""
    seen = await parts.connector.seen()
    if seen is None:
        return replace(backfill, condition="there is no connector: sync-worker connector apply")
    if seen.snapshotting:
        return replace(backfill, condition="the connector's own first snapshot runs; the backfill begins when it is over")
    topic = parts.watched[backfill.index].topic
    place = await place_now(parts.log, topic)
    # Counted behind the start: of each of these rows the log will hold a row of the scan, or the change that it went with.
    async with parts.compared[backfill.index].rows.snapshot() as snapshot:
        total = await snapshot.count(backfill.where or None)
    begun = replace(
        backfill,
        stage=Stage.SCANNING,
        total=total,
        topic_id=place.topic_id,
        starts=dict(place.ends),
        ends={},
        notices_from=await _notices_end(parts),
        condition="",
    )
    if backfill.complete:
        await _release(parts, begun, topic)
    return await ask(parts, begun)


async def ask(parts: BackfillParts, backfill: Backfill) -> Backfill:
    """Send a new signal; its id is stored first, so that what it brings about is known for this backfill's."""
    signal = f"{backfill.run} {uuid4().hex[:8]}".replace(" ", "-")
    asked = replace(
        backfill,
        stage=Stage.SCANNING,
        signals=(*backfill.signals, signal),
        asked_at=parts.clock.now(),
        scanned=None,
        paused=False,
    )
    if await parts.state.save_backfill(asked, parts.worker):
        try:
            await parts.signals.scan(signal, asked.table, asked.where)
        except EnvironmentFault as fault:
            # It may be on its way all the same. Where it is not, nothing is heard of it, and it is sent again.
            return replace(asked, condition=fault.message)
    return asked


async def _release(parts: BackfillParts, backfill: Backfill, topic: str) -> None:
    """Let writing go on where it holds for want of this fill: the doubt stays, as findings that only a complete fill clears."""
    for finding in await _holding(parts, backfill, topic):
        evidence = f"{finding.kind} ({finding.subject}): {finding.evidence}"
        doubted = fed_by(backfill.table, parts.watched) if finding.subject != backfill.index else (backfill.index,)
        for index in doubted:
            await parts.state.add_finding(found(FindingKind.NEVER_FILLED, index, evidence, now=backfill.started_at))
        await parts.state.audit(
            backfill.run, "findings clear", f"{finding.kind} {finding.subject}", {"reason": "it is filled now"}
        )
        await parts.state.clear_finding(finding.kind, finding.subject, by=f"{backfill.run}: it is filled now")
        log.info("finding cleared for a backfill", kind=finding.kind, subject=finding.subject, backfill=backfill.id)


async def _holding(parts: BackfillParts, backfill: Backfill, topic: str) -> list[Finding]:
    """What stops writing until the index is filled."""
    return [
        finding
        for finding in await parts.state.findings()
        if finding.kind in _RELEASED and (finding.subject == backfill.index or finding.subject.rpartition(":")[0] == topic)
    ]


async def begins_again(parts: BackfillParts, backfill: Backfill) -> Backfill | None:
    """Where writing was stopped after it had begun: rows that it had sent may be gone with what was lost. None where it was not.

    A missing index that is created for a backfill is such a case: the worker had told that it was gone, and tells now that it is
    another one.
    """
    if not backfill.complete or not (holding := await _holding(parts, backfill, parts.watched[backfill.index].topic)):
        return None
    told = "; ".join(f"{finding.kind}: {finding.evidence}" for finding in holding)
    return replace(backfill, stage=Stage.REQUESTED, ends={}, scanned=None, condition=f"{told}; it begins again")


async def _notices_end(parts: BackfillParts) -> int:
    topic = parts.notification_topic
    if topic not in await parts.log.topic_ids([topic]):
        return 0
    place = TopicPartition(topic, 0)
    return (await parts.log.bounds([place]))[place][1]


@dataclass(slots=True)
class _Watched:
    """What this process has seen of one scan. It is all read again by the next one."""

    seen: ScanSeen
    read_to: int
    sent: int
    moved_at: float
    restarted_at: float = float("-inf")
    nudged: bool = False
    stopping: str = ""


class Scanning:
    """Follows the scans of one worker."""

    def __init__(self, parts: BackfillParts) -> None:
        self._parts = parts
        self._watched: dict[int, _Watched] = {}

    async def step(self, backfill: Backfill) -> Backfill:
        """Raises ScanFailed, and EnvironmentFault to be tried again."""
        now = self._parts.clock.monotonic()
        known = self._watched.get(backfill.id)
        if known is None:
            known = self._watched[backfill.id] = _Watched(ScanSeen(), backfill.notices_from, -1, now)
        await self._listen(backfill, known, now)
        after = await self._counted(backfill, known, now)
        if known.seen.failure:
            self.forget(backfill)
            raise ScanFailed(f"Debezium could not read {backfill.table}: {known.seen.failure}")
        if backfill.wish is Wish.STOP:
            return await self._stopped(after, known)
        if known.seen.completed:
            self.forget(backfill)
            return replace(after, stage=Stage.APPLYING, scanned=known.seen.rows or 0, condition="", paused=False)
        if known.seen.aborted:
            self.forget(backfill)
            return replace(
                await ask(self._parts, after), condition="somebody stopped the scan at the connector; it was asked again"
            )
        if (backfill.wish is Wish.PAUSE) != backfill.paused or known.seen.paused != backfill.paused:
            after = await self._paused(after, known)
        return await self._cared_for(after, known, now)

    def forget(self, backfill: Backfill) -> None:
        self._watched.pop(backfill.id, None)

    async def _listen(self, backfill: Backfill, known: _Watched, now: float) -> None:
        end = await _notices_end(self._parts)
        if end < known.read_to:
            known.read_to = 0  # the topic was made anew
        if end == known.read_to:
            return
        place = TopicPartition(self._parts.notification_topic, 0)
        records = [record async for chunk in self._parts.log.read(place, known.read_to, end) for record in chunk]
        before = known.seen
        # Of one that was asked again only the newest counts: what came of the others is known.
        known.seen = scan_seen(records, backfill.table, backfill.signals[-1:], before)
        known.read_to = end
        if known.seen != before:
            known.moved_at = now

    async def _counted(self, backfill: Backfill, known: _Watched, now: float) -> Backfill:
        topic = self._parts.watched[backfill.index].topic
        place = await place_now(self._parts.log, topic)
        if place.topic_id != backfill.topic_id:
            self.forget(backfill)
            return replace(backfill, stage=Stage.REQUESTED, condition="the topic was deleted and made anew; it begins again")
        sent = length(backfill.starts, place.ends)
        if sent != known.sent:
            known.sent = sent
            if known.seen.started:
                known.moved_at = now
        marks = await marks_of(self._parts.state, topic, place.ends)
        applied = length(backfill.starts, {number: mark.next_offset for number, mark in marks.items()})
        return replace(backfill, sent=min(sent, backfill.total), applied=min(applied, backfill.total))

    async def _paused(self, backfill: Backfill, known: _Watched) -> Backfill:
        pause = backfill.wish is Wish.PAUSE
        if pause != known.seen.paused:
            signal = f"{backfill.signals[-1]}-{'pause' if pause else 'resume'}"
            await (self._parts.signals.pause(signal) if pause else self._parts.signals.resume(signal))
            # Debezium tells of it under the scan's own id, where it does; a restart forgets a pause.
            known.seen = replace(known.seen, paused=pause)
            known.moved_at = self._parts.clock.monotonic()
        return replace(backfill, paused=pause)

    async def _stopped(self, backfill: Backfill, known: _Watched) -> Backfill:
        if known.stopping != backfill.signals[-1]:
            known.stopping = backfill.signals[-1]
            await self._parts.signals.stop(f"{backfill.signals[-1]}-stop", backfill.table)
            known.moved_at = self._parts.clock.monotonic()
        waited = self._parts.clock.monotonic() - known.moved_at
        if not (known.seen.aborted or known.seen.completed) and waited < ASK_AGAIN_S:
            return replace(backfill, condition="the connector is asked to stop")
        self.forget(backfill)
        return replace(
            backfill, stage=Stage.STOPPED, condition="stopped by an operator", ended_at=self._parts.clock.now(), paused=False
        )

    async def _cared_for(self, backfill: Backfill, known: _Watched, now: float) -> Backfill:
        if backfill.paused:
            return replace(backfill, condition="paused by an operator")
        connector = await self._parts.connector.seen()
        if connector is None:
            return replace(backfill, condition="the connector is gone: sync-worker connector apply")
        if not connector.running:
            known.nudged = False
            if "FAILED" not in connector.state:
                known.moved_at = now
                return replace(backfill, condition=f"it waits for the connector: {connector.state}")
            if now - known.restarted_at < _RESTART_S:
                return replace(backfill, condition=f"the connector's task failed and was restarted: {connector.state}")
            return await self._restarted(backfill, known, now, f"the connector's task failed: {connector.state}")
        silent_s = now - known.moved_at
        if not known.seen.started and silent_s >= ASK_AGAIN_S:
            known.moved_at = now
            asked = await ask(self._parts, backfill)
            return replace(
                asked, condition=f"the connector did not answer the signal within {ASK_AGAIN_S:.0f} s; it was asked again"
            )
        if silent_s < STANDS_STILL_S:
            return replace(backfill, condition="")
        if not known.nudged:
            known.nudged = True
            return await self._restarted(
                backfill,
                known,
                now,
                f"the scan stands still: neither a row nor a word for {STANDS_STILL_S:.0f} s, and its task is RUNNING (known of "
                "chunks as large as the connector's queue: incremental.snapshot.chunk.size)",
            )
        known.nudged, known.moved_at, known.seen = False, now, ScanSeen()
        await self._parts.signals.stop(f"{backfill.signals[-1]}-stop", backfill.table)
        return replace(
            await ask(self._parts, backfill), condition="the scan stood still after a restart as well; it was asked again"
        )

    async def _restarted(self, backfill: Backfill, known: _Watched, now: float, why: str) -> Backfill:
        log.warning("connector restarted for a backfill", backfill=backfill.id, cause=why)
        await self._parts.state.audit(backfill.run, "connector restart", backfill.table, {"cause": why[:1000]})
        await self._parts.connector.restart()
        known.restarted_at = known.moved_at = now
        return replace(backfill, restarts=backfill.restarts + 1, condition=f"{why}; it was restarted")
