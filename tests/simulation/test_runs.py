"""The whole system under virtual time: many runs, each with an order of its own, and not one of them may go wrong.

By hand: `make simulate RUNS=20000`, `make simulate TOKEN=…`, `make simulate-sabotage`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_SECONDS = 50


def simulate(*arguments: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the scheduler changes asyncio for all that run beside it."""
    command = [sys.executable, "-W", "ignore", "-m", "sync_worker.testing.simulation", *arguments]
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False)


def test_a_minute_of_runs_finds_nothing_wrong() -> None:
    """A violation prints the token that repeats it. The seeds are the same every time until 20,000 new ones go well."""
    done = simulate("--seed", "200000", "--runs", "100000", "--seconds", str(_SECONDS), timeout_s=_SECONDS + 120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 violations" in done.stdout


@pytest.mark.parametrize("token", (_HERE / "tokens.txt").read_text().split())
def test_what_once_went_wrong_goes_well(token: str) -> None:
    """A run that failed is run again for ever."""
    done = simulate("--token", token, timeout_s=120)
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr


@pytest.mark.parametrize("guard", ["applied-before-acknowledged", "late-writes-are-looked-for-at-the-assignment"])
def test_a_missing_guard_is_found(guard: str) -> None:
    """The simulation is not blind; `make simulate-sabotage` takes out all of them."""
    done = simulate("--sabotage", guard, timeout_s=240)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_run_can_be_repeated_exactly() -> None:
    """A token stands for one order of events, in any process."""
    first, second = (simulate("--token", "s123", timeout_s=120).stdout for _ in range(2))
    ends = [text.rstrip().rpartition("\n")[2] for text in (first, second)]
    assert ends[0] == ends[1]
