"""How far the group is: each living worker is asked, and what nobody claims is taken from the bookmarks.

Workers are found in the state database, where each says under which address it answers. One that vanished does not
answer: its partitions stand where its bookmarks say until somebody else has taken them over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from sync_worker.change.model import TopicPartition
from sync_worker.ports import Bookmark
from sync_worker.progress.passed import Obstacle, Position, Standing, newest

_ANSWER_S = 1.0
_LOOK_S = 1.0
_SEEN_S = 60.0
"""Workers tell of themselves every ten seconds; clocks may differ."""
_DEAF_S = 5.0
"""For so long one that did not answer is left alone."""

Told = Mapping[str, Any]
"""What a worker says at `/positions`; see `told`."""


class WorkerRow(Protocol):
    @property
    def worker(self) -> str: ...
    @property
    def last_seen(self) -> float: ...
    @property
    def address(self) -> str | None: ...


class WorkerTables(Protocol):
    """What is asked of the state database."""

    async def workers(self) -> Sequence[WorkerRow]: ...

    async def bookmarks(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Bookmark]: ...


@dataclass(slots=True)
class _Known:
    """One worker; `deaf_until` is on the monotonic clock."""

    name: str
    address: str
    deaf_until: float = 0.0


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one worker said."""

    worker: str
    positions: Sequence[tuple[TopicPartition, Position]]
    holds: Sequence[Obstacle]


class GroupPositions:
    """Implements `operations.barrier.Positions`.

    Args:
        own: what this very process says, where it is a worker.
    """

    def __init__(
        self, state: WorkerTables, *, own: Callable[[], Told] | None = None, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._state = state
        self._own = own
        self._http = httpx.AsyncClient(timeout=_ANSWER_S, transport=transport)
        self._workers: list[_Known] = []
        self._bookmarks: Mapping[TopicPartition, Bookmark] = {}
        self._asked: frozenset[TopicPartition] = frozenset()
        self._looked_at = -_LOOK_S

    async def close(self) -> None:
        await self._http.aclose()

    async def standing(self, partitions: Collection[TopicPartition]) -> Standing:
        """Raises StateUnavailable."""
        await self._look(partitions)
        answers = [_read(self._own())] if self._own is not None else []
        asked = [worker for worker in self._workers if worker.deaf_until <= time.monotonic()]
        answers += [answer for answer in await asyncio.gather(*map(self._ask, asked)) if answer is not None]
        claims = [(place, position) for answer in answers for place, position in answer.positions if place in partitions]
        claimed = {place for place, _ in claims}
        claims += [
            (place, Position(mark.next_offset, mark.topic_id, -1, "bookmark"))
            for place, mark in self._bookmarks.items()
            if place in partitions and place not in claimed
        ]
        return Standing(newest(claims), [hold for answer in answers for hold in answer.holds])

    async def _look(self, partitions: Collection[TopicPartition]) -> None:
        # Several barriers may wait at once, each for its own partitions.
        if time.monotonic() - self._looked_at < _LOOK_S and self._asked.issuperset(partitions):
            return
        mine = self._own()["worker"] if self._own is not None else None
        known = {(worker.name, worker.address): worker for worker in self._workers}
        self._workers = [
            known.get((row.worker, row.address)) or _Known(row.worker, row.address)
            for row in await self._state.workers()
            if row.address and row.worker != mine and time.time() - row.last_seen < _SEEN_S
        ]
        asked = self._asked.union(partitions)
        self._bookmarks = await self._state.bookmarks(asked)
        self._asked = asked
        self._looked_at = time.monotonic()

    async def _ask(self, worker: _Known) -> _Answer | None:
        try:
            answer = await self._http.get(f"{worker.address}/positions")
            read = _read(answer.raise_for_status().json())
            # Somebody else may have got the port of one that ended.
            if read.worker == worker.name:
                return read
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
            pass
        worker.deaf_until = time.monotonic() + _DEAF_S
        return None


class _Hold(Protocol):
    @property
    def subject(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def cause(self) -> str: ...
    @property
    def remedy(self) -> str: ...


def told(worker: str, positions: Mapping[TopicPartition, Position], holds: Sequence[_Hold]) -> Told:
    """What `/positions` says."""
    return {
        "worker": worker,
        "positions": [
            {
                "topic": place.topic,
                "partition": place.partition,
                "topic_id": position.topic_id,
                "applied": position.applied,
                "generation": position.generation,
            }
            for place, position in sorted(positions.items())
        ],
        "holds": [{"subject": h.subject, "kind": h.kind, "cause": h.cause, "remedy": h.remedy} for h in holds],
    }


def _read(said: Told) -> _Answer:
    """Raises KeyError or TypeError for what no worker says."""
    worker = str(said["worker"])
    positions = [
        (TopicPartition(one["topic"], one["partition"]), Position(one["applied"], one["topic_id"], one["generation"], worker))
        for one in said["positions"]
    ]
    holds = [
        Obstacle(one["subject"], one["kind"], one["cause"], one["remedy"], blocking=False, worker=worker) for one in said["holds"]
    ]
    return _Answer(worker, positions, holds)
