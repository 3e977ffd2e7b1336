"""`make torture MINUTES=5 SEED=1`. Exit status 0 only without a violation."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console

from sync_worker.testing.stack import StackError, default_home, owned_home, up
from sync_worker.testing.torture.run import torture
from sync_worker.testing.torture.site import SetUpError


def main() -> int:
    try:
        minutes, seed = float(os.environ.get("MINUTES") or 5), int(os.environ.get("SEED") or secrets.randbelow(1_000_000))
    except ValueError as error:
        print(f"MINUTES and SEED are numbers: {error}", file=sys.stderr)
        return 2
    for asked_to_end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked_to_end, _interrupt)
    console = Console()
    root = default_home() / "torture"
    try:
        with owned_home(root, "run") as home, _kept_logs(home, root / "logs", console) as keep:
            stack = up(home, say=_say)
            if not stack.has_real_meilisearch:
                _say("meilisearch is a protocol double: it is not killed, and what it shows is less")
            (home / "logs").mkdir(exist_ok=True)
            report = torture(stack, home / "logs", minutes=minutes, seed=seed, say=_say)
            report.write(console)
            if report.violations:
                keep()
                return 1
    except KeyboardInterrupt:
        print("interrupted; nothing is left running", file=sys.stderr)
        return 130
    except (StackError, SetUpError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def _kept_logs(home: Path, kept: Path, console: Console) -> Iterator[Callable[[], None]]:
    """Keep the logs of a run that found something, or could not go on: everything else of it is removed."""
    shutil.rmtree(kept, ignore_errors=True)

    def keep() -> None:
        shutil.copytree(home / "logs", kept, dirs_exist_ok=True)
        console.print(f"logs: {kept}", highlight=False, soft_wrap=True)

    try:
        yield keep
    except Exception:
        keep()
        raise


def _say(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    for asked_to_end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked_to_end, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
