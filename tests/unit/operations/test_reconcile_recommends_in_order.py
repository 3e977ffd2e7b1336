"""`reconcile` turns what was read into commands, in the order in which they help, and does only the one that is named."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import fastjsonschema
import pytest

from sync_worker.errors import ConfigurationError
from sync_worker.failure.findings import FindingKind, found
from sync_worker.failure.model import FailedWork, FailureStatus
from sync_worker.operations.connector import ConnectorState, TaskState
from sync_worker.operations.drift.report import DriftReport, Ghosts, IndexDrift
from sync_worker.operations.failed import FailedItem, failed_item
from sync_worker.operations.reconcile import ReconcileReport, apply_action, reconciled
from sync_worker.operations.reconcile.plan import Read
from sync_worker.operations.reconcile.report import Action
from sync_worker.operations.report import as_document, schema_of
from sync_worker.operations.settings.diff import IndexSettings, SettingDifference, SettingsDiff
from sync_worker.operations.settings.effect import Effect
from sync_worker.operations.status.report import RebuildStatus, StatusReport
from sync_worker.ports import Depth, Pause

from .parts import failure
from .test_status_tells_what_is_known import NOW, RUNNING, World


def item(number: int, *, retryable: bool) -> FailedItem:
    work = FailedWork(number, failure(number, str(number), retryable=retryable), FailureStatus.OPEN, 1, NOW, None, "", NOW)
    return failed_item(work, NOW)


def differing(effect: Effect) -> SettingsDiff:
    one = SettingDifference("sortableAttributes", [], ["x"], effect)
    return SettingsDiff(False, (IndexSettings("things", "things", True, 10, (one,), effect, 0.1, "…"),))


def commands(report: ReconcileReport) -> list[str]:
    return [action.command for action in report.actions]


def test_a_healthy_chain_needs_nothing() -> None:
    report = reconciled(Read(World().look(), None, None, ()), None)
    assert report.ok
    assert report.actions == ()
    fastjsonschema.compile(schema_of(ReconcileReport))(as_document(report))


def test_causes_come_before_what_they_cause() -> None:
    """Connector, then the pause, then settings, then retries, then fills; each with cost and risk."""
    world = World(connector=ConnectorState("RUNNING", "w", "", (TaskState(0, "FAILED", "w", "boom"),)))
    lost = found(FindingKind.CHANGES_LOST, "things", "the slot was advanced", now=NOW)
    world.state = replace(world.state, pauses={"things": Pause("things", NOW, "me", "")}, findings=[lost])
    failed = [item(1, retryable=True), item(2, retryable=False), item(3, retryable=False)]
    report = reconciled(Read(world.look(), differing(Effect.REINDEXING), None, failed), None)
    assert commands(report) == [
        "sync-worker connector restart",
        "sync-worker resume things",
        "sync-worker settings apply things --acknowledge-live",
        "sync-worker retry --index things --class rejected --limit 1 --yes",
        "sync-worker retry --index things --class rejected --force --limit 2 --yes",
        "sync-worker backfill things --prune",
    ]
    assert all(action.why and action.cost and action.risk for action in report.actions)
    assert {"connector-down", "paused", "changes-lost"} <= {symptom.kind for symptom in report.findings}


def test_what_no_command_mends_is_still_named() -> None:
    """A slot about to be lost, before the watch has made a finding of it; and the watch's word on a connector, only once."""
    world = World(slot=replace(World().slot, wal_status="unreserved"))
    assert commands(reconciled(Read(world.look(), None, None, ()), None)) == ["sync-worker doctor"]
    world = World(connector=ConnectorState("RUNNING", "w", "", (TaskState(0, "FAILED", "w", "boom"),)))
    down = found(FindingKind.CONNECTOR_DOWN, "c", "RUNNING, but nobody reads the slot", now=NOW)
    world.state = replace(world.state, findings=[down])
    assert commands(reconciled(Read(world.look(), None, None, ()), None)) == ["sync-worker connector restart"]
    world.connector = RUNNING
    assert commands(reconciled(Read(world.look(), None, None, ()), None)) == ["sync-worker connector status"]


