"""One short run of `make torture` with a fixed seed: the same writers, faults, probe and checker."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from sync_worker.testing.stack import Kind, Stack
from sync_worker.testing.torture.run import torture


def test_ninety_seconds_of_faults_leave_both_sides_equal(
    stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every row equals its document or is an open failure with its letter, nobody ended in silence, and all came back in time."""
    if any(part.kind is Kind.OUTSIDE for part in stack.parts):
        pytest.skip("parts were given from outside, so they are not ours to kill")
    report = torture(stack, tmp_path, minutes=1.0, seed=1, say=print)
    written = io.StringIO()
    report.write(Console(file=written, width=140))
    with capsys.disabled():
        print(written.getvalue())
    assert report.violations == []
    assert report.recoveries, "nothing was broken, so nothing was shown"
    assert sum(report.events.values()) > 1000
