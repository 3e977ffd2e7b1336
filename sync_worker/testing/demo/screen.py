"""What the demo shows: progress bars on a terminal, plain lines elsewhere, and the table at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

_TELL_EVERY_S = 2.0
_PIPE_WIDTH = 150


@dataclass(frozen=True, slots=True)
class Observation:
    """One line of the table.

    Attributes:
        took_s: None where the time says nothing.
        seen: what was observed; None where it was not, or was never reached.
    """

    promise: str
    seen: str | None
    took_s: float | None = None


class Screen:
    """Everything the demo prints. Lines go out at once, also into a pipe."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or _console()

    def say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)

    def title(self, line: str) -> None:
        self._console.print(f"\n{line}", style="bold", soft_wrap=True)

    @contextmanager
    def bar(self, what: str, total: int, *, waits_for: Callable[[], str] = lambda: "") -> Iterator[Callable[[int], None]]:
        """Call what it gives with how many are done.

        Args:
            waits_for: what is going on; asked when there is something to print, and at most every two seconds.
        """
        if not self._console.is_terminal:
            yield self._plain(what, total, waits_for)
            return
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task(what, total=total, note="")
            tell = _now_and_then(lambda _: progress.update(task, note=waits_for()))

            def step(done: int) -> None:
                progress.update(task, completed=done)
                tell(done)

            yield step

    def _plain(self, what: str, total: int, waits_for: Callable[[], str]) -> Callable[[int], None]:
        def tell(done: int) -> None:
            note = waits_for()
            self.say(f"  {what}: {done:,} of {total:,}{f' ({note})' if note else ''}")

        return _now_and_then(tell)

    def table(self, observations: list[Observation]) -> None:
        table = Table(box=None, pad_edge=False, show_edge=False)
        table.add_column("")
        table.add_column("what")
        table.add_column("time", justify="right")
        table.add_column("seen", overflow="fold")
        for one in observations:
            mark, seen = ("✓", one.seen) if one.seen is not None else ("✗", "NOT OBSERVED")
            table.add_row(mark, one.promise, "" if one.took_s is None else duration(one.took_s), seen)
        self._console.print(table)


def _now_and_then(tell: Callable[[int], None]) -> Callable[[int], None]:
    told = time.monotonic()

    def step(done: int) -> None:
        nonlocal told
        if time.monotonic() - told >= _TELL_EVERY_S:
            told = time.monotonic()
            tell(done)

    return step


def _console() -> Console:
    console = Console(highlight=False, markup=False, emoji=False)
    # A pipe has no width; rich would wrap the table at 80 columns.
    return console if console.is_terminal else Console(highlight=False, markup=False, emoji=False, width=_PIPE_WIDTH)


def duration(seconds: float) -> str:
    """Milliseconds below ten seconds, where they matter."""
    return f"{seconds * 1000:,.0f} ms" if seconds < 10 else f"{seconds:.1f} s"
