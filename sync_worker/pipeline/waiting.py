"""Waiting for something to happen, for at most so long."""

from __future__ import annotations

import asyncio

from sync_worker.ports import Clock


async def happened(event: asyncio.Event, clock: Clock, seconds: float | None) -> bool:
    """Whether the event came within `seconds` of the clock (None: wait for it for ever). Clears the event.

    Not `asyncio.wait_for`: in Python 3.11 it swallows a cancellation that comes together with the event.
    """
    came = asyncio.ensure_future(event.wait())
    timer = asyncio.ensure_future(clock.sleep(seconds)) if seconds is not None else None
    try:
        await asyncio.wait([task for task in (came, timer) if task], return_when=asyncio.FIRST_COMPLETED)
    finally:
        came.cancel()
        if timer is not None:
            timer.cancel()
    was_set = event.is_set()
    event.clear()
    return was_set
