"""Many runs: in how many ways, how fast, what they reached, and what was wrong."""

from __future__ import annotations

import gc
import logging
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing import get_context

import structlog

from sync_worker.testing.simulation import engine
from sync_worker.testing.simulation.sabotage import SABOTAGES, without
from sync_worker.testing.simulation.world import Focus, World, scenario

_PIECE = 50
_COLLECT_EVERY = 25


@dataclass
class Report:
    """What some runs showed."""

    runs: int = 0
    steps: int = 0
    virtual_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    sometimes: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: Report) -> None:
        self.runs += other.runs
        self.steps += other.steps
        self.virtual_s += other.virtual_s
        self.faults += other.faults
        self.sometimes += other.sometimes
        self.violations += other.violations


def one(token: str, focus: Focus = Focus()) -> tuple[engine.Outcome, World]:  # noqa: B008
    """One run and the world as it was at its end."""
    worlds: list[World] = []
    outcome = engine.run(scenario(focus, worlds.append), token)  # type: ignore[arg-type]
    return outcome, worlds[0]


def collect_seldom() -> None:
    """A run leaves cycles, and looking for them while it goes on, or among all that was imported, takes a quarter of its time."""
    hush()
    gc.disable()
    gc.collect()
    gc.freeze()


def piece(first: int, count: int) -> Report:
    """Runs of the seeds `first` to `first + count - 1`."""
    collect_seldom()
    report = Report()
    for seed in range(first, first + count):
        outcome, world = one(engine.token_of(seed))
        if seed % _COLLECT_EVERY == 0:
            gc.collect()
        report.runs += 1
        report.steps += outcome.steps
        report.virtual_s += outcome.virtual_s
        report.faults.update(world.struck)
        # A state counts once a run: how many runs reach it is what shows whether it is looked at.
        report.sometimes.update(dict.fromkeys(world.checks.sometimes, 1))
        if outcome.problem:
            report.violations.append((outcome.token, outcome.problem))
    return report


def many(first: int, runs: int, *, processes: int = 2, seconds: float | None = None) -> Iterator[Report]:
    """Reports of pieces of work as they come; ends early once `seconds` passed."""
    started = time.monotonic()

    def pieces() -> Iterable[tuple[int, int]]:
        for start in range(first, first + runs, _PIECE):
            yield start, min(_PIECE, first + runs - start)

    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        waiting = iter(pieces())
        running = {pool.submit(piece, *work) for work in _some(waiting, processes + 1)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            if seconds is None or time.monotonic() - started < seconds:
                running |= {pool.submit(piece, *work) for work in _some(waiting, len(done))}
            yield from (future.result() for future in done)


def _some(waiting: Iterator[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    return [work for _, work in zip(range(count), waiting, strict=False)]


def hush() -> None:
    """Nothing is logged: a run is judged by its checks, and words cost more than the run."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL), cache_logger_on_first_use=False)


def story(token: str, guard: str | None = None) -> tuple[engine.Outcome, list[str]]:
    """One run, told: every event, and what the workers logged. Without a guard where one is named."""
    lines: list[str] = []

    def log(_logger: object, level: str, event: structlog.typing.EventDict) -> str:
        what = event.pop("event", "")
        engine.say(f"[{level}] {what}", *(f"{name}={value}" for name, value in event.items()))
        raise structlog.DropEvent

    structlog.configure(processors=[log], wrapper_class=structlog.BoundLogger, cache_logger_on_first_use=False)
    engine.tell_the_story(lines)
    try:
        if guard is None:
            outcome, _ = one(token)
        else:
            with without(guard):
                outcome, _ = one(token, SABOTAGES[guard].focus)
    finally:
        engine.tell_the_story(None)
        hush()
    return outcome, lines


def is_reproducible() -> bool:
    """Whether sets of texts have the same order in every process."""
    return os.environ.get("PYTHONHASHSEED") == "0"
