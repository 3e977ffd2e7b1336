"""Notices that a worker stands still although it could go on: every task lives, and nothing moves.

What holds is no standstill: a fault of the environment, a question to an operator, a broker that does not answer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition as KafkaPartition

from sync_worker.change.model import TopicPartition
from sync_worker.stream.waiting import StreamEndedError

if TYPE_CHECKING:
    from sync_worker.stream.app import StreamApp

STANDING_S = 40.0
"""With the looks around it, under a minute until the process has ended."""

LOOK_S = 2.0
_ANSWER_S = 5.0
_LONGEST_STEP_S = LOOK_S + _ANSWER_S + 1.0


class Standstill:
    """Looks at one app again and again."""

    def __init__(self, app: StreamApp) -> None:
        self._app = app
        self._positions: dict[TopicPartition, int] = {}
        self._reading_since: dict[TopicPartition, float] = {}
        self._working_since: dict[TopicPartition, tuple[int, float]] = {}
        self._turned_at = 0.0
        self._looked_at: float | None = None
        self._watched_s = 0.0

    async def look(self) -> StreamEndedError | None:
        """Why the worker has to end; None while it moves, waits for somebody, or has nothing to do."""
        # A process that was stopped as a whole must not count that time: it had no chance to move.
        now = self._app.loop.time()
        self._watched_s += min(now - (now if self._looked_at is None else self._looked_at), _LONGEST_STEP_S)
        self._looked_at = now
        if not self._app.batch_consumer.started_reading:
            self._turned_at = self._watched_s
            return None
        return self._thread() or await self._reading() or self._working()

    def _thread(self) -> StreamEndedError | None:
        """The consumer's thread has a loop of its own, in which the group is told that this worker lives."""
        now = self._watched_s
        self._app.batch_consumer.thread_loop.call_soon_threadsafe(self._turned)
        if now - self._turned_at < STANDING_S:
            return None
        return StreamEndedError(f"the consumer's thread has been blocked for {now - self._turned_at:.0f} s")

    def _turned(self) -> None:
        self._turned_at = self._watched_s

    async def _reading(self) -> StreamEndedError | None:
        """A partition with room for records, whose log goes on, and which nobody reads."""
        consumer = self._app.batch_consumer
        with_room = self._app.lanes.with_room() if consumer.reading else frozenset()
        before, self._positions = self._positions, {}
        for place in with_room:
            if (position := consumer.reader.position(place)) is not None:
                self._positions[place] = position
        standing = [place for place, position in self._positions.items() if before.get(place) == position]
        ends = await self._ends(standing)
        now = self._watched_s
        left = {place: end for place, end in ends.items() if self._positions.get(place, end) < end}
        self._reading_since = {place: self._reading_since.get(place, now) for place in left}
        for place, since in self._reading_since.items():
            if now - since >= STANDING_S:
                return StreamEndedError(
                    f"{place.topic}:{place.partition} has not been read on for {now - since:.0f} s: it stands at "
                    f"{self._positions[place]}, and the log ends at {left[place]}"
                )
        return None

    async def _ends(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Ends of what may be read, asked beside the fetches; nothing while the broker does not answer."""
        if not places:
            return {}
        consumer = self._app.batch_consumer
        asked = asyncio.ensure_future(
            consumer.in_thread(consumer.reader.consumer.end_offsets([KafkaPartition(*place) for place in places]))
        )
        try:
            done, _ = await asyncio.wait({asked}, timeout=_ANSWER_S)
            if not done:
                return {}
            return {TopicPartition(tp.topic, tp.partition): int(end) for tp, end in asked.result().items()}
        except (KafkaError, asyncio.CancelledError):
            if asyncio.current_task() is not None and asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise
            return {}
        finally:
            asked.cancel()

    def _working(self) -> StreamEndedError | None:
        """Records that were delivered, of which nothing is in flight, held or acknowledged."""
        now = self._watched_s
        progress = self._app.membership.progress()
        idle = self._app.intake.idle()
        before, self._working_since = self._working_since, {}
        for place, (delivered, done) in progress.items():
            if idle and delivered > done:
                known = before.get(place)
                self._working_since[place] = known if known is not None and known[0] == done else (done, now)
        for place, (done, since) in self._working_since.items():
            if now - since >= STANDING_S:
                return StreamEndedError(
                    f"the pipeline stands still: what was delivered of {place.topic}:{place.partition} from {done} on has for "
                    f"{now - since:.0f} s been neither in flight nor held"
                )
        return None
