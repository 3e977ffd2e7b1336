"""What earlier owners left behind when a partition changes hands: their writes, their commits, their clears."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

import orjson

from sync_worker.batch.metadata import WriteMetadata
from sync_worker.change.model import TopicPartition
from sync_worker.change.unavailable import PLACEHOLDER
from sync_worker.errors import StartAgain
from sync_worker.ports import Bookmark

from .world import PLACE, TABLE, Worker, World

OTHER = TopicPartition(PLACE.topic, 1)


async def write_late(
    worker: Worker, ranges: dict[TopicPartition, tuple[int, int]], *, generation: int = 0, **row: object
) -> None:
    metadata = WriteMetadata("write", "group", "zombie", generation, "late", ranges).encode()
    await worker.sinks[0].write("things", orjson.dumps(row), metadata=metadata)


async def slowly(worker: Worker) -> None:
    """One record at a time, with time for the pipeline between them."""
    while (chunk := worker.group.fetch(PLACE, 1)) is not None:
        await worker.pipeline.take(chunk)
        await asyncio.sleep(0.02)


async def versions_seen(world: World, worker: Worker, end: int) -> list[int]:
    """The versions of document 1 that became visible while `worker` read up to `end`."""
    seen: list[int] = []

    def look(_tasks: object) -> None:
        seen.append(world.documents()["1"]["n"])

    world.double.core.batch_fault = look
    await slowly(worker)
    await world.acknowledged(end)
    seen.append(world.documents()["1"]["n"])
    return seen


async def test_a_replay_of_unacknowledged_writes_shows_nothing_older(world: World) -> None:
    """Killed before anything was stored: the index's tasks say how far the earlier owner wrote (protocol 7)."""
    first = await world.start()
    await world.written_and_never_stored(first, 5)

    second = await world.worker("w2")
    await second.assign(2)

    assert set(await versions_seen(world, second, 5)) == {5}


async def test_a_replay_after_the_history_was_deleted_shows_nothing_older(world: World) -> None:
    """No task says any more how far the earlier owner wrote: all that is in the log is taken for written (protocol 7)."""
    first = await world.start()
    await world.written_and_never_stored(first, 5)
    await world.double.wait_idle()
    world.double.prune_tasks(world.double.core.state.tasks)

    second = await world.worker("w2")
    await second.assign(2)

    assert set(await versions_seen(world, second, 5)) == {5}


async def test_one_bookmark_is_read_for_all_that_is_decided(world: World) -> None:
    """An earlier owner that stalled may store its bookmark while the next one prepares: it is the old one or the new one, never
    half of each."""
    worker = await world.start()
    await world.until(worker.pipeline.health.ready, "the partition is prepared")
    real, reads = world.state.bookmarks, []

    async def bookmarks(partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Bookmark]:
        reads.append(partitions)
        return await real(partitions)

    world.state.bookmarks = bookmarks  # type: ignore[method-assign]
    await worker.assign(2)
    await world.until(worker.pipeline.health.ready, "the partition is prepared again")

    assert reads == [[PLACE]]


async def test_a_replay_waits_for_what_is_delivered_and_not_taken_yet(world: World) -> None:
    """The group has nothing left to deliver, and the last piece of the replay is still on its way into the lane."""
    first = await world.start()
    await world.until(first.pipeline.health.ready, "the partition is prepared")
    for version in range(1, 6):
        world.change("u", 1, name="x", n=version)
    first.group.acknowledge = lambda *_: None  # type: ignore[method-assign]
    await first.deliver()
    await world.until(lambda: world.documents().get("1", {}).get("n") == 5, "all is applied")
    await first.die()
    second = await world.worker("w2")
    await second.assign(2)
    await world.until(second.pipeline.health.ready, "the partition is prepared")
    beginning, rest = second.group.fetch(PLACE, 2), second.group.fetch(PLACE)
    assert beginning is not None
    assert rest is not None

    async with second.pipeline._partitions[PLACE].lock:
        taken = [asyncio.ensure_future(second.pipeline.take(chunk)) for chunk in (beginning, rest)]
        await asyncio.sleep(0)
        await second.pipeline._tick(PLACE.topic)
        waits = bool(second.pipeline._lanes["things"].replay_until)
    await asyncio.gather(*taken)

    assert waits


