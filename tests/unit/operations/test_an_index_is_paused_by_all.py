"""`pause` waits until every live worker has said that nothing is in flight."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sync_worker.adapters.state import StateDatabase
from sync_worker.errors import ConfigurationError
from sync_worker.operations.audit import audit_log
from sync_worker.operations.pause import PauseReport, pause, resume

from .parts import PLACE, QuickClock, eventually


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[StateDatabase]:
    database = await StateDatabase.open(f"sqlite:///{tmp_path}/state.db")
    yield database
    await database.close()


async def run(state: StateDatabase, *indexes: str, timeout_s: float = 60) -> PauseReport:
    clock = QuickClock()
    return await pause(state, indexes, declared=["things"], reason="upgrade", actor="me", timeout_s=timeout_s, clock=clock)


async def test_it_is_confirmed_by_every_live_worker(state: StateDatabase) -> None:
    """One that has not confirmed yet may still have something in flight."""
    await state.worker_alive("w1", [PLACE], {})
    await state.worker_alive("w2", [], {})
    asked = asyncio.create_task(run(state, "things"))
    await eventually(state.pauses)
    found = await state.pauses()
    await state.confirm_pause(found["things"], "w1")
    await asyncio.sleep(0.05)
    assert not asked.done()
    await state.confirm_pause(found["things"], "w2")
    report = await asked
    assert (report.confirmed, report.indexes[0].confirmed_by, report.indexes[0].waiting_for) == (True, ("w1", "w2"), ())


async def test_not_in_time_is_told_and_the_pause_stands(state: StateDatabase) -> None:
    """It can be run again, and waits for the same pause."""
    await state.worker_alive("w1", [PLACE], {})
    report = await run(state, "things", timeout_s=1)
    assert (report.confirmed, report.indexes[0].waiting_for) == (False, ("w1",))
    since = (await state.pauses())["things"].asked_at
    assert (await run(state, "things", timeout_s=1)).indexes[0].since == since


async def test_without_a_worker_it_is_recorded(state: StateDatabase) -> None:
    """A worker that starts reads it before its first write."""
    report = await run(state, "things")
    assert (report.confirmed, report.workers, "things" in await state.pauses()) == (True, (), True)


async def test_resume_ends_it_and_both_are_audited(state: StateDatabase) -> None:
    """What was not paused is told as such."""
    await run(state, "things")
    [one] = (await resume(state, ["things"], declared=["things"], actor="me")).indexes
    assert (one.was_paused, await state.pauses()) == (True, {})
    [again] = (await resume(state, ["things"], declared=["things"], actor="me")).indexes
    assert not again.was_paused
    assert [line.verb for line in (await audit_log(state)).lines] == ["resume", "resume", "pause"]


async def test_an_unknown_index_is_refused_before_anything(state: StateDatabase) -> None:
    """A typing error must not look like a paused index."""
    with pytest.raises(ConfigurationError, match="index thing: not declared"):
        await run(state, "things", "thing")
    assert await state.pauses() == {}
