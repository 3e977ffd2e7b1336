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
from sync_worker.testing.demo.story import Story
from sync_worker.testing.demo.waiting import NotObservedError
from sync_worker.testing.stack import StackError, default_home, owned_home, up, what_was_real
from sync_worker.testing.stack.part import free_port

ROWS_VARIABLE = "ROWS"
_NEVER_TOUCHED = ("DATABASE_URL", "STATE_URL", "KAFKA_BOOTSTRAP_SERVERS", "CONNECT_URL")
"""Given for another purpose, most likely: the demo creates tables, topics and a replication slot, so it uses its own."""


def main() -> int:
    rows = os.environ.get(ROWS_VARIABLE) or "default"
    if rows not in tables.FEWEST_INHABITANTS:
        print(f"{ROWS_VARIABLE}={rows}: say all, or leave it out", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _interrupt)
    screen = Screen()
    root = default_home() / "demo"
    began = time.monotonic()
    try:
        with owned_home(root, "run") as home, _kept_logs(home, root / "logs", screen):
            observed = _demo(rows, home, screen)
    except KeyboardInterrupt:
        screen.say("interrupted; nothing is left running")
        return 130
    except (StackError, NotObservedError, httpx.HTTPError, psycopg.Error) as error:
        screen.say(f"failed: {type(error).__name__}: {error}")
        return 1
    screen.say(f"done in {duration(time.monotonic() - began)}; nothing is left running")
    return 0 if observed else 1


def _demo(rows: str, home: Path, screen: Screen) -> bool:
    screen.title("starting PostgreSQL, Kafka, Connect and Meilisearch, for this demo alone")
    environment = {name: value for name, value in os.environ.items() if name not in _NEVER_TOUCHED}
    with ThreadPoolExecutor(1) as pool:
        cities = pool.submit(tables.cities, rows)
        stack = up(home, environment=environment, say=lambda line: screen.say(f"  {line}"))
        story = Story(stack, rows, cities.result(), home, free_port(), screen)
    with closing(_Ending(story)):
        observations = story.tell()
        screen.title("what was seen")
        screen.table(observations)
        screen.say(f"\n{what_was_real(stack)}")
    complete = all(one.seen is not None for one in observations)
    if not complete:
        raise NotObservedError("not everything was observed")
    return complete


class _Ending:
    def __init__(self, story: Story) -> None:
        self.close = story.end


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
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
