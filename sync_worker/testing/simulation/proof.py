"""Runs without a guard until one goes wrong."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from sync_worker.testing.simulation import engine, runner
from sync_worker.testing.simulation.sabotage import SABOTAGES, without

_MOST_RUNS = 2_000
_MOST_S = 240.0


@dataclass(frozen=True, slots=True)
class Found:
    """After how many runs the missing guard was found; `problem` is empty where it was not."""

    name: str
    runs: int
    token: str
    problem: str


def prove(names: Sequence[str], *, processes: int = 2) -> Iterator[Found]:
    """One guard after the other, in the order given."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(until_found, names)


def until_found(name: str) -> Found:
    """Runs that are narrowed to what the guard protects from, without it."""
    runner.collect_seldom()
    started, focus = time.monotonic(), SABOTAGES[name].focus
    for number in range(_MOST_RUNS):
        token = engine.token_of(number)
        with without(name):
            outcome, _ = runner.one(token, focus)
        # With the guard in its place the same run must go well: else it shows nothing about the guard.
        if outcome.problem and not runner.one(token, focus)[0].problem:
            return Found(name, number + 1, token, outcome.problem)
        if number % 10 == 0:
            gc.collect()
        if time.monotonic() - started > _MOST_S:
            return Found(name, number + 1, "", "")
    return Found(name, _MOST_RUNS, "", "")
