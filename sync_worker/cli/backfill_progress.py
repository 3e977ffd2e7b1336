"""How far a backfill is, on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sync_worker.cli.console import say, stderr

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from sync_worker.operations.backfill.report import BackfillProgress

_LINE_S = 5.0


class Shown:
    """`tell` it what it has come to."""

    def __init__(self) -> None:
        self._console = stderr()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._said: tuple[str, str] = ("", "")
        self._said_at = float("-inf")

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            from rich.progress import BarColumn, Progress, TextColumn

            self._bar = Progress(
                TextColumn("{task.fields[stage]}"),
                BarColumn(),
                TextColumn("{task.completed:.0f}/{task.total:.0f} rows"),
                TextColumn("{task.fields[speed]}"),
                TextColumn("{task.fields[condition]}"),
                console=self._console,
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def tell(self, one: BackfillProgress) -> None:
        speed = _speed(one)
        if self._bar is not None:
            if self._task is None:
                self._task = self._bar.add_task(
                    "", total=max(1, one.total), stage=one.stage, speed=speed, condition=one.condition
                )
            self._bar.update(
                self._task, completed=one.applied, total=max(1, one.total), stage=one.stage, speed=speed, condition=one.condition
            )
            return
        told = (one.stage, one.condition)
        if told == self._said and time.monotonic() - self._said_at < _LINE_S:
            return
        self._said, self._said_at = told, time.monotonic()
        rest = ", ".join(part for part in (speed, one.condition) if part)
        say(f"backfill {one.id}: {one.stage}, {one.applied} of {one.total} rows applied" + (f", {rest}" if rest else ""))


def _speed(one: BackfillProgress) -> str:
    rate = "" if one.rate is None else f"{one.rate:.0f} rows/s"
    left = "" if one.left_s is None else f"{one.left_s:.0f} s left"
    return ", ".join(part for part in (rate, left) if part)
