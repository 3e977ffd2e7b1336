"""What waits, waits for the right thing: one index for itself, an offset for all of them, memory for nobody."""

from __future__ import annotations

import asyncio

from sync_worker.batch.pace import Limits
from sync_worker.change.model import TopicPartition
from sync_worker.errors import StateUnavailable
from sync_worker.testing.meilisearch.errors import ApiError
from sync_worker.testing.meilisearch.faults import HoldAnswer, LoseAnswer, Operation

from .world import PLACE, World

OTHER_TABLE = "public.others"
OTHER = TopicPartition("app.public.others", 0)


def refuse(world: World, uid: str) -> None:
    """No batch of this index is applied any more: its disk is full."""
    full = ApiError("no_space_left_on_device", "No space left on device (os error 28)")
    world.double.core.batch_fault = lambda tasks: full if tasks[0].index_uid == uid else None


async def test_one_index_of_a_table_waits_and_the_other_goes_on(world: World) -> None:
    """The offset waits for both (invariant 1)."""
    world.declare()
    world.declare("copies", uid="copies")
    worker = await world.start()
    refuse(world, "copies")
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.until(lambda: world.documents("things"), "the healthy index has it")
    await world.until(lambda: worker.pipeline.health.holds(), "the hold is on display")
    end = world.change("c", 2, name="x", n=2) + 1
    await worker.deliver()
    await world.until(lambda: len(world.documents("things")) == 2, "the healthy index goes on")
    await worker.pipeline._tick(PLACE.topic)
    assert world.log.offsets.get(PLACE, 0) == 0

    world.double.core.batch_fault = lambda _tasks: None
    await world.acknowledged(end)
    assert len(world.documents("copies")) == 2


async def test_two_indexes_settle_in_any_order_and_are_acknowledged_in_order(world: World) -> None:
    """The first change is applied last in one index: no offset moves past it."""
    world.declare()
    world.declare("others", table=OTHER_TABLE, uid="others")
    worker = await world.start()
    refuse(world, "things")
    things = world.change("c", 1, name="x", n=1) + 1
    others = world.change("c", 1, place=OTHER, table=OTHER_TABLE, name="x", n=1) + 1
    await worker.deliver()
    await worker.deliver(OTHER)
    await world.acknowledged(others, OTHER)
    assert world.log.offsets.get(PLACE, 0) == 0

    world.double.core.batch_fault = lambda _tasks: None
    await world.acknowledged(things)


async def test_a_partition_that_holds_does_not_stop_its_neighbour(world: World) -> None:
    """One partition waits for an operator; the other's changes arrive and are acknowledged."""
    worker = await world.start(partitions=2)
    neighbour = TopicPartition(PLACE.topic, 1)
    for key in range(1, 600):
        world.change("c", key, name="x", n="not a number")
    task = asyncio.ensure_future(worker.deliver())
    await world.until(
        lambda: any(hold.kind == "failure-flood" for hold in worker.pipeline.health.holds()), "the flood is on display"
    )
    end = world.change("c", 1000, place=neighbour, name="x", n=1) + 1
    await worker.deliver(neighbour)
    await world.acknowledged(end, neighbour)

    assert world.log.offsets.get(PLACE, 0) == 0
    task.cancel()


async def test_memory_is_bounded_while_the_server_is_away(world: World) -> None:
    """Records keep coming and nothing can be written: taking stops at the limit, and goes on afterwards (invariant 7)."""
    world.limits = Limits(in_flight_bytes=200_000, flush_bytes=50_000)
    worker = await world.start()
    world.double.fill_disk()
    for key in range(1, 1001):
        end = world.change("c", key, name="x" * 1_000, n=key) + 1
    task = asyncio.ensure_future(worker.deliver(most=20))
    await world.until(lambda: worker.pipeline.health.holds(), "the hold is on display")
    lane = worker.pipeline._lanes["things"]
    await world.until(lambda: lane.size > 100_000, "memory fills")
    largest = 0
    for _ in range(50):
        await asyncio.sleep(0.002)
        largest = max(largest, lane.size)
    assert largest < 300_000
    assert not task.done()

    world.double.fill_disk(False)
    await task
    await world.acknowledged(end)
    assert len(world.documents()) == 1_000


async def test_stop_finishes_what_is_in_flight(world: World) -> None:
    """SIGTERM: what is applied within the time is acknowledged."""
    worker = await world.start()
    world.double.pause()
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.until(world.tasks, "the write is accepted")
    stopping = asyncio.ensure_future(worker.pipeline.stop(drain_s=200))
    await asyncio.sleep(0)
    world.double.resume()
    await stopping

    assert world.log.offsets[PLACE] == end


async def test_stop_abandons_what_does_not_finish(world: World) -> None:
    """SIGTERM: the server does not finish in time; nothing of it is acknowledged, and nothing runs on."""
    worker = await world.start()
    world.double.pause()
    world.change("c", 1, name="x", n=1)
    await worker.deliver()
    await world.until(world.tasks, "the write is accepted")
    await worker.pipeline.stop(drain_s=4)

    assert world.log.offsets.get(PLACE, 0) == 0
    assert worker.pipeline.tasks.running() == []
    world.double.resume()


async def test_a_lost_answer_is_looked_for_before_its_task_is_called_late(world: World) -> None:
    """The keeper looks at the tasks before the lane does: one task lives, and it is not sent again (invariant 6)."""
    worker = await world.start()
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)
    world.double.pause()
    strike = world.double.queue_fault(Operation.ADD_DOCUMENTS, LoseAnswer())
    end = world.change("c", 2, name="x", n=2) + 1
    await worker.deliver()
    await strike.wait_reached()
    for _ in range(5):
        for keeper in worker.pipeline._keepers.values():
            keeper._checked_at = -1e9
        await worker.pipeline._tick(PLACE.topic)
        await asyncio.sleep(0.005)
    world.double.resume()
    await world.acknowledged(end)

    assert len(world.tasks()) == 2
    assert worker.numbers.total("late_writes_found") == 0


