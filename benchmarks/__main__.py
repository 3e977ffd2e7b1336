"""`python -m benchmarks [--only NAME] [--rows N]`: the table, and the same in .local/bench.json."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import cities
from benchmarks.harness import Figure, NotMeasuredError, Setting, load
from sync_worker.testing.stack import Kind, Stack, default_home, owned_home, up, what_was_real
from sync_worker.testing.stack.part import checkout

NAMES = (
    "agent",
    "latency",
    "wait",
    "watch",
    "status",
    "drain",
    "initial_sync",
    "poison",
    "drift",
    "backfill",
    "reindex",
    "memory",
)
RESULT = checkout() / ".local" / "bench.json"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=NAMES, action="append", help="measure this one alone; may be given again")
    parser.add_argument("--rows", type=int, default=cities.ALL, help=f"cities, at most {cities.ALL}; goals hold for all of them")
    arguments = parser.parse_args()
    wanted = tuple(name for name in NAMES if name in (arguments.only or NAMES))
    console = Console(highlight=False, markup=False, emoji=False)

    def say(line: str) -> None:
        console.print(f"  {line}", soft_wrap=True)

    parts = sorted({part for name in wanted for part in import_module(f"benchmarks.{name}").PARTS})
    before = load()
    with owned_home(default_home() / "stacks", "bench") as home:
        stack = up(home, parts=parts, say=say)
        real = what_was_real(stack, parts)
        console.print(f"{real}\n{arguments.rows:,} rows; {before}", soft_wrap=True)
        figures = [figure for name in wanted for figure in _measure(name, stack, arguments.rows, say)]
    for line in (f"{real}; {arguments.rows:,} rows", f"before: {before}", f"after: {load()}"):
        console.print(line, soft_wrap=True)
    console.print(_table(figures))
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps([figure.as_json() for figure in figures], indent=1) + "\n")
    console.print(f"written to {RESULT}", soft_wrap=True)
    return 1 if any(figure.value is None for figure in figures) else 0


def _measure(name: str, stack: Stack, rows: int, say: object) -> list[Figure]:
    module = import_module(f"benchmarks.{name}")
    if "meilisearch" in module.PARTS and stack.meilisearch.kind is Kind.DOUBLE:
        return [Figure(name, None, "", None, "not measured: there is no real Meilisearch, only the double")]
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
        try:
            return list(module.measure(Setting(stack, rows, Path(folder), say)))  # type: ignore[arg-type]
        except NotMeasuredError as error:
            return [Figure(name, None, "", None, f"not measured: {error}")]
        except Exception as error:
            traceback.print_exc()
            return [Figure(name, None, "", None, f"not measured: {type(error).__name__}: {error}")]


def _table(figures: list[Figure]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("figure", "value", "unit", "goal", "met"):
        table.add_column(column, justify="right" if column == "value" else "left")
    table.add_column("how", overflow="fold")
    words = {True: "yes", False: "NO", None: ""}
    for one in figures:
        shown = "not measured" if one.value is None else f"{one.value:.2f}"
        table.add_row(one.name, shown, one.unit, "" if one.goal is None else str(one.goal), words[one.met], one.detail)
    return table


if __name__ == "__main__":
    sys.exit(main())
