"""`sync-worker drift`: what goes together, what it prints, and its exit status."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
from typer.testing import CliRunner

from sync_worker.cli.app import app
from sync_worker.drift.model import Kind
from sync_worker.operations.drift import DriftItem, DriftReport, IndexDrift, Repair
from sync_worker.operations.drift.report import Ghosts
from sync_worker.ports import Depth
from sync_worker.wiring import drift as wiring

SCHEMA = Path(__file__).parents[3] / "docs" / "schemas" / "drift.schema.json"

ITEMS = (
    DriftItem("3", Kind.DIFFERENT, ("name", "n"), "", None),
    DriftItem("5", Kind.MISSING, (), "", 12),
    DriftItem("9", Kind.GHOST, (), "", None),
)
COUNTS = {kind.value: sum(item.kind is kind for item in ITEMS) for kind in Kind}
DRIFTED = IndexDrift("things", "things", Depth.CONTENT, False, True, 10, 10, COUNTS, 1, 0, Ghosts.ALL, ITEMS, 0, 1.0, 2.0, ())
SYNC = replace(DRIFTED, in_sync=True, counts=dict.fromkeys(COUNTS, 0), items=(), explained=0)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    made = tmp_path / "sync-worker.toml"
    made.write_text(
        """
[kafka]
bootstrap_servers = "127.0.0.1:1"
[meilisearch]
url = "http://127.0.0.1:1"
[source]
url = "postgresql://nobody@127.0.0.1:1/nothing"
[indexes.things]
table = "public.things"
primary_key = "id"
fields = { name = "text", n = "integer" }
"""
    )
    return made


def run(config: Path, *arguments: str) -> Any:
    return CliRunner().invoke(app, ["drift", *arguments, "--config", str(config)])


def told(monkeypatch: pytest.MonkeyPatch, *indexes: IndexDrift) -> list[dict[str, Any]]:
    asked: list[dict[str, Any]] = []

    async def answer(_config: Any, _indexes: Any, **named: Any) -> DriftReport:
        asked.append(named)
        return DriftReport(all(map(wiring._in_sync, indexes)), "", 0, indexes)

    monkeypatch.setattr(wiring, "drift", answer)
    return asked


@pytest.mark.parametrize(
    "arguments",
    [
        ("--counts", "--ids"),
        ("--counts", "--repair"),
        ("--prune", "--repair"),
        ("--sample", "5", "--where", "n > 1"),
        ("--show", "5"),
        ("things", "--show", "5", "--ids"),
    ],
)
def test_what_does_not_go_together_is_refused(config: Path, arguments: tuple[str, ...]) -> None:
    """Exit status 2, before anything is asked of anybody."""
    assert run(config, *arguments).exit_code == 2


def test_each_difference_is_named_with_what_to_do(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fields, and the failed work that explains it; exit status 3, and the command that mends."""
    told(monkeypatch, DRIFTED)
    done = run(config, "things")
    assert done.exit_code == 3
    for word in ("1 missing, 1 ghost, 1 different", "1 of them explained", "name, n", "failed work 12", "drift things --repair"):
        assert word in done.stdout


def test_in_sync_is_exit_status_0(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line each."""
    told(monkeypatch, SYNC)
    done = run(config)
    assert (done.exit_code, "in sync" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    ("repair", "status"),
    [
        (Repair(True, ("3",), ("9",), 1, 0, ()), 3),
        (Repair(False, ("3",), ("9",), 0, 0, ()), 0),
        (Repair(False, ("3",), ("9",), 1, 0, ()), 3),
        (Repair(False, ("3",), ("9",), 0, 1, ()), 1),
        (Repair(False, ("3",), ("9",), 0, 0, ITEMS[:1]), 3),
    ],
)
def test_a_repair_is_fine_only_when_nothing_is_left(
    config: Path, monkeypatch: pytest.MonkeyPatch, repair: Repair, status: int
) -> None:
    """A plan is none, what was left alone differs still, and what the worker has not come to is not known."""
    told(monkeypatch, replace(DRIFTED, repair=repair))
    assert run(config, "things", "--repair").exit_code == status


def test_nothing_is_done_without_a_yes(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--repair` alone shows."""
    asked = told(monkeypatch, DRIFTED)
    run(config, "things", "--repair")
    run(config, "things", "--repair", "--yes")
    assert [one["execute"] for one in asked] == [False, True]


def test_machines_get_what_the_schema_says(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dense counts, and every field."""
    told(monkeypatch, replace(DRIFTED, repair=Repair(True, ("3",), ("9",), 1, 0, ())), SYNC)
    document = json.loads(run(config, "--json").stdout)
    fastjsonschema.compile(json.loads(SCHEMA.read_text()))(document)
    assert document["indexes"][1]["counts"] == {"missing": 0, "ghost": 0, "different": 0, "unreadable": 0, "refused": 0}
