"""Faults that a test queues for the next request of a kind, each with a handle that says when it struck."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from sync_worker.testing.meilisearch.errors import ApiError


class Operation(StrEnum):
    """Kinds of request. A fault queued for ANY takes whatever comes next."""

    ADD_DOCUMENTS = "add documents"
    DELETE_DOCUMENTS = "delete documents"
    CLEAR_DOCUMENTS = "clear documents"
    READ_DOCUMENTS = "read documents"
    SEARCH = "search"
    READ_TASKS = "read tasks"
    READ_INDEX = "read index"
    CHANGE_INDEX = "change index"
    READ_SETTINGS = "read settings"
    CHANGE_SETTINGS = "change settings"
    SWAP = "swap"
    HEALTH = "health"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Reject:
    """Answered with a status and a body, and nothing done. `retry_after_s` becomes the Retry-After header."""

    status: int
    code: str = "internal"
    message: str = "rejected by a test"
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class LoseRequest:
    """The connection is cut before anything is done."""


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """Done and accepted, but the connection is cut instead of an answer."""


@dataclass(frozen=True, slots=True)
class HoldAnswer:
    """Done and accepted; the answer waits until `Strike.release()`."""


@dataclass(frozen=True, slots=True)
class RespondSlowly:
    """Done at once; the answer comes after `delay_s` seconds."""

    delay_s: float


Fault: TypeAlias = Reject | LoseRequest | LoseAnswer | HoldAnswer | RespondSlowly


@dataclass(eq=False)
class Strike:
    """One queued fault and what became of it."""

    fault: Fault
    _reached: asyncio.Event = field(default_factory=asyncio.Event)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_reached(self, timeout_s: float = 10.0) -> None:
        """Until a request has met the fault (for faults after acceptance: until it was accepted). Raises TimeoutError."""
        await asyncio.wait_for(self._reached.wait(), timeout_s)

    @property
    def was_reached(self) -> bool:
        return self._reached.is_set()

    def release(self) -> None:
        self._released.set()

    def reach(self) -> None:
        self._reached.set()

    async def wait_released(self) -> None:
        await self._released.wait()


class Faults:
    """Queues of faults, one for each operation; each fault strikes once."""

    def __init__(self) -> None:
        self._queued: defaultdict[Operation, deque[Strike]] = defaultdict(deque)

    def queue(self, operation: Operation, fault: Fault) -> Strike:
        strike = Strike(fault)
        self._queued[operation].append(strike)
        return strike

    def take(self, operation: Operation) -> Strike | None:
        for kind in (operation, Operation.ANY):
            if self._queued[kind]:
                return self._queued[kind].popleft()
        return None

    def clear(self) -> None:
        """Forgets what has not struck yet."""
        self._queued.clear()


DISK_FULL = ApiError("no_space_left_on_device", "No space left on device (os error 28)")
"""How a batch fails on a full disk."""
