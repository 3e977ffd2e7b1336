"""Waiting that ends, and the error for what should not have ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any


class StreamEndedError(Exception):
    """A part of the stream ended that has to run for ever: the process has to end too, and be started again."""


async def at_most(seconds: float, work: Awaitable[Any]) -> bool:
    """Whether it was done in time; else it is cancelled and not waited for, unlike `asyncio.wait_for`. Raises what it raises."""
    task = asyncio.ensure_future(work)
    done, _ = await asyncio.wait({task}, timeout=seconds)
    if not done:
        task.cancel()
        return False
    if task.cancelled():  # from within: aiokafka lets the cancellation of its own tasks escape when it closes
        return False
    task.result()
    return True
