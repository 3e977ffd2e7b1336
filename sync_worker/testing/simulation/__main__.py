"""`python -m sync_worker.testing.simulation`: many runs, one replay, or the proof that a missing guard is found."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from sync_worker.testing.simulation import runner
from sync_worker.testing.simulation.expected import MUST_BE_REACHED
from sync_worker.testing.simulation.proof import Found, prove
from sync_worker.testing.simulation.sabotage import SABOTAGES

_TOKENS = Path("tests/simulation/tokens.txt")
_ENOUGH_RUNS = 4_000
"""From so many runs on, a dangerous state that none of them reached means that the simulation looks past it."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--seed", type=int, help="the first seed; by default another one every time")
    parser.add_argument("--seconds", type=float, help="end after so many seconds, whatever is left")
    parser.add_argument("--token", help="run this one again and tell what happens")
    parser.add_argument("--without", choices=sorted(SABOTAGES), help="with --token: without this guard")
    parser.add_argument("--sabotage", nargs="*", metavar="GUARD", help="take out these guards, or all, one at a time")
    given = parser.parse_args()
    if not runner.is_reproducible():
        # The order of sets of texts is part of a run.
        again = [sys.executable, "-m", "sync_worker.testing.simulation", *sys.argv[1:]]
        os.execve(sys.executable, again, os.environ | {"PYTHONHASHSEED": "0"})
    if given.token:
        return _replay(given.token, given.without)
    if given.sabotage is not None:
        return _sabotage(given.sabotage)
    first = given.seed if given.seed is not None else time.time_ns() // 1_000_000 % 1_000_000_000
    return _many(first, given.runs, given.seconds)


def _many(first: int, runs: int, seconds: float | None) -> int:
    total, started = runner.Report(), time.monotonic()
    for report in runner.many(first, runs, seconds=seconds):
        total.add(report)
        for token, problem in report.violations:
            print(f"VIOLATION  make simulate TOKEN={token}\n  {_short(problem)}", flush=True)
            _keep(token)
    minutes = (time.monotonic() - started) / 60
    print(
        f"seeds {first} to {first + total.runs - 1}: {total.runs} runs, {total.runs / minutes:.0f} a minute, {total.steps} steps,"
    )
    print(f"{total.virtual_s / 3600:.1f} hours of virtual time, {len(total.violations)} violations")
    print("faults: " + ", ".join(f"{name} {count}" for name, count in total.faults.most_common()))
    print("dangerous states, by runs that reached them:")
    for name, count in total.sometimes.most_common():
        print(f"  {count:7} {name}")
    missed = sorted(MUST_BE_REACHED - total.sometimes.keys()) if total.runs >= _ENOUGH_RUNS else []
    for name in missed:
        print(f"  NEVER REACHED  {name}")
    return 1 if total.violations or missed else 0


def _short(problem: str) -> str:
    return problem.partition("violated: ")[2][:400] or problem[:1_500]


def _keep(token: str) -> None:
    """A token that failed is a regression test from now on."""
    if _TOKENS.parent.is_dir():
        known = _TOKENS.read_text().split() if _TOKENS.exists() else []
        if token not in known:
            with _TOKENS.open("a") as file:
                file.write(f"{token}\n")


def _replay(token: str, guard: str | None) -> int:
    outcome, lines = runner.story(token, guard)
    print("\n".join(lines))
    print(f"{outcome.steps} steps, {outcome.virtual_s:.1f} virtual seconds: {_short(outcome.problem) or 'nothing is wrong'}")
    return 1 if outcome.problem else 0


def _sabotage(names: list[str]) -> int:
    found: list[Found] = []
    for one in prove(names or list(SABOTAGES)):
        found.append(one)
        runs = f"{one.runs} runs" if one.problem else f"NOT FOUND in {one.runs} runs"
        print(f"{SABOTAGES[one.name].rule:<13} {one.name:<48} {runs:>22}  {_short(one.problem)[:90]}", flush=True)
    missed = [one.name for one in found if not one.problem]
    print(f"{len(found) - len(missed)} of {len(found)} guards are missed when they are gone")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
