"""A sink that lost its memory, a log that was replaced: hold, say so durably, and go on only when somebody decided."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace

import pytest

from sync_worker.change.model import TopicPartition
from sync_worker.errors import StartAgain
from sync_worker.ports import Bookmark, IndexRecord, Task, TaskUid
from sync_worker.progress.bookmark import tail_of

from .world import PLACE, Worker, World


async def held(world: World, worker: Worker, kind: str) -> None:
    await world.until(lambda: any(hold.kind == kind for hold in worker.pipeline.health.holds()), f"a hold for {kind}")
    await world.found(kind)


async def test_a_restored_dump_is_noticed_before_the_next_acknowledgement(world: World) -> None:
    """`createdAt` survives a dump; the task of ours that was applied does not (protocol 13)."""
    worker = await world.start()
    world.change("c", 1, name="x", n=1)
    await worker.deliver()
    await world.acknowledged(1)
    dump = world.double.snapshot()
    end = world.change("c", 2, name="x", n=2) + 1
    await worker.deliver()
    await world.acknowledged(end)

    world.double.restore(dump)
    world.change("c", 3, name="x", n=3)
    await worker.deliver()

    await held(world, worker, "sink-lost-memory")
    assert world.log.offsets[PLACE] == end


async def test_a_restored_dump_is_noticed_after_a_restart(world: World) -> None:
    """The anchor is stored with the progress and verified before the first write."""
    first = await world.start()
    world.change("c", 1, name="x", n=1)
    await first.deliver()
    await world.acknowledged(1)
    dump = world.double.snapshot()
    end = world.change("c", 2, name="x", n=2) + 1
    await first.deliver()
    await world.acknowledged(end)
    await first.die()
    world.double.restore(dump)

    second = await world.worker("w2")
    await second.assign(2)

    await held(world, second, "sink-lost-memory")


async def test_an_index_made_anew_is_noticed(world: World) -> None:
    """Deleted and created again: offsets are ahead of it."""
    worker = await world.start()
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)
    index = world.double.core.state.indexes["things"]
    index.created_at = "2031-01-01T00:00:00Z"
    index.documents.clear()
    worker.pipeline._keepers[PLACE.topic]._checked_at = -1e9

    await held(world, worker, "sink-lost-memory")


async def test_clearing_the_finding_lets_a_new_start_go_on(world: World) -> None:
    """The operator filled the index and cleared the finding: exactly that evidence is accepted."""
    first = await world.start()
    world.change("c", 1, name="x", n=1)
    await first.deliver()
    await world.acknowledged(1)
    await first.die()
    world.double.core.state.indexes["things"].created_at = "2031-01-01T00:00:00Z"
    second = await world.worker("w2")
    await second.assign(2)
    await held(world, second, "sink-lost-memory")

    await world.state.clear_finding("sink-lost-memory", "things", by="test")
    await world.until(second.pipeline.health.ready, "the partition is prepared")
    end = world.change("c", 2, name="x", n=2) + 1
    await second.deliver()
    await world.acknowledged(end)


async def test_a_topic_made_anew_holds(world: World) -> None:
    """Another topic id, though the committed offset is in range (protocol 14)."""
    first = await world.start()
    world.change("c", 1, name="x", n=1)
    await first.deliver()
    await world.acknowledged(1)
    await first.die()
    world.log.ids[PLACE.topic] = "id-2"

    second = await world.worker("w2")
    await second.assign(2)

    await held(world, second, "log-replaced")


async def test_a_commit_below_the_logs_start_holds(world: World) -> None:
    """Retention removed events that were never read."""
    first = await world.start()
    world.change("c", 1, name="x", n=1)
    await first.deliver()
    await world.acknowledged(1)
    await first.die()
    for key in range(2, 6):
        world.change("c", key, name="x", n=key)
    world.log.starts[PLACE] = 3

    second = await world.worker("w2")
    await second.assign(2)

    await held(world, second, "log-replaced")


async def test_what_retention_took_and_an_operator_accepted_is_not_committed(world: World) -> None:
    """The worker starts again, and a commit without a bookmark would look like a lost state database then."""
    first = await world.start()
    world.change("c", 1, name="x", n=1)
    await first.deliver()
    await world.acknowledged(1)
    await first.die()
    for key in range(2, 6):
        end = world.change("c", key, name="x", n=key) + 1
    world.log.starts[PLACE] = 3
    second = await world.worker("w2")
    await second.assign(2)
    second.group.delivered[PLACE] = 3  # its consumer stands where the log begins
    await held(world, second, "log-replaced")

    await world.state.clear_finding("log-replaced", f"{PLACE.topic}:{PLACE.partition}", by="test: filled again")
    third = await world.started_again(second, "w3", 3)
    await third.deliver()
    await world.acknowledged(end)

    assert await world.state.findings() == []


async def test_a_first_start_begins_at_the_logs_start(world: World) -> None:
    """No commit and no bookmark: earliest, and the audit log says so once."""
    worker = await world.start()
    await world.until(worker.pipeline.health.ready, "the partition is prepared")
    assert (await world.state.bookmarks([PLACE]))[PLACE] == Bookmark(PLACE, "id-1", 0, {"things": 0})
    await worker.assign(2)
    await world.until(worker.pipeline.health.ready, "the partition is prepared again")
    assert [(entry.verb, entry.subject) for entry in await world.state.audit_log()] == [
        ("start at the log's start", f"{PLACE.topic}:{PLACE.partition}")
    ]


async def test_a_log_replaced_under_its_own_id_holds(world: World) -> None:
    """A restored broker: same topic id, offsets in range, other records. The last acknowledged one is read again."""
    first = await world.start()
    end = world.change("c", 1, name="x", n=1) + 1
    await first.deliver()
    await world.acknowledged(end)
    await first.die()
    [record] = world.log.partitions[PLACE]
    world.log.partitions[PLACE] = [replace(record, timestamp=record.timestamp + 1)]  # type: ignore[type-var]

    second = await world.worker("w2")
    await second.assign(2)
    await held(world, second, "log-replaced")


@pytest.mark.parametrize("topic_id", ["id-1", "id-2"], ids=["under its own id", "made anew"])
async def test_an_accepted_log_is_read_from_its_start(world: World, topic_id: str) -> None:
    """The group's old offset lies somewhere in the new log: whoever accepts the loss of the old one loses nothing of the new."""
    first = await world.start()
    for key in (1, 2):
        end = world.change("c", key, name="x", n=1) + 1
        await first.deliver()
    await world.acknowledged(end)
    await first.die()
    world.log.partitions[PLACE].clear()
    world.log.ids[PLACE.topic] = topic_id
    for key in (11, 12, 13):
        world.change("c", key, name="new", n=1)
    second = await world.worker("w2")
    await second.assign(2)
    await held(world, second, "log-replaced")

    await world.state.clear_finding("log-replaced", f"{PLACE.topic}:{PLACE.partition}", by="test: filled again")
    third = await world.started_again(second, "w3", 3)
    await third.deliver()
    await world.acknowledged(3)

    assert {"11", "12", "13"} <= set(world.documents())
    await third.die()
    fourth = await world.worker("w4")
    await fourth.assign(4)
    await world.until(fourth.pipeline.health.ready, "the next one goes on without a word")


