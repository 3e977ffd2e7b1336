"""The rows of backfills: one running for each table, one holder at a time, and progress that survives its process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from sync_worker.adapters.state import StateDatabase
from sync_worker.backfill.model import Backfill, Stage, Wish
from sync_worker.change.model import TopicPartition
from sync_worker.failure.model import Failure, ReasonClass


class Moment:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def moment() -> Moment:
    return Moment()


@pytest.fixture
async def state(tmp_path: Path, moment: Moment) -> AsyncIterator[StateDatabase]:
    opened = await StateDatabase.open(f"sqlite:///{tmp_path}/state.db", now=moment)
    yield opened
    await opened.close()


def asked(table: str = "public.things", **more: object) -> Backfill:
    given = {
        "id": 0, "index": "things", "table": table, "where": "", "prune": True, "stage": Stage.REQUESTED, "wish": Wish.RUN,
        "by": "somebody", "started_at": 0.0, "total": 5,
    }  # fmt: skip
    return Backfill(**(given | more))  # type: ignore[arg-type]


async def test_a_second_one_of_a_table_is_not_stored_while_one_runs(state: StateDatabase) -> None:
    """Whoever asks, and for whichever index; another table's is, and so is the next one."""
    first = await state.add_backfill(asked())
    assert first is not None
    assert first.started_at == 1000.0
    assert await state.add_backfill(asked(index="others", where="id > 3")) is None
    assert await state.add_backfill(asked(table="public.notes")) is not None
    assert await state.hold_backfill(first.id, "w1", 10)
    assert await state.save_backfill(replace(first, stage=Stage.DONE, ended_at=1001.0), "w1")
    assert await state.add_backfill(asked()) is not None
    assert [one.table for one in await state.backfills(running_only=True)] == ["public.things", "public.notes"]


async def test_what_one_process_stored_another_goes_on_with(state: StateDatabase, moment: Moment) -> None:
    """A holder that died loses it after its time; then it may store nothing any more."""
    first = await state.add_backfill(asked())
    assert first is not None
    assert await state.hold_backfill(first.id, "w1", 10)
    assert not await state.hold_backfill(first.id, "w2", 10)
    grown = replace(first, stage=Stage.SCANNING, signals=("a", "b"), starts={0: 3}, ends={0: 9, 1: 4}, sent=2)
    assert await state.save_backfill(grown, "w1")
    moment.now += 11
    assert await state.hold_backfill(first.id, "w2", 10)
    assert not await state.save_backfill(replace(grown, sent=99), "w1")
    found = await state.backfill(first.id)
    assert found == replace(grown, updated_at=1000.0)


async def test_a_wish_is_not_overwritten_by_progress(state: StateDatabase) -> None:
    """The operator's word and the worker's progress are stored apart; nobody wishes anything of one that has ended."""
    first = await state.add_backfill(asked())
    assert first is not None
    assert await state.hold_backfill(first.id, "w1", 10)
    assert await state.wish_backfill(first.id, Wish.STOP)
    assert await state.save_backfill(replace(first, sent=1), "w1")
    found = await state.backfill(first.id)
    assert found is not None
    assert (found.wish, found.sent) == (Wish.STOP, 1)
    assert await state.save_backfill(replace(found, stage=Stage.STOPPED, ended_at=1.0), "w1")
    assert not await state.wish_backfill(first.id, Wish.PAUSE)


async def test_only_failures_of_its_rows_are_counted(state: StateDatabase) -> None:
    """Its index, its topic as it was then, its range."""

    def failed(offset: int, **more: object) -> Failure:
        given = {
            "index": "things", "document_id": str(offset), "operation": "read", "reason_class": ReasonClass.REJECTED,
            "code": "x", "message": "", "retryable": True, "topic_id": "t1", "partition": TopicPartition("app.public.things", 0),
            "offset": offset, "source_ms": 0, "failed_at": 1.0,
        }  # fmt: skip
        return Failure(**(given | more))  # type: ignore[arg-type]

    told = [failed(4), failed(5), failed(9), failed(6, index="others"), failed(7, topic_id="t0")]
    await state.record_failures(told, [None] * len(told))
    mine = asked(id=1, topic_id="t1", starts={0: 5}, ends={0: 9})
    assert await state.failures_within(mine, "app.public.things") == 1
    assert await state.failures_within(replace(mine, ends={}), "app.public.things") == 0