async def test_a_lost_answer_while_isolating_convicts_nobody_else(world: World) -> None:
    """The answer to one of isolation's own writes is lost."""
    world.with_scratch = False
    worker = await world.start()
    world.poison("3")
    world.double.pause()
    for key in range(1, 9):
        end = world.change("c", key, name="x", n=key) + 1
    await worker.deliver()
    await world.until(world.tasks, "the write is accepted")
    strikes = [world.double.queue_fault(Operation.ADD_DOCUMENTS, LoseAnswer()) for _ in range(3)]
    world.double.resume()
    await world.acknowledged(end)

    assert all(strike.was_reached for strike in strikes)
    assert [row[0] for row in await world.failures("open")] == ["3"]
    assert set(world.documents()) == {str(key) for key in range(1, 9)} - {"3"}


async def test_a_lost_answer_to_a_clear_clears_once(world: World) -> None:
    """What is written after a clear is not cleared again."""
    worker = await world.start()
    world.change("c", 1, name="x", n=1)
    await worker.deliver()
    await world.acknowledged(1)
    strike = world.double.queue_fault(Operation.CLEAR_DOCUMENTS, LoseAnswer())
    world.truncate()
    end = world.change("c", 2, name="x", n=2) + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert strike.was_reached
    assert list(world.documents()) == ["2"]
    assert len([task for task in world.tasks() if task.type == "documentDeletion"]) == 1


async def test_a_server_that_dies_between_its_two_commits(world: World) -> None:
    """The documents are in the index, the task is not finished: it is done again, and acknowledged once it succeeded."""
    worker = await world.start()
    world.double.batch_delay_s = 0.2
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.until(lambda: world.double._batch is not None, "the server works")
    await world.double.crash(after_index_commit=True)
    assert world.log.offsets.get(PLACE, 0) == 0
    world.double.batch_delay_s = 0.001
    await world.double.start()
    await world.acknowledged(end)

    assert list(world.documents()) == ["1"]
    assert len(world.tasks()) == 1


async def test_a_restarted_server_goes_on_where_it_was(world: World) -> None:
    """Connections are cut in mid-flush: the tasks are still there, and are awaited."""
    worker = await world.start()
    world.double.pause()
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.until(world.tasks, "the write is accepted")
    await world.double.crash()
    await world.until(lambda: worker.pipeline.health.holds(), "the hold is on display")
    world.double.resume()
    await world.double.start()
    await world.acknowledged(end)

    assert len(world.tasks()) == 1
    assert worker.pipeline.health.holds() == []


async def test_a_task_whose_history_was_pruned_is_sent_again(world: World) -> None:
    """It finished, nobody knows how, and the server has forgotten it: the same documents are sent once more."""
    worker = await world.start()
    world.change("c", 1, name="x", n=1)
    await worker.deliver()
    await world.acknowledged(1)
    world.double.pause()
    end = world.change("c", 2, name="x", n=2) + 1
    await worker.deliver()
    await world.until(lambda: len(world.tasks()) == 2, "the write is accepted")
    lost = world.tasks()[-1].uid
    strike = world.double.queue_fault(Operation.READ_TASKS, HoldAnswer())
    await strike.wait_reached()
    await worker.sinks[0].write("things", b'{"id":77}', metadata="")
    world.double.resume()
    await world.double.wait_idle()
    world.double.prune_tasks(range(lost + 1))
    strike.release()
    await world.acknowledged(end)

    assert {"1", "2"} <= set(world.documents())
    assert await world.failures() == []


async def test_rows_that_cannot_be_stored_do_not_fill_the_dead_letters(world: World) -> None:
    """The letter was delivered, the row can't be stored for a while: repeating stores the row, not the letter."""
    worker = await world.start()
    real, calls = world.state.record_failures, 0

    async def away(*args: object) -> None:
        nonlocal calls
        calls += 1
        if calls < 4:
            raise StateUnavailable("the state database is away")
        await real(*args)  # type: ignore[arg-type]

    world.state.record_failures = away  # type: ignore[method-assign,assignment]
    end = world.change("c", 1, name="x", n="not a number") + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert await world.failures() == [("1", "value_misfit", "open")]
    assert len(world.dead_letters.letters) == 1
    assert worker.numbers.total("dead_letters") == 1


async def test_nothing_is_acknowledged_before_the_row_of_its_failure_is_stored(world: World) -> None:
    """The document was convicted, the state database is away (invariant 1)."""
    worker = await world.start()
    real = world.state.record_failures

    async def away(*_: object) -> None:
        raise StateUnavailable("the state database is away")

    world.state.record_failures = away  # type: ignore[method-assign,assignment]
    world.poison("1")
    world.change("c", 1, name="x", n=1)
    end = world.change("c", 2, name="x", n=2) + 1
    await worker.deliver()
    await world.until(
        lambda: any(hold.kind == "StateUnavailable" for hold in worker.pipeline.health.holds()), "the hold is shown"
    )
    await worker.pipeline._tick(PLACE.topic)
    assert world.log.offsets.get(PLACE, 0) == 0

    world.state.record_failures = real  # type: ignore[method-assign]
    await world.acknowledged(end)
    assert [row[0] for row in await world.failures("open")] == ["1"]
