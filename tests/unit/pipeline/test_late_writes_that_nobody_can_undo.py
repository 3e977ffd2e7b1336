"""Late writes that the log does not tell, or that the server has forgotten: what they put in doubt is said."""

from __future__ import annotations

import orjson

from sync_worker.batch.metadata import WriteMetadata, parse_metadata

from .world import PLACE, Worker, World


async def of_another_log(worker: Worker, low: int, high: int) -> None:
    """A write that had been on its way since before the topic was made anew."""
    metadata = WriteMetadata("write", "group", "zombie", 0, "late", {PLACE: (low, high)}, "id-0").encode()
    await worker.sinks[0].write("things", orjson.dumps({"id": 1, "name": "of another log"}), metadata=metadata)


async def written(world: World, worker: Worker, version: int) -> int:
    """A change of row 1 is applied and acknowledged; the next offset."""
    end = world.change("u", 1, name="x", n=version) + 1
    await worker.deliver()
    await world.acknowledged(end)
    return end


def forget_all_but_the_newest(world: World) -> None:
    world.double.prune_tasks(sorted(world.double.core.state.tasks)[:-1])


async def looks(world: World, worker: Worker) -> None:
    """The keeper has looked through the index's tasks once more, from the beginning of a look to its end."""
    keeper = worker.pipeline._keepers[PLACE.topic]
    keeper._checked_at = -1e9
    await keeper.tick(list(worker.pipeline._partitions.values()))


async def test_a_write_tells_of_which_log_it_is(world: World) -> None:
    """Offsets alone do not: a topic that is made anew begins at 0 again."""
    worker = await world.start()
    world.truncate()
    await written(world, worker, 1)

    told = [parse_metadata(task.custom_metadata) for task in world.tasks()]

    assert [write and (write.kind, write.topic_id) for write in told] == [("clear", "id-1"), ("write", "id-1")]


async def test_a_late_write_of_another_log_leaves_a_finding(world: World) -> None:
    """What it wrote stands at none of this log's offsets: nothing is read again in its place, and somebody is told."""
    worker = await world.start()
    await written(world, worker, 1)

    await of_another_log(worker, 0, 0)

    await world.found("late-write-not-undone")
    assert worker.numbers.total("late_writes_mended") == 0


async def test_a_late_write_of_another_log_between_two_owners_leaves_a_finding(world: World) -> None:
    """Offsets of another log that this one has not reached will not be read again as if they were its own."""
    first = await world.start()
    await written(world, first, 1)
    await first.die()
    second = await world.worker("w2")
    await of_another_log(second, 70, 80)

    await second.assign(2)

    await world.found("late-write-not-undone")
    await world.until(second.pipeline.health.ready, "the partition is prepared")
    assert not second.pipeline._lanes["things"].replay_until


async def test_tasks_that_were_forgotten_before_anybody_looked_leave_a_finding(world: World) -> None:
    """A late write may be among them: nobody can tell, and that is said."""
    worker = await world.start()
    await written(world, worker, 1)
    await looks(world, worker)
    async with worker.pipeline._keepers[PLACE.topic].turn:
        for version in (2, 3):
            world.change("u", 1, name="x", n=version)
            await worker.deliver()
            await world.until(lambda v=version: world.documents()["1"]["n"] == v, "it is applied")  # type: ignore[misc]
        forget_all_but_the_newest(world)

    await world.found("tasks-unseen")
    await world.state.clear_finding("tasks-unseen", "things", by="somebody")
    await written(world, worker, 4)
    await looks(world, worker)
    assert await world.state.findings() == []


async def test_tasks_that_were_forgotten_between_two_owners_leave_a_finding(world: World) -> None:
    """The same where nobody could look because nobody owned the partition."""
    first = await world.start()
    await written(world, first, 1)
    await looks(world, first)
    await first.die()
    second = await world.worker("w2")
    for nonce in ("one", "another"):
        metadata = WriteMetadata("write", "group", "zombie", 0, nonce, {PLACE: (0, 0)}, "id-1").encode()
        await second.sinks[0].write("things", orjson.dumps({"id": 1, "name": "old", "n": 0}), metadata=metadata)
    await world.double.wait_idle()
    forget_all_but_the_newest(world)

    await second.assign(2)

    await world.found("tasks-unseen")


async def test_a_history_that_fades_while_an_index_is_quiet_is_no_loss(world: World) -> None:
    """Its own tasks are forgotten by and by, because others' are newer: every look had found nothing new."""
    worker = await world.start()
    await written(world, worker, 1)
    await looks(world, worker)
    world.double.prune_tasks(list(world.double.core.state.tasks))
    await looks(world, worker)
    world.double.core.state.next_task += 10  # of other indexes
    await written(world, worker, 2)
    await looks(world, worker)

    assert await world.state.findings() == []
