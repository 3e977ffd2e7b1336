"""What every figure is made of: both sides measured in one run, and a goal that it meets, misses, or was not held to."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sync_worker.testing.stack import Stack


@dataclass(frozen=True, slots=True)
class Goal:
    """What the value is held to. `at_most` and `at_least` are in the figure's unit; one of them is None."""

    at_most: float | None = None
    at_least: float | None = None

    def met_by(self, value: float) -> bool:
        return value <= self.at_most if self.at_most is not None else value >= (self.at_least or 0.0)

    def __str__(self) -> str:
        return f"<= {self.at_most:g}" if self.at_most is not None else f">= {self.at_least:g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        value: None where it was not measured.
        goal: None for a figure that only explains another one.
        detail: both sides of a ratio, or why there is no value.
    """

    name: str
    value: float | None
    unit: str
    goal: Goal | None
    detail: str

    @property
    def met(self) -> bool | None:
        return None if self.value is None or self.goal is None else self.goal.met_by(self.value)

    def as_json(self) -> dict[str, Any]:
        shown = asdict(self)
        return shown | {"goal": None if self.goal is None else str(self.goal), "met": self.met}


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a figure is measured.

    Attributes:
        rows: how many cities.
        folder: empty, of this figure alone.
        say: prints a line of progress.
    """

    stack: Stack
    rows: int
    folder: Path
    say: Callable[[str], None]


def seconds(work: Callable[[], object]) -> float:
    """How long it took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def load() -> str:
    """The machine now, with a warning where others use it: a figure of a busy machine says nothing."""
    now, cores = os.getloadavg()[0], os.cpu_count() or 1
    warning = "; BUSY: these figures say nothing" if now > cores else ""
    return f"load {now:.2f} on {cores} cores{warning}"


class NotMeasuredError(Exception):
    """What a figure needs is not there, or did not happen. The message says what."""


def until(look: Callable[[], object], what: str, *, within_s: float, every_s: float = 0.02) -> float:
    """Seconds until `look` gave something true. Raises NotMeasuredError once `within_s` have passed."""
    began = time.perf_counter()
    while not look():
        if time.perf_counter() - began > within_s:
            raise NotMeasuredError(f"{what}: not within {within_s:g} s")
        time.sleep(every_s)
    return time.perf_counter() - began
