"""The canary: a message that goes the whole way, and what is known when it does not come.

A connector that says RUNNING may retry for ever, and a table that does not change looks like one whose changes are lost.
So whether the chain is alive is derived from the canary's age and from nothing else; everything else only explains it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from sync_worker.change.message import Message
from sync_worker.ports import Clock

_EXPLAIN_S = 10.0
_LOOK_S = 1.0


class Arrivals(Protocol):
    """What was read of the topic of messages."""

    @property
    def topic(self) -> str: ...
    @property
    def newest(self) -> Message | None: ...
    @property
    def fault(self) -> str | None:
        """Why nothing can be read at the moment."""
        ...

    @property
    def end(self) -> int | None:
        """Where the topic ended when it was last asked."""
        ...


@dataclass(frozen=True, slots=True)
class Links:
    """The links of the chain, each as far as it could be asked.

    Attributes:
        reading: why the worker can't read the topic of messages, None where it can.
        database: why PostgreSQL did not answer, None where it did.
        connector: Connect's words, None where it did not answer; `missing` where it knows no such connector.
        connector_runs: it and its task say RUNNING.
        slot_active: whether somebody reads the replication slot; None where there is none, or nobody could tell.
        end_moves: whether messages go on arriving in Kafka; None where that is not known yet.
    """

    reading: str | None
    database: str | None
    connector: str | None
    connector_runs: bool
    slot_active: bool | None
    end_moves: bool | None


def silent_link(links: Links) -> str:
    """Which link is silent, as far as known."""
    if links.reading is not None:
        return f"this worker can't read the messages: {links.reading}"
    if links.end_moves:
        return "messages arrive in Kafka, but they are old: the connector is late or PostgreSQL's and this worker's clocks differ"
    if links.database is not None:
        return f"PostgreSQL does not answer: {links.database}"
    if links.connector is None:
        return "Kafka Connect does not answer"
    if not links.connector_runs:
        return f"the connector does not run: {links.connector}"
    if links.slot_active is False:
        return (
            "the connector says RUNNING, but nobody reads its replication slot: look into Connect's log, or restart the connector"
        )
    return (
        "the connector says RUNNING and its slot is read, but no message comes: it retries something without end, or can't "
        "write to Kafka; look into Connect's log, or restart the connector"
    )


class Canary:
    """Implements the health pages' `Chain`.

    Args:
        limit_s: age from which the chain counts as dead.
        ask: looks at the links; raises nothing.
    """

    def __init__(
        self, arrivals: Arrivals, *, clock: Clock, limit_s: float, ask: Callable[[bool | None], Awaitable[Links]]
    ) -> None:
        self._arrivals = arrivals
        self._clock = clock
        self._limit_s = limit_s
        self._ask = ask
        self._began = clock.monotonic()
        self._explained: str | None = None
        self._end: int | None = None

    def age_s(self) -> float | None:
        """Since the newest message was committed, by PostgreSQL's clock; None before the first."""
        newest = self._arrivals.newest
        return None if newest is None else max(0.0, self._clock.now() - newest.source_ms / 1000)

    def alive(self) -> bool:
        age = self.age_s()
        return age is not None and age <= self._limit_s

    def silence(self) -> str | None:
        """None while it is alive, or as long as there has not been time for a first message."""
        if self.alive() or (self._arrivals.newest is None and self._clock.monotonic() - self._began <= self._limit_s):
            return None
        age = self.age_s()
        seen = "no message has come yet" if age is None else f"the newest message is {age:.0f} s old"
        return f"{seen}: {self._explained or self._arrivals.fault or 'the links are being asked'}"

    async def explain(self) -> str:
        """Ask the links now."""
        before, self._end = self._end, self._arrivals.end
        moves = None if before is None or self._end is None else self._end > before
        return silent_link(await self._ask(moves))

    async def run(self) -> None:
        """Asks the links every ten seconds while the canary is silent, for ever."""
        while True:
            if self.silence() is None:
                self._explained, self._end = None, self._arrivals.end
                await self._clock.sleep(_LOOK_S)
            else:
                self._explained = await self.explain()
                await self._clock.sleep(_EXPLAIN_S)