async def test_a_replay_of_a_commit_that_was_lost_shows_nothing_older(world: World) -> None:
    """Killed between the bookmark and the commit: what the bookmark calls acknowledged was written, too (protocol 7)."""
    first = await world.start()
    first.group.acknowledge = lambda *_: None  # type: ignore[method-assign]
    for version in range(1, 6):
        world.change("u", 1, name="x", n=version)
        await first.deliver()
        await world.until(lambda v=version: world.documents().get("1", {}).get("n") == v, f"version {version}")  # type: ignore[misc]
    await world.until(lambda: first.pipeline._partitions[PLACE].saved == 5, "the bookmark is stored")
    await first.die()

    second = await world.worker("w2")
    await second.assign(2)

    assert set(await versions_seen(world, second, 5)) == {5}


async def test_a_gate_whose_end_cannot_be_reached_does_not_wait_for_ever(world: World) -> None:
    """The last record that was written is gone (compacted, or a transaction's marker lies there): the end of the log counts."""
    first = await world.start()
    first.group.acknowledge = lambda *_: None  # type: ignore[method-assign]
    for key in (1, 2, 1):
        world.change("u", key, name="x", n=key)
    await first.deliver()
    await world.until(lambda: len(world.documents()) == 2, "both are written")
    await first.die()
    gone = world.log.partitions[PLACE].pop()
    assert gone.offset == 2

    second = await world.worker("w2")
    await second.assign(2)
    await second.deliver()

    await world.acknowledged(2)


async def test_a_zombies_clear_between_two_owners_holds(world: World) -> None:
    """A clear of an older generation, behind the last look of the owner before: a sink that lost its memory (protocol 5)."""
    first = await world.start()
    end = world.change("c", 1, name="x", n=1) + 1
    await first.deliver()
    await world.acknowledged(end)
    await first.die()
    second = await world.worker("w2")
    metadata = WriteMetadata("clear", "group", "zombie", 0, "late", {PLACE: (0, 0)}).encode()
    await second.sinks[0].clear("things", metadata=metadata)
    await world.double.wait_idle()
    await second.assign(2)

    await world.found("sink-lost-memory")
    assert second.pipeline.tasks.crash is None
    assert not second.pipeline.health.ready()

    await world.state.clear_finding("sink-lost-memory", "things", by="test: filled again")
    await world.until(second.pipeline.health.ready, "the partition is prepared")
    end = world.change("c", 2, name="x", n=2) + 1
    await second.deliver()
    await world.acknowledged(end)


async def test_a_zombies_clear_that_was_dealt_with_is_asked_about_once(world: World) -> None:
    """Found while owning; the operator fills the index and clears the finding: the next start goes on."""
    first = await world.start()
    end = world.change("c", 1, name="x", n=1) + 1
    await first.deliver()
    await world.acknowledged(end)
    metadata = WriteMetadata("clear", "group", "zombie", 0, "late", {PLACE: (0, 0)}).encode()
    await first.sinks[0].clear("things", metadata=metadata)
    await world.found("sink-lost-memory")
    await world.state.clear_finding("sink-lost-memory", "things", by="test: filled again")
    await asyncio.wait_for(first.pipeline.tasks.crashed.wait(), 10)
    await first.die()
    world.workers.remove(first)

    second = await world.worker("w2")
    await second.assign(2)
    await world.until(second.pipeline.health.ready, "the partition is prepared")
    end = world.change("c", 2, name="x", n=2) + 1
    await second.deliver()
    await world.acknowledged(end)


