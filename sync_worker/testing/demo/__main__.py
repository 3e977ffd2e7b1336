"""`make demo`, or `ROWS=all make demo`. Exit status 0 only if everything was observed."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

import httpx
import psycopg

from sync_worker.testing.demo import tables
from sync_worker.testing.demo.screen import Screen, duration
from sync_worker.testing.demo.starting import Starting
from sync_worker.testing.demo.story import Story, tell
from sync_worker.testing.demo.waiting import NotObservedError
from sync_worker.testing.stack import Kind, StackError, default_home, owned_home, what_was_real
from sync_worker.testing.stack.part import free_port

ROWS_VARIABLE = "ROWS"


def main() -> int:
    rows = os.environ.get(ROWS_VARIABLE) or "default"
    if rows not in tables.FEWEST_INHABITANTS:
        print(f"{ROWS_VARIABLE}={rows}: say all, or leave it out", file=sys.stderr)
        return 2
    for asked_to_end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked_to_end, _interrupt)
    screen = Screen()
    root = default_home() / "demo"
    began = time.monotonic()
    try:
        with owned_home(root, "run") as home, _kept_logs(home, root / "logs", screen):
            _demo(rows, home, screen)
    except KeyboardInterrupt:
        screen.say("interrupted; nothing is left running")
        return 130
    except (StackError, NotObservedError, httpx.HTTPError, psycopg.Error) as error:
        screen.say(f"failed: {type(error).__name__}: {error}")
        return 1
    screen.say(f"done in {duration(time.monotonic() - began)}; nothing is left running")
    return 0


def _demo(rows: str, home: Path, screen: Screen) -> None:
    screen.title("starting PostgreSQL, Kafka, Connect and Meilisearch, for this demo alone")
    with ThreadPoolExecutor(2) as pool:
        starting = Starting(home, pool, lambda line: screen.say(f"  {line}"))
        try:
            cities = pool.submit(tables.cities, rows)
            with closing(Story(starting, rows, cities.result, home, free_port(), screen)) as story:
                observations = tell(story.steps(), screen, starting.wait_for_all)
                stack = starting.wait_for_all()
                screen.title("what was seen")
                screen.table(observations)
                screen.say(f"\n{what_was_real(stack)}")
        finally:
            starting.abandon()
    if any(one.seen is None for one in observations):
        raise NotObservedError("not everything was observed")
    for part in (stack.connect, stack.kafka):
        # Their data goes with them, so nobody needs the seconds of an orderly stop.
        if part.kind is Kind.NATIVE:
            part.kill()


@contextmanager
def _kept_logs(home: Path, kept: Path, screen: Screen) -> Iterator[None]:
    """Keep the logs of a demo that fails: everything else of it is removed."""
    shutil.rmtree(kept, ignore_errors=True)
    try:
        yield
    except BaseException:
        if (home / "logs").exists():
            shutil.copytree(home / "logs", kept)
            screen.say(f"logs: {kept}")
        raise


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    # Impatience must not leave a broker behind.
    for asked_to_end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked_to_end, signal.SIG_IGN)
    sys.stderr.write("\ninterrupted: stopping everything\n")
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