def counted(rows: int, documents: int) -> DriftReport:
    one = IndexDrift(
        "things", "things", Depth.COUNTS, rows == documents, True, rows, documents, {}, 0, 0, Ghosts.NONE, (), 0, NOW, 0.1, ()
    )
    return DriftReport(one.in_sync, "", 0, (one,))


def test_an_empty_index_is_filled_and_a_divergence_is_looked_at_first() -> None:
    """Where nearly everything is missing, one by one is the wrong way."""
    empty = reconciled(Read(World().look(), None, None, (), counted(10, 0)), None)
    assert commands(empty) == ["sync-worker backfill things --prune"]
    diverged = reconciled(Read(World().look(), None, None, (), counted(10, 9)), None)
    assert commands(diverged) == ["sync-worker drift things --ids", "sync-worker drift things --repair --yes"]
    assert [symptom.kind for symptom in diverged.findings] == ["count-divergence"]
    assert reconciled(Read(World().look(), None, None, (), counted(10, 10)), None).ok


def test_a_connector_that_somebody_stopped_is_not_restarted() -> None:
    """A restart would not start it, and somebody had a reason."""
    world = World(connector=replace(RUNNING, state="STOPPED", tasks=()))
    report = reconciled(Read(world.look(), None, None, ()), None)
    assert commands(report) == ["sync-worker connector status"]
    assert not report.actions[0].applicable


def test_another_primary_key_is_a_reindex_for_a_person() -> None:
    report = reconciled(Read(World().look(), differing(Effect.REBUILD), None, ()), None)
    assert commands(report) == ["sync-worker reindex things"]
    assert not report.actions[0].applicable


def rebuilding(state: StatusReport, phase: str) -> StatusReport:
    (one,) = state.indexes
    return replace(state, indexes=(replace(one, rebuild=RebuildStatus(phase, "old", "things__1", "its fill")),))


def test_a_rebuild_that_is_not_over_comes_before_a_fill_or_another_rebuild() -> None:
    """Both would be refused, or be done by it anyway; its own words name the next command."""
    world = World()
    world.state = replace(world.state, findings=[found(FindingKind.CHANGES_LOST, "things", "the slot was advanced", now=NOW)])
    seen = rebuilding(world.look(), "filling")
    report = reconciled(Read(seen, differing(Effect.REBUILD), None, ()), None)
    assert commands(report) == ["sync-worker reindex things --status"]
    assert "its rebuild (filling) comes first: its fill" in report.actions[0].why
    assert not report.actions[0].applicable


def test_a_fill_can_be_applied_as_it_is_recommended() -> None:
    report = reconciled(Read(World().look(), None, None, (), counted(10, 0)), None)
    assert [(action.action, action.applicable) for action in report.actions] == [("backfill:things", True)]


def test_exactly_the_named_action_is_done() -> None:
    """Nothing else, and nothing that is not recommended now."""
    report = reconciled(Read(World().look(), differing(Effect.FREE), None, [item(1, retryable=True)]), None)
    done: list[str] = []

    async def do(action: Action) -> tuple[bool, str]:
        done.append(action.action)
        return True, "as told"

    applied = asyncio.run(apply_action(report, "retry:things:rejected", do)).applied
    assert done == ["retry:things:rejected"]
    assert applied is not None
    assert (applied.done, applied.outcome) == (True, "as told")
    with pytest.raises(ConfigurationError, match="not recommended"):
        asyncio.run(apply_action(report, "connector-restart", do))
    rebuild = reconciled(Read(World().look(), differing(Effect.REBUILD), None, ()), None)
    with pytest.raises(ConfigurationError, match="run by itself"):
        asyncio.run(apply_action(rebuild, "reindex:things", do))
    assert len(done) == 1
