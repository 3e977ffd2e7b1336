"""The stack while it comes up: who needs only a part of it need not wait for the rest."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from pathlib import Path

import psutil

from sync_worker.testing.stack import PARTS, Part, Stack, up
from sync_worker.testing.stack.process import marked_processes

_NEVER_TOUCHED = ("DATABASE_URL", "STATE_URL", "KAFKA_BOOTSTRAP_SERVERS", "CONNECT_URL")
"""Given for another purpose, most likely: the demo creates tables, topics and a replication slot, so it uses its own."""


class Starting:
    """Starts all parts in the executor. Its methods raise StackError where the start failed."""

    def __init__(self, home: Path, executor: Executor, say: Callable[[str], None]) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in _NEVER_TOUCHED}
        self._home = home
        self._answered: dict[str, Future[Stack]] = {name: Future() for name in PARTS}
        self._all = executor.submit(up, home, environment=environment, say=say, answered=self._part_answered)

    def _part_answered(self, stack: Stack, part: Part) -> None:
        self._answered[part.name].set_result(stack)

    def wait_for(self, *parts: str) -> Stack:
        """The stack, once these parts of it answer."""
        for name in parts:
            wait([self._answered[name], self._all], return_when=FIRST_COMPLETED)
            if not self._answered[name].done():
                return self._all.result()
        return self._answered[parts[0]].result()

    def abandon(self) -> None:
        """Kill what has been started, until the start gives up: nobody who pressed Ctrl-C waits for Connect."""
        while not self._all.done():
            for process in marked_processes(str(self._home)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            wait([self._all], timeout=0.2)

    def wait_for_all(self) -> Stack:
        return self._all.result()
