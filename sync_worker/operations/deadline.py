"""A verb's time: what is left of it, and answers that are waited for no longer, whatever the asked part does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from sync_worker.ports import Clock

T = TypeVar("T")


class TimeLeft:
    """What is left of a verb's time, whatever it was spent on."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._end = clock.monotonic() + seconds

    def __call__(self) -> float:
        """Seconds; 0 once it is over."""
        return max(0.0, self._end - self._clock.monotonic())


async def by_deadline(asked: Awaitable[T], seconds: float) -> T:
    """The answer. Raises TimeoutError after `seconds`, at once: what was asked is cancelled, and not waited for.

    Closing a connection to a part that has stopped answering may take as long as asking it.
    """
    task = asyncio.ensure_future(asked)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if done:
        return task.result()
    task.cancel()
    task.add_done_callback(_heard)
    raise TimeoutError


def _heard(task: asyncio.Future[T]) -> None:
    if not task.cancelled():
        task.exception()
