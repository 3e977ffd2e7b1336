"""The canary: alive by its age alone, and silent with a reason."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import pytest

from sync_worker.change.message import Message
from sync_worker.operations.canary import Canary, Links, silent_link

FINE = Links(reading=None, database=None, connector="connector RUNNING, task 0 RUNNING", connector_runs=True,
             slot_active=True, end_moves=False)  # fmt: skip


@dataclass
class Arrivals:
    newest: Message | None = None
    fault: str | None = None
    end: int | None = 100
    topic: str = "app.message"


class Time:
    def __init__(self) -> None:
        self.at = 1_000.0
        self.slept = asyncio.Event()

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.set()
        await asyncio.sleep(0)


def message(at: float) -> Message:
    return Message("sync-worker.canary", "", (1, 2), int(at * 1000), "run")


def made(arrivals: Arrivals, time: Time, links: Links = FINE) -> Canary:
    async def ask(moves: bool | None) -> Links:
        return replace(links, end_moves=moves)

    return Canary(arrivals, clock=time, limit_s=30, ask=ask)


def test_alive_is_the_age_of_the_newest_message_and_nothing_else() -> None:
    """By the moment of its commit: messages of an hour ago that arrive now prove that the chain is an hour behind."""
    arrivals, time = Arrivals(), Time()
    canary = made(arrivals, time)
    assert (canary.age_s(), canary.alive(), canary.silence()) == (None, False, None)
    arrivals.newest = message(999.0)
    assert (canary.age_s(), canary.alive(), canary.silence()) == (1.0, True, None)
    time.at = 1_029.5
    assert not canary.alive()
    assert "30 s old" in (canary.silence() or "")


def test_a_chain_that_was_never_alive_is_silent_after_the_limit() -> None:
    """A worker that starts beside a dead connector must not wait for its first message without a word."""
    arrivals, time = Arrivals(), Time()
    canary = made(arrivals, time)
    time.at += 31
    assert "no message has come yet" in (canary.silence() or "")


def test_a_clock_that_is_ahead_does_not_make_an_age_below_zero() -> None:
    """PostgreSQL's clock may be."""
    canary = made(Arrivals(message(1_002)), Time())
    assert canary.age_s() == 0.0


async def test_while_silent_the_links_are_asked_and_named() -> None:
    """And forgotten again once it sings."""
    arrivals, time = Arrivals(message(900)), Time()
    canary = made(arrivals, time, replace(FINE, connector=None, connector_runs=False))
    running = asyncio.create_task(canary.run())
    await time.slept.wait()
    assert "Kafka Connect does not answer" in (canary.silence() or "")
    arrivals.newest = message(time.at)
    assert canary.silence() is None
    running.cancel()


@pytest.mark.parametrize(
    ("links", "words"),
    [
        (replace(FINE, reading="Kafka at a:1 failed"), "can't read the messages: Kafka at a:1 failed"),
        (replace(FINE, end_moves=True), "they are old"),
        (replace(FINE, database="refused"), "PostgreSQL does not answer: refused"),
        (replace(FINE, connector=None, connector_runs=False), "Kafka Connect does not answer"),
        (replace(FINE, connector="there is no such connector", connector_runs=False), "there is no such connector"),
        (replace(FINE, slot_active=False), "nobody reads its replication slot"),
        (FINE, "says RUNNING and its slot is read, but no message comes"),
        (replace(FINE, slot_active=None, end_moves=None), "no message comes"),
    ],
)
def test_the_first_link_that_is_known_to_be_silent_is_named(links: Links, words: str) -> None:
    """From the worker backwards to the source: what lies behind a dead link proves nothing."""
    assert words in silent_link(links)
