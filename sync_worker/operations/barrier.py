"""The barrier: the proof that everything that was committed before now is applied.

A transactional logical message is written into the source. Once it has come through Kafka, every change that was
committed before it has been sent, and the ends of the data topics are taken; once each partition is past its end with
nothing in flight, all of it is applied, superseded or recorded. The strict form also waits until the connector has
committed an offset that is not before the message: Connect's producer may still be repeating an older record on another
partition, and Connect stores offsets only for what Kafka has confirmed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Protocol, TypeVar

from sync_worker.change.message import BARRIER_PREFIX, Message, shown_lsn
from sync_worker.change.model import TopicPartition
from sync_worker.document.declaration import require_declared
from sync_worker.errors import ConfigurationError, EnvironmentFault, SyncWorkerError
from sync_worker.failure.findings import FindingKind
from sync_worker.failure.model import Finding
from sync_worker.ports import Clock, Log
from sync_worker.progress.passed import Behind, Obstacle, Standing, Target, behind

T = TypeVar("T")

_FIRST_LOOK_S = 0.01
_LONGEST_LOOK_S = 0.1
_CONNECTOR_LOOK_S = 0.02
_STALLED_S = 1.0
"""After so long without progress it is asked whether anything is left to be read at all."""
_FAULT_PAUSE_S = 0.2
_UNSENT = frozenset({FindingKind.PUBLICATION_NARROWED, FindingKind.TABLE_NOT_STREAMED})


class Messages(Protocol):
    """Logical messages: into the source, and back out of Kafka."""

    async def emit(self, prefix: str, content: str) -> int:
        """Write one in a transaction of its own; the LSN behind it. Raises SourceUnavailable, ConfigurationError."""
        ...

    async def listening(self, timeout_s: float) -> bool:
        """Whether a message that is emitted from now on will be seen."""
        ...

    async def arrived(self, wanted: Callable[[Message], bool], timeout_s: float) -> Message | None:
        """The newest message or the next one that is wanted; None where none came in time."""
        ...

    @property
    def newest(self) -> Message | None: ...


class Positions(Protocol):
    """How far the workers of the group are."""

    async def standing(self, partitions: Collection[TopicPartition]) -> Standing:
        """Every partition that somebody can tell of. Raises EnvironmentFault."""
        ...


class ConnectorProgress(Protocol):
    """What the connector has committed to Connect."""

    async def committed_order(self) -> tuple[int, int] | None:
        """(commit LSN before it, its own LSN) of the newest event that Kafka has confirmed with all before it; None before
        the first. Raises ConnectUnavailable."""
        ...


class Findings(Protocol):
    async def findings(self, *, open_only: bool = True) -> Sequence[Finding]: ...


class Verdict(StrEnum):
    """How a barrier ended."""

    PASSED = "passed"
    BEHIND = "behind"
    """Not within the time; what is still behind is named."""
    BLOCKED = "blocked"
    """It cannot pass before somebody, or the environment, has taken away what is named."""


class Stage(StrEnum):
    """What a barrier waits for."""

    MESSAGE = "message"
    CONNECTOR = "connector"
    APPLIED = "applied"


@dataclass(frozen=True, slots=True)
class BarrierReport:
    """How it went.

    Attributes:
        stage: where it ended.
        lsn: of the message that proves it, as PostgreSQL writes it; empty where none came.
        behind: partitions that are not there yet.
        obstacles: what they wait for, as far as known.
        cause: what could not be found out, or did not come; empty where it passed.
        seconds: it took.
    """

    verdict: Verdict
    indexes: tuple[str, ...]
    strict: bool
    stage: Stage
    lsn: str
    behind: tuple[Behind, ...]
    obstacles: tuple[Obstacle, ...]
    cause: str
    seconds: float

    @property
    def passed(self) -> bool:
        return self.verdict is Verdict.PASSED


class BarrierNotPassed(SyncWorkerError):
    """For callers that can't go on without it."""

    def __init__(self, report: BarrierReport) -> None:
        super().__init__(f"what was committed is not all applied after {report.seconds:.1f} s: {report.cause}")
        self.report = report


