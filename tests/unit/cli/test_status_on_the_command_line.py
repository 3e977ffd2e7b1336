"""`sync-worker status` and `reconcile` on the command line: text, JSON, exit statuses, with every part down."""

from __future__ import annotations

import json
from pathlib import Path

import fastjsonschema
import pytest
from typer.testing import CliRunner, Result

from sync_worker.cli.app import app
from sync_worker.errors import StateUnavailable
from sync_worker.operations.reconcile.report import ReconcileReport, Symptom
from sync_worker.operations.status import judge
from sync_worker.operations.status.report import StatusReport
from sync_worker.wiring import reconcile as wired_reconcile
from sync_worker.wiring import status as wired

from ..operations.test_status_tells_what_is_known import World
from .test_failed_work_on_the_command_line import Desk

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path).worked()


def run(desk: Desk, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--config", str(desk.config)])


def shows(monkeypatch: pytest.MonkeyPatch, report: StatusReport) -> None:
    async def answer(*_: object, **__: object) -> StatusReport:
        return report

    monkeypatch.setattr(wired, "status", answer)


def test_everything_down_is_a_report_and_not_a_traceback(desk: Desk) -> None:
    """Nothing listens at any address of this configuration. The state database is a file, and answers."""
    done = run(desk, "status", "--json", "--timeout", "2")
    report = json.loads(done.stdout)
    fastjsonschema.compile(json.loads((SCHEMAS / "status.schema.json").read_text()))(report)
    assert {part["part"] for part in report["unreachable"]} >= {"Kafka", "Kafka Connect", "Meilisearch", "PostgreSQL"}
    assert done.exit_code == 3, "that no worker runs is known"


def test_exit_statuses_tell_wrong_from_unknown(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """0 fine, 1 only unanswered, 3 wrong."""
    shows(monkeypatch, World().look())
    assert run(desk, "status").exit_code == 0
    shows(monkeypatch, World(faults={"connect": None}).look())
    silent = run(desk, "status")
    assert (silent.exit_code, "UNREACHABLE Kafka Connect" in silent.stdout) == (1, True)
    shows(monkeypatch, World(connector=None).look())
    wrong = run(desk, "status")
    assert (wrong.exit_code, "do: sync-worker connector apply" in wrong.stdout) == (3, True)


def test_reconcile_tells_wrong_from_unknown(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline that asks must not take a part that was away for drift."""

    def says(*kinds: str) -> None:
        symptoms = tuple(Symptom(kind, "things", "seen") for kind in kinds)

        async def answer(*_: object, **__: object) -> ReconcileReport:
            return ReconcileReport(not symptoms, symptoms, (), (), None, None)

        monkeypatch.setattr(wired_reconcile, "reconcile", answer)

    for kinds, status in (((), 0), (("unreachable",), 1), (("unreachable", "failed-work"), 3)):
        says(*kinds)
        assert run(desk, "reconcile").exit_code == status


@pytest.mark.parametrize(("arguments", "given"), [([], 10.0), (["--timeout", "25"], 25.0)])
def test_each_part_has_all_of_the_timeout_to_answer(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, arguments: list[str], given: float
) -> None:
    """On a loaded machine a part that needs four seconds is slow, and not away."""
    asked: list[float] = []

    async def answer(*_: object, deadline_s: float, **__: object) -> StatusReport:
        asked.append(deadline_s)
        return report

    report = World().look()
    monkeypatch.setattr(wired, "status", answer)
    run(desk, "status", *arguments)
    assert asked == [given]


def test_an_index_that_is_not_declared_is_a_usage_error(desk: Desk) -> None:
    for verb in (["status"], ["contract"], ["settings", "diff"], ["reconcile"]):
        done = run(desk, *verb, "nothing")
        assert done.exit_code != 0
        assert "index nothing: not declared" in str(done.exception)


def test_limits_are_part_of_the_judgement() -> None:
    """The same lag is fine for one and wrong for another."""
    (index,) = World().look().indexes
    behind = type(index)(**{**{name: getattr(index, name) for name in index.__slots__}, "lag_s": 10.0, "lag_messages": 1})
    assert not list(judge.index_problems(behind, "id", judge.Limits(60, 30)))
    assert [problem.kind for problem in judge.index_problems(behind, "id", judge.Limits(5, 30))] == ["lag"]


def test_what_only_the_state_database_knows_is_unknown_without_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not "not proven", "never" or an empty list, which would be claims; and why nobody knows is said once."""
    cause = "the state database is away"
    report = World(faults={"state": StateUnavailable(cause)}).look()
    shows(monkeypatch, report)
    text = run(desk, "status").stdout
    row = next(line for line in text.splitlines() if line.startswith("things"))
    assert row.split()[-2:] == ["?", "?"]
    assert "workers    ?" in text
    assert text.count(cause) == 1
    told = json.loads(run(desk, "status", "--json").stdout)
    assert told["workers"] is told["holds"] is told["findings"] is None
    (index,) = told["indexes"]
    assert index["fill"] is index["comparison"] is index["open_failures"] is index["paused"] is None
