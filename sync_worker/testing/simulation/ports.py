"""What one process sees of the world: every call may take time, fail, or find the process stalled or dead.

A process that is stalled or dead does nothing: whatever it calls does not begin, and whatever it waits for is not told,
until it wakes. A stall right before a write, after the check that allowed it, is what makes a zombie.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

from sync_worker.change.model import Record, TopicPartition
from sync_worker.errors import LogUnavailable, SourceUnavailable, StateUnavailable, SyncWorkerError
from sync_worker.failure.model import Failure, PayloadReference
from sync_worker.testing.simulation import engine

T = TypeVar("T")
EPOCH_S = 1_700_000_000.0
_DELAYS_S = (0.0, 0.0, 0.002, 0.01, 0.05)
_SLOW_S = 0.6
_TICK_S = 1e-6
"""The shortest sleep: a rest that rounding left over must not stop the virtual clock."""


class Weather:
    """How likely and how long parts are away; shared by all processes.

    Attributes:
        away: part → until when it answers nobody.
        fates: of the next writes to Meilisearch, in the order of arrival at the wire.
        effect_lost: how likely the state database does what it was told and then does not say so.
    """

    def __init__(self) -> None:
        self.away: dict[str, float] = {}
        self.fates: list[str] = []
        self.effect_lost = 0.0
        self.slow = 0.0
        self.calm = False

    def is_away(self, part: str) -> bool:
        return self.away.get(part, 0.0) > engine.now()


class Process:
    """One run of one worker."""

    def __init__(self, name: str, weather: Weather) -> None:
        self.name = name
        self.weather = weather
        self.stalled_until = 0.0
        self.dead = False

    async def gate(self) -> None:
        """Goes on once the process runs."""
        while self.dead or self.stalled_until > engine.now():
            if self.dead:
                await asyncio.get_running_loop().create_future()
            await asyncio.sleep(max(_TICK_S, self.stalled_until - engine.now()))

    def delay(self) -> float:
        if self.weather.slow and engine.chance(self.weather.slow):
            return _SLOW_S
        return _DELAYS_S[engine.choose(len(_DELAYS_S))]

    def fate_of_write(self) -> str | None:
        """What becomes of the next write: refused, request, answer, late, or nothing of the sort."""
        fates = self.weather.fates
        return fates.pop(0) if fates else None

    async def travel(self, part: str, fault: type[SyncWorkerError]) -> None:
        """One way of a request or an answer. Raises `fault` while the part is away."""
        await self.gate()
        if (seconds := self.delay()) > 0:
            await asyncio.sleep(seconds)
            await self.gate()
        if self.weather.is_away(part):
            raise fault(f"{part} is away")


class SimClock:
    """Implements `ports.Clock` for one process."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def now(self) -> float:
        return EPOCH_S + engine.now()

    def monotonic(self) -> float:
        return engine.now()

    async def sleep(self, seconds: float) -> None:
        await self._process.gate()
        await asyncio.sleep(max(_TICK_S, seconds))
        await self._process.gate()


class Remote:
    """Any port whose methods are awaited: the same calls on the part behind it, which may be away.

    Where `effect_lost` says so, the call was done and its answer never comes.
    """

    def __init__(self, process: Process, part: str, behind: object, fault: type[SyncWorkerError]) -> None:
        self._process = process
        self._part = part
        self._behind = behind
        self._fault = fault

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._behind, name)

        async def call(*args: Any, **named: Any) -> Any:
            await self._process.travel(self._part, self._fault)
            result = await method(*args, **named)
            if self._part == "state" and engine.chance(self._process.weather.effect_lost):
                raise self._fault("the connection broke after the commit")
            await self._process.travel(self._part, self._fault)
            return result

        self.__dict__[name] = call
        return call


class RemoteLog(Remote):
    """`ports.Log`: as Remote, and reading a range, which is not awaited but iterated."""

    def __init__(self, process: Process, broker: Any) -> None:
        super().__init__(process, "log", broker, LogUnavailable)

    async def read(self, partition: TopicPartition, start: int, end: int) -> AsyncIterator[Sequence[Record]]:
        await self._process.travel("log", LogUnavailable)
        async for records in self._behind.read(partition, start, end):  # type: ignore[attr-defined]
            await self._process.travel("log", LogUnavailable)
            yield records


class DeadLetterTopic:
    """Keeps what is published; `told` sees every letter."""

    def __init__(self, told: Callable[[Failure, Record], None]) -> None:
        self._told = told
        self.letters: list[tuple[str, TopicPartition, int]] = []

    async def publish(self, failures: Sequence[tuple[Failure, Record]]) -> Sequence[PayloadReference]:
        first = len(self.letters)
        for failure, record in failures:
            self._told(failure, record)
            self.letters.append((failure.index, failure.partition, failure.offset))
        return [PayloadReference("dead-letters", 0, first + number) for number in range(len(failures))]


def remote_state(process: Process, state: object) -> Any:
    return Remote(process, "state", state, StateUnavailable)


def remote_source(process: Process, source: object) -> Any:
    return Remote(process, "source", source, SourceUnavailable)


def remote_letters(process: Process, letters: object) -> Any:
    return Remote(process, "dead letters", letters, LogUnavailable)


class NoTelemetry:
    """Implements `ports.Telemetry`. Counts by name, for what a run says it reached."""

    def __init__(self) -> None:
        self.counts: dict[str, float] = {}

    def count(self, metric: str, value: float = 1, **labels: str) -> None:
        self.counts[metric] = self.counts.get(metric, 0) + value

    def gauge(self, metric: str, value: float, **labels: str) -> None:
        pass

    def observe(self, metric: str, value: float, **labels: str) -> None:
        pass