async def test_nothing_of_a_log_that_is_gone_is_taken_for_the_new_ones(world: World) -> None:
    """Records were delivered, and while their partition was prepared the topic was made anew: its operator's yes is to the new
    one, whose records have their offsets."""
    first = await world.start()
    await world.until(first.pipeline.health.ready, "the bookmark of the old log is stored")
    await first.die()
    world.workers.remove(first)
    world.change("c", 1, name="of the log that is gone", n=1)
    second = await world.worker("w2")
    second.group.assign([PLACE], 2)
    chunk = second.group.fetch(PLACE)
    assert chunk is not None
    world.log.partitions[PLACE].clear()
    world.log.ids[PLACE.topic] = "id-2"
    world.change("c", 11, name="new", n=1)
    await second.pipeline.assigned(frozenset([PLACE]), 2)
    taking = asyncio.create_task(second.pipeline.take(chunk))
    await held(world, second, "log-replaced")

    await world.state.clear_finding("log-replaced", f"{PLACE.topic}:{PLACE.partition}", by="test: filled again")
    await asyncio.wait_for(second.pipeline.tasks.crashed.wait(), 10)
    taking.cancel()
    await second.die()
    world.workers.remove(second)
    third = await world.worker("w3")
    await third.assign(3)
    await third.deliver()
    await world.acknowledged(1)

    assert set(world.documents()) == {"11"}