async def test_a_late_write_is_seen_though_the_partitions_were_prepared_one_after_the_other(world: World) -> None:
    """It lands after one partition's look at the tasks and before its neighbour's: it must not fall between the two."""
    first = await world.start(partitions=2)
    world.change("c", 1, name="old", n=1)
    end = world.change("u", 1, name="new", n=2) + 1
    await first.deliver()
    await world.acknowledged(end)
    await first.die()

    second = await world.worker("w2")
    prepare = second.pipeline._preparation.prepare

    async def one_after_the_other(partition: TopicPartition, indexes: object, *, partitions: int) -> object:
        prepared = await prepare(partition, indexes, partitions=partitions)  # type: ignore[arg-type]
        if partition == PLACE:
            await write_late(second, {PLACE: (0, 0)}, id=1, name="old", n=1)
            await world.until(lambda: second.pipeline._partitions[OTHER].active, "the neighbour is prepared")
        else:
            await world.until(lambda: world.documents()["1"]["name"] == "old", "the late write is applied")
            prepared = await prepare(partition, indexes, partitions=partitions)  # type: ignore[arg-type]
        return prepared

    second.pipeline._preparation.prepare = one_after_the_other  # type: ignore[method-assign,assignment]
    await second.assign(2, [PLACE, OTHER])

    await world.until(lambda: world.documents()["1"]["name"] == "new", "the late write is undone")


async def test_a_late_write_below_the_logs_start_leaves_a_finding(world: World) -> None:
    """What it covered can't be read again in full: what can be is undone, and the rest is said."""
    worker = await world.start()
    world.change("c", 1, name="old", n=1)
    world.change("c", 2, name="old", n=1)
    world.change("u", 2, name="new", n=2)
    end = world.change("u", 1, name="new", n=2) + 1
    await worker.deliver()
    await world.acknowledged(end)
    world.log.starts[PLACE] = 2

    await write_late(worker, {PLACE: (0, 1)}, id=2, name="old", n=1)

    await world.found("late-write-not-undone")


async def test_the_watermark_waits_until_the_late_write_is_undone(world: World) -> None:
    """Killed between the sighting and the repair: the next owner must see the late write again (protocol 5)."""
    first = await world.start()
    world.change("c", 1, name="old", n=1)
    end = world.change("u", 1, name="new", n=2) + 1
    await first.deliver()
    await world.acknowledged(end)
    await write_late(first, {PLACE: (0, 0)}, id=1, name="old", n=1)
    await world.double.wait_idle()
    world.double.pause()
    await world.until(lambda: first.numbers.total("late_writes_mended") == 1, "it is on its way to be undone")
    late_uid = next(t.uid for t in world.tasks() if "zombie" in (t.custom_metadata or ""))
    first.pipeline._partitions[PLACE].saved = -1
    await first.pipeline._tick(PLACE.topic)

    assert (await world.state.bookmarks([PLACE]))[PLACE].scanned["things"] < late_uid
    await first.die()
    world.double.resume()


async def test_what_was_fetched_below_the_start_is_not_written(world: World) -> None:
    """Retention takes a record between its fetch and the preparation: its write would cover no offset, and be nobody's."""
    worker = await world.start()
    await world.until(worker.pipeline.health.ready, "the partition is prepared")
    world.change("c", 1, name="x", n=1)
    worker.group.assign([PLACE], 2)
    chunk = worker.group.fetch(PLACE)
    assert chunk is not None
    world.log.starts[PLACE] = 1
    world.log.partitions[PLACE].clear()
    await worker.pipeline.assigned(frozenset({PLACE}), 2)
    await world.found("log-replaced")
    await world.state.clear_finding("log-replaced", f"{PLACE.topic}:0", by="somebody")
    taking = asyncio.ensure_future(worker.pipeline.take(chunk))
    await asyncio.wait_for(worker.pipeline.tasks.crashed.wait(), 10)

    assert isinstance(worker.pipeline.tasks.crash, StartAgain)
    assert world.tasks() == []
    taking.cancel()


async def test_a_change_that_fails_when_it_is_read_again_shows_nothing_older(world: World) -> None:
    """It lacked a column, was applied with the row of the source, and that row can become no document by now. Its failure is the
    newest that is known of the document; what is older was shown before."""
    first = await world.start()
    world.change("c", 1, name="x", n=1)
    world.change("u", 1, name=PLACEHOLDER, n=2)
    world.source.tables[TABLE][(1,)]["name"] = "x"
    await slowly(first)
    await world.until(lambda: world.documents().get("1", {}).get("n") == 2, "the second version")
    await world.acknowledged(2)
    await first.die()
    world.log.offsets.clear()
    world.source.tables[TABLE][(1,)]["n"] = "no number"

    second = await world.worker("w2")
    await second.assign(2)

    assert set(await versions_seen(world, second, 2)) == {2}
    assert [status for _, _, status in await world.failures()] == ["open"]
