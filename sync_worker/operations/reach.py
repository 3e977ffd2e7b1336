"""Whether the parts that a verb needs answer at all: watched beside it, so that it ends in time and says who is silent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sync_worker.errors import EnvironmentFault, SyncWorkerError

_AGAIN_S = 0.25


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the chain.

    Attributes:
        address: where it is asked; never with a password.
        remedy: what to do where it does not answer.
        ask: returns when it answered. Raises EnvironmentFault where it does not, and other SyncWorkerErrors for an answer that
            says no, which is one.
    """

    name: str
    address: str
    remedy: str
    ask: Callable[[], Awaitable[None]]


class PartsSilentError(SyncWorkerError):
    """Parts that a verb needs did not answer in time: which, at which addresses, and what to do."""

    def __init__(self, silent: Sequence[tuple[Part, str]], seconds: float) -> None:
        lines = [
            f"{part.name} at {part.address} did not answer within {seconds:g} s" + (f": {cause}" if cause else "")
            for part, cause in silent
        ]
        super().__init__("\n".join(lines), remedy="; ".join(dict.fromkeys(part.remedy for part, _ in silent)))


class Reach:
    """Asks every part until it has answered once."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._answered: set[str] = set()
        self._causes: dict[str, str] = {}

    async def watch(self) -> None:
        """Ends when all of them have answered."""
        await asyncio.gather(*map(self._until_answered, self._parts))

    def silent(self) -> list[tuple[Part, str]]:
        """Those that have not answered, and why as far as that is known."""
        return [(part, self._causes.get(part.name, "")) for part in self._parts if part.name not in self._answered]

    async def _until_answered(self, part: Part) -> None:
        while True:
            try:
                await part.ask()
            except EnvironmentFault as fault:
                self._causes[part.name] = fault.message
                await asyncio.sleep(_AGAIN_S)
                continue
            except Exception:
                pass  # what it refuses, and what nobody expects, is the verb's own to tell
            self._answered.add(part.name)
            return
