"""The pipeline's own asyncio tasks: each is watched, and one that ends takes the pipeline with it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from sync_worker.errors import StartAgain
from sync_worker.pipeline.holds import explain

log = structlog.get_logger(__name__)


class Tasks:
    """Starts tasks and remembers how they ended.

    Attributes:
        crashed: set once one ended that should not have.
        crash: what ended it, None while all is well.
    """

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[None]] = {}
        self._ended: list[str] = []
        self.crash: BaseException | None = None
        self.crashed = asyncio.Event()

    def spawn(self, name: str, work: Coroutine[Any, Any, None], *, forever: bool = True) -> None:
        async def watched() -> None:
            try:
                await work
                if not forever:
                    return
                raise StartAgain(f"{name} ended")
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                log.error("task ended", task=name, cause=explain(error), exc_info=not isinstance(error, StartAgain))
                self._ended.append(f"{name}: {explain(error)}")
                self.crash = self.crash or error
                self.crashed.set()
            finally:
                self._running.pop(name, None)

        task = asyncio.get_running_loop().create_task(watched(), name=name)
        # Cancelled before it began, nobody would await the work, and Python would complain.
        task.add_done_callback(lambda _: work.close())
        self._running[name] = task

    def ended(self) -> Sequence[str]:
        """Names of those that ended though they should run for ever, each with its reason."""
        return list(self._ended)

    def running(self) -> Sequence[str]:
        return list(self._running)

    async def cancel(self, name: str) -> None:
        """End this one, if it runs, and wait until it has ended."""
        task = self._running.get(name)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def cancel_all(self) -> None:
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
