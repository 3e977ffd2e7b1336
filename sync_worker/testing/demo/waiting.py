"""Observing: a condition that comes true before its deadline, or a failed demo."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

POLL_S = 0.005

Seen = TypeVar("Seen")


class NotObservedError(Exception):
    """What the demo promises to show did not show. The message says what was seen instead."""


def until(
    look: Callable[[], Seen | None],
    what: str,
    *,
    within_s: float,
    alive: Callable[[], None] = lambda: None,
    last_seen: Callable[[], str] = lambda: "",
    poll_s: float = POLL_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Seen, float]:
    """What `look` saw, and the seconds from this call until it did. None and False mean not yet.

    Args:
        alive: raises NotObservedError where waiting has become pointless; asked about once a second.
        last_seen: how things stand, for the message when time runs out.

    Raises NotObservedError once `within_s` have passed.
    """
    began = asked = clock()
    while True:
        seen = look()
        now = clock()
        if seen is not None and seen is not False:
            return seen, now - began
        if now - asked >= 1:
            alive()
            asked = now
        if now - began >= within_s:
            state = last_seen()
            raise NotObservedError(f"{what}: not within {within_s:g} s{f'; {state}' if state else ''}")
        sleep(poll_s)


def expect(truth: bool, what: str) -> None:
    """Raises NotObservedError saying `what` was seen unless that is as it must be."""
    if not truth:
        raise NotObservedError(what)
