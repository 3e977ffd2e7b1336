"""How a command's coroutine is run: to its end, or for its time, whatever the parts do that it talks to."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from sync_worker.operations.reach import Part

Answer = TypeVar("Answer")

SILENCE_S = 60.0
"""The most that a part may be silent where the work itself may take long."""
NET_S = 5.0
"""Beyond its time for a verb that ends in time by itself, with a report of what it could find out."""
_ASK_AFTER_S = 1.0
"""A verb that ends sooner asks for no sign of life."""
_SPARE_S = 0.5
"""What a verb has beyond its time to say by itself what it lacked."""
_GRACE_S = 0.4
"""What work that had its time has to clean up behind itself."""
_INTERRUPTED_S = 5.0
"""The same for work that was interrupted: Ctrl-C a second time ends at once."""
_LET_GO_S = 0.1

_abandoned: list[asyncio.Runner] = []


def within(
    seconds: float,
    work: Coroutine[None, None, Answer],
    needs: Callable[[], list[Part]] | None = None,
    *,
    silence_s: float | None = None,
) -> Answer:
    """Run `work` to its end.

    Args:
        seconds: the most that it may take.
        needs: the parts that it can't do without.
        silence_s: the most that one of them may be silent, where that is not `seconds`: for work that may take long.

    Raises PartsSilentError for parts that did not answer in time, else TimeoutError. What does not let go even then is left
    behind, and ends with the process.
    """
    runner = asyncio.Runner()
    threads = _Threads()
    clean = False

    async def bounded() -> Answer:
        nonlocal clean
        asyncio.get_running_loop().set_default_executor(threads)
        try:
            return await _bounded(seconds, work, needs, seconds if silence_s is None else silence_s)
        finally:
            clean = await _let_go(threads)

    try:
        return runner.run(bounded())
    finally:
        if clean:
            runner.close()
        else:
            _abandoned.append(runner)


def end(status: int) -> None:
    """End the process with this status, without waiting for what was left behind."""
    if not _abandoned:
        sys.exit(status)
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(status)


class _Threads(ThreadPoolExecutor):
    """Knows what it still does."""

    def __init__(self) -> None:
        super().__init__(thread_name_prefix="asyncio")
        self.unfinished: set[Future[Any]] = set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = super().submit(fn, *args, **kwargs)
        self.unfinished.add(future)
        future.add_done_callback(self.unfinished.discard)
        return future


async def _bounded(
    seconds: float, work: Coroutine[None, None, Answer], needs: Callable[[], list[Part]] | None, silence_s: float
) -> Answer:
    loop = asyncio.get_running_loop()
    began = loop.time()
    silence_s = min(seconds, silence_s)
    job = asyncio.create_task(work)

    async def until(end_s: float) -> bool:
        await asyncio.wait({job}, timeout=max(0.0, began + end_s - loop.time()))
        return job.done()

    try:
        if await until(min(_ASK_AFTER_S, silence_s / 4)):
            return job.result()
        if needs is not None:
            # Imported here: most commands have ended by now.
            from sync_worker.operations.reach import PartsSilentError, Reach

            reach = Reach(needs())
            watching = asyncio.create_task(reach.watch())
            try:
                if await until(silence_s + _SPARE_S):
                    return job.result()
                if silent := reach.silent():
                    raise PartsSilentError(silent, silence_s)
            finally:
                watching.cancel()
        if await until(seconds + _SPARE_S):
            return job.result()
        raise TimeoutError
    except asyncio.CancelledError:
        await _cancelled(job, _INTERRUPTED_S)
        raise
    finally:
        await _cancelled(job, _GRACE_S)


async def _cancelled(job: asyncio.Task[Answer], seconds: float) -> None:
    if not job.done():
        job.cancel()
        await asyncio.wait({job}, timeout=seconds)


async def _let_go(threads: _Threads) -> bool:
    """Whether nothing is left that goes on."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    if rest:
        _, rest = await asyncio.wait(rest, timeout=_LET_GO_S)
    if threads.unfinished:
        concurrent.futures.wait(list(threads.unfinished), timeout=_LET_GO_S)
    return not rest and not threads.unfinished
