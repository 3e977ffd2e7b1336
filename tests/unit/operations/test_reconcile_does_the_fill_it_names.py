"""`reconcile --apply backfill:INDEX` runs exactly the command that was shown, and tells how it ended."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sync_worker import api
from sync_worker.errors import SourceUnavailable, SyncWorkerError
from sync_worker.operations.backfill.report import BackfillProgress, BackfillReport
from sync_worker.wiring import reconcile as wired

from .test_reconcile_recommends_in_order import counted
from .test_status_tells_what_is_known import World
from .test_the_verbs_are_called_from_python import CONFIG


def progress(stage: str, *, ended: bool, failed: int = 0, ghosts: int | None = 1, condition: str = "") -> BackfillProgress:
    return BackfillProgress(
        id=1, index="things", table="public.things", where="", prune=True, stage=stage, paused=False, by="me", started_at=0.0,
        applied_at=None, ended_at=9.0 if ended else None, seconds=9.0, total=10, sent=10, applied=8, failed=failed,
        ghosts=ghosts, missing=0, asked=1, restarts=0, rate=None, left_s=None, condition=condition,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("came_to", "done", "words"),
    [
        (progress("done", ended=True), True, "8 rows applied, 0 failed, 1 documents without a row removed"),
        (progress("done", ended=True, failed=2), False, "2 failed"),
        (progress("stopped", ended=True, condition="stopped by ops"), False, "stopped: stopped by ops"),
        (progress("applying", ended=False), False, "8 of 10 rows applied, and it goes on: sync-worker backfill status"),
    ],
)
def test_the_fill_is_run_as_recommended_and_its_end_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, came_to: BackfillProgress, done: bool, words: str
) -> None:
    """With --prune, as the command says; done only where every row was applied."""
    file = tmp_path / "sync-worker.toml"
    file.write_text(CONFIG.format(directory=tmp_path), encoding="utf-8")
    asked: list[tuple[str, bool]] = []

    async def filled(_config: object, index: str, *, prune: bool, **_named: object) -> BackfillReport:
        asked.append((index, prune))
        return BackfillReport(False, ("things",), False, came_to)

    replaced(monkeypatch, status=World().look(), drift=counted(10, 0))
    replaced(monkeypatch, settings_diff=SourceUnavailable("down"), contract=SourceUnavailable("down"))
    monkeypatch.setattr(wired, "backfill", filled)
    report = asyncio.run(wired.reconcile(api.read_config(file), apply="backfill:things"))
    assert report.applied is not None
    assert (report.applied.command, asked) == ("sync-worker backfill things --prune", [("things", True)])
    assert report.applied.done is done
    assert words in report.applied.outcome


def test_what_could_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the settings no difference of theirs is found: that is no health, and the plan may lack a step."""
    file = tmp_path / "sync-worker.toml"
    file.write_text(CONFIG.format(directory=tmp_path), encoding="utf-8")
    replaced(monkeypatch, status=World().look(), drift=counted(10, 10))
    replaced(monkeypatch, settings_diff=SourceUnavailable("down"), contract=SourceUnavailable("down as well"))
    report = asyncio.run(wired.reconcile(api.read_config(file)))
    assert {(one.part, one.cause) for one in report.unreachable} >= {("contract", "down as well"), ("settings", "down")}
    assert not report.ok
    assert {(one.kind, one.subject) for one in report.findings} >= {("unreachable", "settings"), ("unreachable", "contract")}


def replaced(monkeypatch: pytest.MonkeyPatch, **answers: object) -> None:
    def verb(answer: object) -> Any:
        async def call(*_: object, **__: object) -> object:
            if isinstance(answer, SyncWorkerError):
                raise answer
            return answer

        return call

    for name, answer in answers.items():
        monkeypatch.setattr(wired, name, verb(answer))
