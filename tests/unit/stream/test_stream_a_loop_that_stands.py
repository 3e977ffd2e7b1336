"""A worker whose event loop stands keeps its partitions and does nothing: only somebody outside the loop can end it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest

from sync_worker.stream.blocked import LoopWatch


async def test_a_loop_that_stands_ends_the_process_and_says_where(caplog: pytest.LogCaptureFixture) -> None:
    """The last line names the place."""
    ended = threading.Event()
    watch = LoopWatch(limit_s=0.2, tick_s=0.02, end=ended.set)
    watch.start()
    with caplog.at_level(logging.ERROR):
        assert _stand_still(ended)
    assert "its event loop has stood for" in caplog.records[-1].getMessage()
    assert "_stand_still" in caplog.records[-2].getMessage(), "the line before shows the whole stack"
    assert caplog.records[-1].levelno == logging.CRITICAL


def _stand_still(until: threading.Event) -> bool:
    return until.wait(5)


async def test_a_loop_that_turns_is_left_alone() -> None:
    """However busy: short stops, one after the other, are none."""
    ended = threading.Event()
    watch = LoopWatch(limit_s=0.3, tick_s=0.02, end=ended.set)
    watch.start()
    busy_until = time.monotonic() + 0.8
    while time.monotonic() < busy_until:
        threading.Event().wait(0.05)
        await asyncio.sleep(0)
    watch.stop()
    assert not ended.is_set()