async def test_a_commit_beyond_an_accepted_log_is_taken_back_before_anything_is_written(world: World) -> None:
    """Else a worker that dies between its bookmark and its commit leaves the old one, which the log has reached by then: the next
    owner would take it for a lost state database."""
    first = await world.start()
    for key in range(1, 6):
        end = world.change("c", key, name="x", n=1) + 1
    await first.deliver()
    await world.acknowledged(end)
    await first.die()
    world.log.partitions[PLACE].clear()
    world.log.ids[PLACE.topic] = "id-2"
    world.change("c", 11, name="new", n=1)
    second = await world.worker("w2")
    await second.assign(2)
    await held(world, second, "log-replaced")
    await world.state.clear_finding("log-replaced", f"{PLACE.topic}:{PLACE.partition}", by="test: filled again")
    await asyncio.wait_for(second.pipeline.tasks.crashed.wait(), 10)

    assert isinstance(second.pipeline.tasks.crash, StartAgain)
    assert world.log.offsets[PLACE] == 0
    assert (await world.state.bookmarks([PLACE]))[PLACE].next_offset == end


async def test_an_accepted_log_whose_start_passed_what_was_delivered_is_begun_again(world: World) -> None:
    """Retention went on while the operator thought: nothing is acknowledged that was not delivered, and it starts again."""
    first = await world.start()
    for key in (1, 2):
        end = world.change("c", key, name="x", n=1) + 1
    await first.deliver()
    await world.acknowledged(end)
    await first.die()
    world.log.partitions[PLACE].clear()
    world.log.ids[PLACE.topic] = "id-2"
    del world.log.offsets[PLACE]
    second = await world.worker("w2")
    await second.assign(2)
    world.log.offsets[PLACE] = end
    await held(world, second, "log-replaced")
    for key in (11, 12, 13):
        world.change("c", key, name="new", n=1)
    world.log.starts[PLACE] = 1
    await world.state.clear_finding("log-replaced", f"{PLACE.topic}:{PLACE.partition}", by="test: filled again")
    await asyncio.wait_for(second.pipeline.tasks.crashed.wait(), 10)

    assert isinstance(second.pipeline.tasks.crash, StartAgain)
    assert world.log.offsets[PLACE] == end


async def test_another_key_at_the_last_offset_holds(world: World) -> None:
    """Timestamps may repeat; the key is remembered as well, as a hash."""
    first = await world.start()
    end = world.change("c", 1, name="x", n=1) + 1
    await first.deliver()
    await world.acknowledged(end)
    await first.die()
    [record] = world.log.partitions[PLACE]
    world.log.partitions[PLACE] = [replace(record, key=b'{"id":2}')]  # type: ignore[type-var]

    second = await world.worker("w2")
    await second.assign(2)

    await held(world, second, "log-replaced")


