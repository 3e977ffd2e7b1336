"""Data to stdout, everything else to stderr; colours only on a terminal, and not under NO_COLOR."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}
"""Verdict → its mark and style."""


def stdout() -> Console:
    return _console(stderr=False)


def stderr() -> Console:
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    # Rich itself leaves bold and dim on under NO_COLOR.
    plain = bool(os.environ.get("NO_COLOR"))
    return Console(stderr=stderr, highlight=False, markup=False, color_system=None if plain else "auto")


def print_json(value: object) -> None:
    """One JSON document on stdout. Dataclasses become objects."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False, indent=2) + "\n")


def print_lines(lines: Iterable[str | Text]) -> None:
    """Lines on stdout as they are: never wrapped, never read as markup."""
    console = stdout()
    for line in lines:
        console.print(line, soft_wrap=True)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as aligned text, two spaces between columns; the last column is free."""
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    return ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip() for row in rows]


def _plain(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def print_report(report: object) -> None:
    """The report as one JSON document on stdout, with its name and `schema_version`."""
    # Imported here: most commands print text.
    from sync_worker.operations.report import as_document

    print_json(as_document(report))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout; into a pipe as wide as it needs, so that nothing is cut off there."""
    from rich import box
    from rich.table import Table

    console = stdout()
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=not console.is_terminal)
    for row in rows:
        table.add_row(*row)
    if not console.is_terminal:
        console.width = 10_000
    console.print(table)


def moment(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def say(text: str) -> None:
    """Progress, on stderr."""
    stderr().print(text, soft_wrap=True)
