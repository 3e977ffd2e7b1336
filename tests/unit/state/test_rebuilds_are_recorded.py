"""What the state database keeps of rebuilds, and what the exchange of two indexes does to everything that is kept of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from state_suite import failure

from sync_worker.adapters.state import StateDatabase
from sync_worker.change.model import TopicPartition
from sync_worker.failure.model import FailureStatus
from sync_worker.ports import Bookmark, IndexRecord
from sync_worker.rebuild.model import Phase, Rebuild

PLACE = TopicPartition("app.public.cities", 0)


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[StateDatabase]:
    database = await StateDatabase.open(f"sqlite:///{tmp_path}/state.db")
    yield database
    await database.close()


async def planned(state: StateDatabase) -> Rebuild:
    return await state.add_rebuild("cities", "cities", "cities__2", by="somebody", details={"rows": 3})


async def test_one_rebuild_of_an_index_at_a_time(state: StateDatabase) -> None:
    """Asking for a second one gives the first; once it is over, a new one."""
    first = await planned(state)
    assert (await state.add_rebuild("cities", "cities", "cities__3", by="other", details={})) == first
    assert await state.rebuilds() == {"cities": first}
    over = await state.end_rebuild(first, Phase.ABORTED)
    assert over is not None
    assert await state.rebuilds() == {}
    assert await state.last_rebuild("cities") == over
    assert (await state.add_rebuild("cities", "cities", "cities__3", by="other", details={})).id != first.id


async def test_two_command_lines_can_not_both_take_a_step(state: StateDatabase) -> None:
    """A step counts only for the row as it was read: the other one is told that it came second."""
    read = await planned(state)
    taken = await state.advance_rebuild(read, Phase.CREATED, old_created_at="a", new_created_at="b", details={"n": 1})
    assert taken is not None
    assert (taken.epoch, taken.details) == (1, {"rows": 3, "n": 1})
    assert await state.advance_rebuild(read, Phase.DELETING) is None
    assert await state.rebuilds() == {"cities": taken}


async def test_a_confirmation_is_of_one_epoch(state: StateDatabase) -> None:
    """What a worker confirmed before the last step says nothing about this one."""
    rebuild = await planned(state)
    await state.confirm_rebuild(rebuild, "w1")
    assert [found.worker for found in await state.rebuild_confirmations(rebuild)] == ["w1"]
    taken = await state.advance_rebuild(rebuild, Phase.CREATED)
    assert taken is not None
    assert await state.rebuild_confirmations(taken) == []


async def exchanged(state: StateDatabase) -> Rebuild:
    rebuild = await planned(state)
    lane = rebuild.target_lane
    await state.record_failures([failure(5), failure(6, index=lane), failure(7), failure(7, index=lane)], [None] * 4)
    await state.save_progress(
        [Bookmark(PLACE, "id-of-the-topic", 9, {"cities": 100, lane: 200, "other": 3})],
        [IndexRecord("cities", "cities", "old", "id", 11, "m"), IndexRecord(lane, "cities__2", "new", "id", 22, "n")],
    )
    done = await state.exchange_rebuild(rebuild, Phase.SWAPPED)
    assert done is not None
    assert done.new_is_live
    return done


async def test_what_is_known_of_an_index_travels_with_the_swap(state: StateDatabase) -> None:
    """Failures, anchors and watermarks are of a physical index: after the swap they go by the other name."""
    rebuild = await exchanged(state)
    lane = rebuild.target_lane
    assert {failed.offset for failed in await state.open_failures("cities", PLACE)} == {6, 7}
    assert {failed.offset for failed in await state.open_failures(lane, PLACE)} == {5, 7}
    records = await state.index_records(["cities", lane])
    assert records["cities"] == IndexRecord("cities", "cities", "new", "id", 22, "n")
    assert records[lane] == IndexRecord(lane, "cities__2", "old", "id", 11, "m")
    assert (await state.bookmarks([PLACE]))[PLACE].scanned == {"cities": 200, lane: 100, "other": 3}


async def test_the_exchange_is_done_once(state: StateDatabase) -> None:
    """A command line that was told nothing and repeats it changes nothing."""
    rebuild = await exchanged(state)
    assert await state.exchange_rebuild(replace(rebuild, epoch=0, new_is_live=False), Phase.SWAPPED) is None
    assert (await state.index_records(["cities"]))["cities"].created_at == "new"


async def test_nothing_is_left_of_a_deleted_index(state: StateDatabase) -> None:
    """Its failed work is closed with the reason; what is known of the live index stays."""
    rebuild = await exchanged(state)
    assert await state.end_rebuild(rebuild, Phase.DONE) is not None
    assert await state.open_failures(rebuild.target_lane, PLACE) == []
    closed = [work for work in await state.failed_work() if work.status is FailureStatus.SUPERSEDED]
    assert {work.failure.offset for work in closed} == {5, 7}
    assert {work.status_reason for work in closed} == {"cities__2 was deleted"}
    assert set(await state.index_records(["cities", rebuild.target_lane])) == {"cities"}
    assert (await state.bookmarks([PLACE]))[PLACE].scanned == {"cities": 200, "other": 3}