class _Wait:
    """One wait: its deadline, and what it knows so far."""

    def __init__(self, clock: Clock, timeout_s: float) -> None:
        self._clock = clock
        self.began = clock.monotonic()
        self.deadline = self.began + timeout_s
        self.stage = Stage.MESSAGE
        self.message: Message | None = None
        self.behind: tuple[Behind, ...] = ()
        self.holds: Sequence[Obstacle] = ()
        self.blocking: tuple[Obstacle, ...] = ()
        self.cause = ""

    @property
    def left(self) -> float:
        return self.deadline - self._clock.monotonic()

    async def persist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Its answer, tried again after every fault of the environment. Raises TimeoutError at the deadline."""
        while True:
            try:
                return await attempt()
            except EnvironmentFault as fault:
                self.cause = fault.message
                await self.sleep(fault.retry_after_s or _FAULT_PAUSE_S)

    async def sleep(self, seconds: float) -> None:
        """Raises TimeoutError at the deadline."""
        if self.left <= 0:
            raise TimeoutError
        await self._clock.sleep(min(seconds, self.left))


class Barrier:
    """Waits for what was committed.

    Args:
        topics: index → data topic, of everything that is declared.
        new_token: a text that no other barrier uses.
        silence: why messages do not come through, in words; empty where nobody knows.
    """

    def __init__(
        self,
        topics: Mapping[str, str],
        *,
        messages: Messages,
        positions: Positions,
        connector: ConnectorProgress,
        log: Log,
        findings: Findings,
        clock: Clock,
        new_token: Callable[[], str],
        silence: Callable[[], Awaitable[str]],
    ) -> None:
        self._topics = topics
        self._messages = messages
        self._positions = positions
        self._connector = connector
        self._log = log
        self._findings = findings
        self._clock = clock
        self._new_token = new_token
        self._silence = silence

    async def passed(
        self, indexes: Collection[str] = (), *, strict: bool = True, timeout_s: float, lsn: int | None = None, doubts: bool = True
    ) -> BarrierReport:
        """Wait until everything that was committed before the call is applied to these indexes (none: to all).

        Args:
            doubts: does not pass while a finding says that one of them lost what was applied, or gets nothing committed now.
            lsn: wait only for what was committed at or below it, for instance `pg_current_wal_insert_lsn()` of after the commit.

        Raises ConfigurationError for an index that is not declared, or a role that may not write logical messages.
        """
        chosen = tuple(sorted(indexes or self._topics))
        require_declared(chosen, self._topics)
        wait = _Wait(self._clock, timeout_s)
        verdict = Verdict.BEHIND
        try:
            verdict = await self._run(wait, chosen, strict, lsn)
            if verdict is Verdict.PASSED and doubts and (found := await wait.persist(lambda: self._doubts(chosen))):
                wait.blocking, verdict = found, Verdict.BLOCKED
        except TimeoutError:
            if wait.stage is Stage.MESSAGE:
                wait.cause = await self._no_message(wait.cause, lsn)
            if wait.holds:
                verdict = Verdict.BLOCKED
        obstacles = () if verdict is Verdict.PASSED else (*wait.blocking, *wait.holds)
        if verdict is not Verdict.PASSED:
            wait.cause = _words(wait, obstacles)
        return BarrierReport(
            verdict=verdict,
            indexes=chosen,
            strict=strict,
            stage=wait.stage,
            lsn=shown_lsn(wait.message.lsn) if wait.message is not None else "",
            behind=() if verdict is Verdict.PASSED else wait.behind,
            obstacles=obstacles,
            cause="" if verdict is Verdict.PASSED else wait.cause,
            seconds=round(self._clock.monotonic() - wait.began, 4),
        )

    async def require(self, indexes: Collection[str] = (), *, strict: bool = True, timeout_s: float) -> BarrierReport:
        """As `passed`, and raises BarrierNotPassed unless it did. Doubts are passed by: whoever mends what is lost needs it."""
        report = await self.passed(indexes, strict=strict, timeout_s=timeout_s, doubts=False)
        if not report.passed:
            raise BarrierNotPassed(report)
        return report

    async def _run(self, wait: _Wait, indexes: Sequence[str], strict: bool, lsn: int | None) -> Verdict:
        wait.message = message = await self._message(wait, lsn)
        wait.cause = ""
        if strict:
            wait.stage = Stage.CONNECTOR
            await self._confirmed(wait, message)
        topics = {self._topics[name] for name in indexes}
        # Only now: an older record that was repeated has its place before these ends.
        targets = await wait.persist(lambda: self._targets(topics))
        wait.stage = Stage.APPLIED
        wait.blocking = await wait.persist(lambda: self._vanished(topics - {place.topic for place in targets}))
        if wait.blocking:
            return Verdict.BLOCKED
        return await self._applied(wait, targets)

    async def _vanished(self, missing: Collection[str]) -> tuple[Obstacle, ...]:
        """Topics that were read and are gone: what of them was not applied never will be. One that never was holds nothing."""
        standing = await self._positions.standing([TopicPartition(topic, 0) for topic in missing]) if missing else None
        return tuple(
            Obstacle(
                place.topic,
                FindingKind.LOG_REPLACED,
                f"the topic is gone, and it was read up to {position.applied}",
                "sync-worker check",
                True,
            )
            for place, position in sorted(standing.positions.items() if standing is not None else ())
        )

    async def _message(self, wait: _Wait, lsn: int | None) -> Message:
        while not await self._messages.listening(max(0.0, min(wait.left, _STALLED_S))):
            await wait.sleep(0.0)
        try:
            found, behind_token = await self._echo(wait)
        except ConfigurationError:
            if lsn is None:
                raise
            # A role that may not write: the heartbeat's messages come all the same.
            return await self._behind(wait, lsn)
        return found if lsn is None or lsn <= behind_token else await self._behind(wait, lsn)

    async def _echo(self, wait: _Wait) -> tuple[Message, int]:
        """A message of this very barrier, and the LSN behind it.

        Another message proves nothing by its LSN alone: it may be of before a failover or a restored backup, and such a log's
        positions may be higher than those of the log that is written now.
        """
        token = self._new_token()
        # Before it is written: the next heartbeat may be the newest by the time that somebody looks.
        coming = asyncio.ensure_future(self._messages.arrived(lambda message: message.content == token, max(0.0, wait.left)))
        try:
            behind_token = await wait.persist(lambda: self._messages.emit(BARRIER_PREFIX, token))
            found = await coming
        finally:
            coming.cancel()
        if found is None:
            raise TimeoutError
        return found, behind_token

    async def _behind(self, wait: _Wait, lsn: int) -> Message:
        found = await self._messages.arrived(lambda message: message.lsn >= lsn, max(0.0, wait.left))
        if found is None:
            raise TimeoutError
        return found

    async def _no_message(self, cause: str, lsn: int | None) -> str:
        newest = self._messages.newest
        if cause:
            return cause
        if lsn is not None and newest is not None:
            return f"no message behind {shown_lsn(lsn)} came through Kafka; the newest is at {shown_lsn(newest.lsn)}"
        return await self._silence() or "the message did not come back through Kafka"

    async def _confirmed(self, wait: _Wait, message: Message) -> None:
        while True:
            committed = await wait.persist(self._connector.committed_order)
            if committed is not None and committed >= message.order:
                wait.cause = ""
                return
            at = shown_lsn(committed[1]) if committed is not None else "nothing yet"
            wait.cause = (
                f"Connect has stored {at} of the connector, not yet {shown_lsn(message.lsn)}: it stores offsets every "
                "offset.flush.interval.ms (a minute unless set; 100 is good)"
            )
            await wait.sleep(_CONNECTOR_LOOK_S)

    async def _targets(self, topics: Collection[str]) -> dict[TopicPartition, Target]:
        counts = await self._log.partition_counts(topics)
        ids = await self._log.topic_ids(topics)
        places = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
        bounds = await self._log.bounds(places)
        return {place: Target(ids[place.topic], *bounds[place]) for place in places if place.topic in ids}

    async def _applied(self, wait: _Wait, targets: dict[TopicPartition, Target]) -> Verdict:
        look, moved_at = _FIRST_LOOK_S, self._clock.monotonic()
        while True:
            standing = await wait.persist(partial(self._positions.standing, targets))
            late = tuple(behind(targets, standing.positions))
            if not late:
                return Verdict.PASSED
            now = self._clock.monotonic()
            if [one.left for one in late] != [one.left for one in wait.behind]:
                moved_at = now
            wait.behind, wait.cause = late, ""
            wait.holds = [hold for hold in standing.holds if self._concerns(hold.subject, late)]
            if now - moved_at >= _STALLED_S:
                moved_at = now
                wait.blocking = await wait.persist(partial(self._blocking, late))
                if wait.blocking:
                    return Verdict.BLOCKED
                targets = await self._without_holes(wait, late, targets)
            elif wait.holds and not wait.blocking:
                wait.blocking = await wait.persist(partial(self._blocking, late))
                if wait.blocking:
                    return Verdict.BLOCKED
            await wait.sleep(look)
            look = min(_LONGEST_LOOK_S, look * 1.5)

    async def _without_holes(
        self, wait: _Wait, late: Sequence[Behind], targets: Mapping[TopicPartition, Target]
    ) -> dict[TopicPartition, Target]:
        """Targets moved down to where something is left to be read: markers, compaction and retention count as passed."""
        kept = dict(targets)
        bounds = await wait.persist(lambda: self._log.bounds([one.partition for one in late]))
        for one in late:
            start, _ = bounds[one.partition]
            reached = max(start, one.position.applied if one.position is not None else start)
            empty = reached < one.target.end and await wait.persist(lambda one=one, at=reached: self._empty(one, at))  # type: ignore[misc]
            end = reached if empty else one.target.end
            kept[one.partition] = Target(one.target.topic_id, start, end)
        return kept

    async def _empty(self, one: Behind, start: int) -> bool:
        async for records in self._log.read(one.partition, start, one.target.end):
            if records:
                return False
        return True

    async def _blocking(self, late: Sequence[Behind]) -> tuple[Obstacle, ...]:
        return tuple(
            Obstacle(found.subject, found.kind, found.evidence, found.remedy, True)
            for found in await self._findings.findings(open_only=True)
            if found.blocking and self._concerns(found.subject, late)
        )

    async def _doubts(self, indexes: Sequence[str]) -> tuple[Obstacle, ...]:
        """What the positions don't show: an index that lost what was applied, a table that nobody sends at the moment."""
        known = await self._findings.findings(open_only=True)
        # Each look of the watch that sees the condition tells of both, at one time: an older loss is no reason to wait.
        unsent = [found.last_seen for found in known if found.kind in _UNSENT]
        topics = {self._topics[name] for name in indexes}
        counts = await self._log.partition_counts(topics)
        theirs = {*indexes, *(f"{topic}:{number}" for topic, count in counts.items() for number in range(count))}
        return tuple(
            Obstacle(found.subject, found.kind, found.evidence, found.remedy, found.blocking)
            for found in known
            if (found.blocking and found.subject in theirs)
            or (found.kind == FindingKind.CHANGES_LOST and found.subject in indexes and found.last_seen in unsent)
        )

    def _concerns(self, subject: str, late: Sequence[Behind]) -> bool:
        """Whether what a hold or a finding is about stands in the way of one of these partitions.

        A table's indexes share its partitions, so one that holds keeps the others' positions back too.
        """
        topics = {one.partition.topic for one in late}
        if subject in self._topics:
            return self._topics[subject] in topics
        topic, _, number = subject.rpartition(":")
        if topic in self._topics.values():
            return any(one.partition == TopicPartition(topic, int(number or 0)) for one in late)
        return subject not in self._topics.values() or subject in topics


def _words(wait: _Wait, obstacles: Sequence[Obstacle]) -> str:
    parts = [f"{one.subject}: {one.cause}" for one in obstacles]
    if not parts and wait.cause:
        parts = [wait.cause]
    for one in wait.behind:
        reached = f"{one.position.holder} is at {one.position.applied}" if one.position is not None else "nobody says where it is"
        parts.append(f"{one.partition.topic}:{one.partition.partition} has to pass {one.target.end}, {reached}")
    return "; ".join(parts) or "the time was too short"