async def test_the_last_record_is_remembered_over_a_generation_without_records(world: World) -> None:
    """A worker that takes over and reads nothing passes on what it was told."""
    first = await world.start()
    end = world.change("c", 1, name="x", n=1) + 1
    await first.deliver()
    await world.acknowledged(end)
    [record] = world.log.partitions[PLACE]
    assert (await world.state.bookmarks([PLACE]))[PLACE].tail == tail_of(record)
    await first.die()
    second = await world.worker("w2")
    await second.assign(2)
    await world.until(second.pipeline.health.ready, "the partition is prepared")
    await second.die()

    assert (await world.state.bookmarks([PLACE]))[PLACE].tail == tail_of(record)


async def test_a_grown_partition_count_leaves_a_finding(world: World) -> None:
    """Two changes of one document may now be in two partitions."""
    first = await world.start()
    world.change("c", 1, name="x", n=1)
    await first.deliver()
    await world.acknowledged(1)
    other = TopicPartition(PLACE.topic, 1)
    world.log.partitions[other] = []

    await first.assign(2, [PLACE, other])
    await world.until(first.pipeline.health.ready, "the partitions are prepared")

    await world.found("partition-count-changed")


async def test_partitions_that_come_one_after_the_other_at_a_first_start_are_no_growth(world: World) -> None:
    """The first bookmark of a topic is stored while its other partitions are still being prepared."""
    first = asyncio.Event()
    real, saved = world.log.committed, world.state.save_progress

    async def committed(partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        if PLACE not in partitions:
            await first.wait()
        return await real(partitions)

    async def save_progress(bookmarks: Collection[Bookmark], indexes: Collection[IndexRecord]) -> None:
        await saved(bookmarks, indexes)
        first.set()

    world.log.committed = committed  # type: ignore[method-assign]
    world.state.save_progress = save_progress  # type: ignore[method-assign]
    worker = await world.start(partitions=2)
    await world.until(worker.pipeline.health.ready, "the partitions are prepared")

    assert await world.state.findings() == []


async def test_a_server_that_gives_an_accepted_tasks_uid_to_our_next_one_is_noticed(world: World) -> None:
    """It died before the first task reached its disk; nobody would ever settle the first flush, and nothing would say so."""
    worker = await world.start()
    first = world.change("c", 1, name="x", n=1)
    await worker.deliver()
    await world.acknowledged(first + 1)
    await world.double.wait_idle()
    world.double.pause()
    real, answers, count = worker.sinks[0].tasks, asyncio.Event(), len(world.tasks())

    async def tasks(uids: Collection[TaskUid]) -> Mapping[TaskUid, Task]:
        await answers.wait()
        return await real(uids)

    worker.sinks[0].tasks = tasks  # type: ignore[method-assign]
    world.change("c", 2, name="x", n=2)
    await worker.deliver()
    await world.until(lambda: len(world.tasks()) > count, "the second task is accepted")
    state = world.double.core.state
    uid = max(state.tasks)
    del state.tasks[uid]
    state.next_task = uid
    world.change("c", 3, name="x", n=3)
    await worker.deliver()
    await world.until(lambda: uid in state.tasks, "its uid is given again")
    answers.set()
    world.double.resume()

    await held(world, worker, "sink-lost-memory")


async def test_a_history_that_was_deleted_or_pruned_is_no_restored_server(world: World) -> None:
    """Nothing is left that knows the applied task, and nothing says that it was not applied."""
    worker = await world.start()
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)
    await world.double.wait_idle()
    world.double.prune_tasks(world.double.core.state.tasks)
    await worker.die()
    second = await world.worker("w2")
    await second.assign(2)
    end = world.change("u", 1, name="y", n=2) + 1
    await second.deliver()
    await world.acknowledged(end)

    assert await world.state.findings() == []
    assert world.documents()["1"]["name"] == "y"


async def test_a_foreign_write_leaves_a_finding(world: World) -> None:
    """Somebody else writes to the index: nothing stops, but it is said."""
    worker = await world.start()
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)
    await worker.sinks[0].write("things", b'{"id":5}', metadata="")

    await world.found("foreign-write")
