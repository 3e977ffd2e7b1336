"""`sync-worker run` with a watch that looks more often than for users, or with none. Only the benchmark `watch` starts it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from sync_worker.operations.canary import Canary
from sync_worker.operations.watch import watcher
from sync_worker.wiring.build import read_config
from sync_worker.wiring.worker import run_worker

LOOK_EVERY_S = 5.0
"""Instead of a minute, so that a run of some seconds holds several looks."""


async def _no_look(_self: object) -> None:
    """Instead of the one before anything is consumed."""


async def _no_run(_self: object) -> None:
    """Instead of what looks for ever: it may not end, for a worker whose watch ended ends too."""
    await asyncio.Event().wait()


if __name__ == "__main__":
    if os.environ["BENCH_WATCH"] == "on":
        watcher.INTERVAL_S = LOOK_EVERY_S
    else:
        watcher.Watcher.look = _no_look  # type: ignore[method-assign,assignment]
        watcher.Watcher.run = Canary.run = _no_run  # type: ignore[method-assign,assignment]
    sys.exit(run_worker(read_config(Path(sys.argv[sys.argv.index("--config") + 1]))))
