"""Ends the process when its event loop stands: whoever runs in the loop can't notice that himself.

The group's heartbeat comes from another thread, so that a worker whose loop stands would keep its partitions for ever.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable

log = logging.getLogger(__name__)

TICK_S = 1.0
_LOGGING_S = 2.0


def _end() -> None:
    os._exit(1)


class LoopWatch:
    """Watches the running loop from a thread.

    Args:
        end: ends the process, without anything that the loop would have to do.
    """

    def __init__(self, *, limit_s: float, tick_s: float = TICK_S, end: Callable[[], None] = _end) -> None:
        self._limit_s = limit_s
        self._tick_s = tick_s
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._watched = threading.get_ident()
        self._turned = True
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loop watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def _turn(self) -> None:
        self._turned = True

    def _run(self) -> None:
        # Counted in ticks of its own: a process that was stopped as a whole has missed none of them.
        missed = 0
        while not self._stopped.wait(self._tick_s):
            if self._turned:
                self._turned, missed = False, 0
                try:
                    self._loop.call_soon_threadsafe(self._turn)
                except RuntimeError:  # closed: the process is ending
                    return
                continue
            missed += 1
            if missed * self._tick_s >= self._limit_s:
                self._tell()
                self._end()
                return

    def _tell(self) -> None:
        frame = sys._current_frames().get(self._watched)
        frames = traceback.extract_stack(frame) if frame is not None else traceback.StackSummary()
        stack = "".join(frames.format())
        ours = [one for one in frames if f"{os.sep}sync_worker{os.sep}" in one.filename] or frames[-1:]
        where = f"{ours[-1].filename}:{ours[-1].lineno} in {ours[-1].name}" if ours else "an unknown place"

        def tell() -> None:
            log.error("the event loop stands:\n%s", stack)
            log.critical("the worker ended: its event loop has stood for %.0f s at %s", self._limit_s, where)

        # Whoever holds the loop may hold the log's lock as well.
        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        teller.join(_LOGGING_S)
