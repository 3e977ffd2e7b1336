"""Keeps the libraries' own logs readable: one line where aiokafka writes thirty a second while a broker is away."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

_LIBRARIES = ("faust", "mode", "aiokafka")
_REPEATING = ("aiokafka", "aiokafka.conn", "aiokafka.consumer.fetcher", "aiokafka.consumer.group_coordinator", "aiokafka.cluster")
_INTERVAL_S = 10.0
_SAID_BETTER = "not found in cluster metadata"
"""aiokafka calls a topic that does not exist yet an error; the watchdog says which ones are waited for."""


class OncePerInterval(logging.Filter):
    """Lets a message through again only after `interval_s` seconds, and then says how often it was held back."""

    def __init__(self, interval_s: float = _INTERVAL_S, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._interval_s = interval_s
        self._now = now
        self._seen: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if _SAID_BETTER in str(record.msg):
            return False
        now = self._now()
        at, held_back = self._seen.get(record.msg, (now - self._interval_s, 0))
        if now - at < self._interval_s:
            self._seen[record.msg] = (at, held_back + 1)
            return False
        self._seen[record.msg] = (now, 0)
        if held_back:
            record.msg, record.args = f"{record.getMessage()} (and {held_back} more like it)", None
        return True


def quiet_libraries() -> None:
    """Warnings and errors only, unless a level was set, and none of them over and over. The root logger is not touched."""
    for name in _LIBRARIES:
        if logging.getLogger(name).level == logging.NOTSET:
            logging.getLogger(name).setLevel(logging.WARNING)
    for name in _REPEATING:
        logger = logging.getLogger(name)
        if not any(isinstance(known, OncePerInterval) for known in logger.filters):
            logger.addFilter(OncePerInterval())
