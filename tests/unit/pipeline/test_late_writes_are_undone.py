"""What a zombie or a lost request writes is found in the index's tasks and undone (protocol 5 to 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from sync_worker.batch.metadata import WriteMetadata, parse_metadata
from sync_worker.batch.pace import Limits
from sync_worker.change.model import TopicPartition
from sync_worker.testing.meilisearch.errors import ApiError
from sync_worker.testing.meilisearch.tasks import Deletion

from .world import PLACE, Worker, World


async def late(
    worker: Worker, generation: int, low: int, high: int, *, run: str = "zombie", kind: str = "write", **row: object
) -> None:
    """A write that some earlier owner had on its way."""
    metadata = WriteMetadata(kind, "group", run, generation, "late", {PLACE: (low, high)}).encode()
    if kind == "clear":
        await worker.sinks[0].clear("things", metadata=metadata)
    else:
        await worker.sinks[0].write("things", orjson.dumps(row), metadata=metadata)


async def test_a_zombies_write_is_undone(world: World) -> None:
    """An older generation writes old over new, long after the new owner acknowledged: the newest comes back."""
    first = await world.start()
    world.change("c", 1, name="old", n=1)
    world.change("c", 2, name="other", n=1)
    await first.deliver()
    await world.acknowledged(2)
    await first.die()
    second = await world.worker("w2")
    await second.assign(2)
    end = world.change("u", 1, name="new", n=2) + 1
    await second.deliver()
    await world.acknowledged(end)
    assert world.documents()["1"]["name"] == "new"

    await late(second, 1, 0, 1, id=1, name="old", n=1)
    await world.until(lambda: world.documents()["1"]["name"] == "old", "the zombie's write is applied")

    await world.until(lambda: world.documents()["1"]["name"] == "new", "the zombie's write is undone")
    assert second.numbers.total("late_writes_mended") == 1


async def test_a_lost_request_that_lands_late_is_undone(world: World) -> None:
    """One of ours whose uid we never received."""
    worker = await world.start()
    world.change("c", 1, name="old", n=1)
    end = world.change("u", 1, name="new", n=2) + 1
    await worker.deliver()
    await world.acknowledged(end)

    await late(worker, 1, 0, 0, run="w1", id=1, name="old", n=1)

    await world.until(lambda: worker.numbers.total("late_writes_mended") == 1, "it is noticed")
    await world.until(lambda: world.documents()["1"]["name"] == "new", "it is undone")


async def test_a_late_write_between_two_owners_is_undone(world: World) -> None:
    """It lands after the old owner's last look and before the new owner's first: the stored watermark shows it."""
    first = await world.start()
    world.change("c", 1, name="old", n=1)
    end = world.change("u", 1, name="new", n=2) + 1
    await first.deliver()
    await world.acknowledged(end)
    await first.die()

    second = await world.worker("w2")
    await late(second, 0, 0, 0, id=1, name="old", n=1)
    await world.double.wait_idle()
    assert world.documents()["1"]["name"] == "old"
    await second.assign(2)

    await world.until(lambda: world.documents()["1"]["name"] == "new", "it is undone")


async def test_a_deleted_row_does_not_come_back_by_a_late_write(world: World) -> None:
    """A document that the source no longer has does not come back (invariant 3)."""
    worker = await world.start()
    world.change("c", 1, name="x", n=1)
    end = world.change("d", 1) + 1
    await worker.deliver()
    await world.acknowledged(end)

    await late(worker, 0, 0, 0, id=1, name="x", n=1)
    await world.until(lambda: worker.numbers.total("late_writes_mended") == 1, "it is noticed")

    await world.until(lambda: world.documents() == {}, "it is undone")


async def test_a_late_clear_holds(world: World) -> None:
    """A clear that is not ours emptied the index: hold and say what to do."""
    worker = await world.start()
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)

    await late(worker, 0, 0, 0, kind="clear")

    await world.until(
        lambda: any(hold.kind == "sink-lost-memory" for hold in worker.pipeline.health.holds()), "the hold is on display"
    )


async def test_a_late_clear_of_a_truncate_is_undone(world: World) -> None:
    """A zombie's clear takes what was written since its TRUNCATE: that comes back, and nothing of what the TRUNCATE removed."""
    worker = await world.start()
    world.change("c", 1, name="removed by the TRUNCATE", n=1)
    truncated = world.truncate()
    world.change("c", 2, name="old", n=1)
    world.change("c", 3, name="deleted later", n=1)
    world.change("u", 2, name="new", n=2)
    end = world.change("d", 3) + 1
    await worker.deliver()
    await world.acknowledged(end)

    await late(worker, 0, truncated, truncated, kind="clear")
    await world.until(lambda: not world.documents(), "the late clear is applied")

    await world.until(lambda: world.documents(), "it is undone")
    assert {key: document["name"] for key, document in world.documents().items()} == {"2": "new"}
    assert await world.state.findings() == []
    end = world.change("c", 4, name="goes on", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)


async def test_a_late_clear_between_two_owners_is_undone(world: World) -> None:
    """It landed while nobody owned the partition: the next owner restores what it took, acknowledged long ago."""
    first = await world.start()
    truncated = world.truncate()
    end = world.change("c", 2, name="kept", n=1) + 1
    await first.deliver()
    await world.acknowledged(end)
    await first.die()
    second = await world.worker("w2")
    await late(second, 1, truncated, truncated, kind="clear")
    await world.until(lambda: not world.documents(), "the late clear is applied")

    await second.assign(2)

    await world.until(lambda: set(world.documents()) == {"2"}, "it is undone")
    assert await world.state.findings() == []


async def test_a_late_clear_over_several_partitions_holds(world: World) -> None:
    """It took documents of other partitions too, and their log is somebody else's to read."""
    worker = await world.start(partitions=2)
    truncated = world.truncate()
    end = world.change("c", 2, name="kept", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)

    await late(worker, 0, truncated, truncated, kind="clear")

    await world.found("sink-lost-memory")


async def test_a_late_clear_that_took_more_than_memory_holds_asks_for_a_fill(world: World) -> None:
    """Memory stays bounded: what can't be kept is not restored piecemeal, and somebody is told."""
    worker = await world.worker_with(limits=Limits(in_flight_bytes=4_000))
    truncated = world.truncate()
    for key in range(20):
        end = world.change("c", key, name="x", n=1) + 1
        await worker.deliver()
    await world.acknowledged(end)

    await late(worker, 0, truncated, truncated, kind="clear")

    await world.found("sink-lost-memory")


async def test_a_replay_shows_nothing_older(world: World) -> None:
    """After a restart everything that earlier owners wrote goes into one coalesced flush (protocol 7)."""
    first = await world.start()
    world.change("c", 1, name="v1", n=1)
    await first.deliver()
    await world.acknowledged(1)
    first.group.acknowledge = lambda *_: None  # type: ignore[method-assign]
    for version in range(2, 8):
        world.change("u", 1, name=f"v{version}", n=version)
        await first.deliver()
        await world.until(lambda v=version: world.documents()["1"]["n"] == v, f"version {version}")  # type: ignore[misc]
    await first.die()
    seen: list[int] = []
    world.double.core.batch_fault = lambda _tasks: seen.append(world.documents()["1"]["n"])

    second = await world.worker("w2")
    await second.assign(2)
    await second.deliver(most=1)
    await world.acknowledged(7)

    assert seen == [7]
    assert world.documents()["1"]["n"] == 7


async def test_a_worker_that_lost_its_partition_writes_nothing(world: World) -> None:
    """The generation is checked right before a write; what was taken is dropped, not acknowledged."""
    first = await world.start()
    first.group.owned = {}
    world.change("c", 1, name="x", n=1)
    chunk_source = first.group
    chunk_source.owned = {PLACE: 1}
    chunk = chunk_source.fetch(PLACE)
    assert chunk is not None
    chunk_source.owned = {PLACE: 2}
    await first.pipeline.take(chunk)
    await world.until(lambda: first.pipeline._lanes["things"].quiet, "the lane gave it up")

    assert world.tasks() == []
    assert world.log.offsets.get(PLACE, 0) == 0


async def test_a_neighbours_write_in_the_same_generation_is_not_late(world: World) -> None:
    """Two workers share a topic of two partitions: neither undoes what the other writes."""
    worker = await world.start(partitions=2)
    other = TopicPartition(PLACE.topic, 1)
    await worker.assign(3, [PLACE])
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)
    metadata = WriteMetadata("write", "group", "w2", 3, "n", {other: (0, 0)}).encode()
    await worker.sinks[0].write("things", orjson.dumps({"id": 2}), metadata=metadata)
    await world.double.wait_idle()
    for _ in range(3):
        worker.pipeline._keepers[PLACE.topic]._checked_at = -1e9
        await worker.pipeline._tick(PLACE.topic)

    assert worker.numbers.total("late_writes_found") == 0


async def test_a_late_write_over_several_partitions_is_undone_on_each(world: World) -> None:
    """One task may carry documents of every partition that its worker owned."""
    worker = await world.start(partitions=2)
    other = TopicPartition(PLACE.topic, 1)
    for key, place in ((1, PLACE), (2, other)):
        world.change("c", key, place=place, name="old", n=1)
        end = world.change("u", key, place=place, name="new", n=2) + 1
        await worker.deliver(place)
        await world.acknowledged(end, place)

    metadata = WriteMetadata("write", "group", "zombie", 0, "late", {PLACE: (0, 0), other: (0, 0)}).encode()
    lines = b"\n".join(orjson.dumps({"id": key, "name": "old", "n": 1}) for key in (1, 2))
    await worker.sinks[0].write("things", lines, metadata=metadata)
    await world.until(lambda: worker.numbers.total("late_writes_mended") == 2, "it is noticed for both")

    await world.until(lambda: {row["name"] for row in world.documents().values()} == {"new"}, "it is undone on both")


async def test_a_late_write_of_a_change_that_lacks_columns_is_undone(world: World) -> None:
    """The only change of a document in the late write's range lacks an unchanged column, and a later one does not: the document
    counts as written nevertheless."""
    worker = await world.start()
    world.change("c", 1, name="old", n=1)
    await worker.deliver()
    world.change("u", 1, name="__debezium_unavailable_value", n=2)
    await worker.deliver()
    end = world.change("u", 1, name="new", n=3) + 1
    await worker.deliver()
    await world.acknowledged(end)
    assert world.documents()["1"]["n"] == 3

    await late(worker, 0, 1, 1, id=1, name="old", n=2)
    await world.until(lambda: world.documents()["1"]["n"] == 2, "the late write is applied")

    await world.until(lambda: world.documents()["1"]["n"] == 3, "it is undone")


async def removed_again(world: World, worker: Worker) -> str:
    """A row that a TRUNCATE removed came back by a late write and was deleted once more; the metadata of that deletion."""
    world.change("c", 1, name="old", n=1)
    end = world.truncate() + 1
    await worker.deliver()
    await world.acknowledged(end)
    await late(worker, 0, 0, 0, id=1, name="old", n=1)
    await world.until(lambda: worker.numbers.total("late_writes_mended") == 1, "the late write is noticed")

    def deletions() -> list[str]:
        tasks = [task for task in world.tasks() if isinstance(task.content, Deletion) and task.status == "succeeded"]
        return [task.custom_metadata for task in tasks]

    await world.until(deletions, "it is undone")
    assert not world.documents()
    return deletions()[-1]


async def comes_once_more(world: World, worker: Worker, metadata: str) -> None:
    """A request like this one had been given up, and arrives when the row is there again."""
    end = world.change("c", 1, name="new", n=2) + 1
    await worker.deliver()
    await world.acknowledged(end)
    assert set(world.documents()) == {"1"}
    given_up = parse_metadata(metadata)
    assert given_up is not None
    await worker.sinks[0].delete("things", ["1"], metadata=replace(given_up, nonce="given up").encode())
    await world.until(lambda: not world.documents(), "the late deletion is applied")


async def test_what_undoes_a_late_write_of_before_a_truncate_can_itself_be_late(world: World) -> None:
    """The TRUNCATE's offset names no document, so the deletion covers the change that the late write brought back as well."""
    worker = await world.start()
    await comes_once_more(world, worker, await removed_again(world, worker))

    await world.until(lambda: set(world.documents()) == {"1"}, "it is undone")


async def test_what_undoes_a_late_write_can_be_late_after_an_isolation(world: World) -> None:
    """The same where the deletion failed with others first and was sent again."""
    worker = await world.start()
    failed: list[object] = []

    def once(tasks: Sequence[Any]) -> ApiError | None:
        ids = {name for task in tasks if isinstance(task.content, Deletion) for name in task.content.ids}
        if "1" not in ids or failed:
            return None
        failed.extend(tasks)
        return ApiError("internal", "internal: something is wrong.")

    world.double.core.batch_fault = once
    metadata = await removed_again(world, worker)
    assert failed
    await comes_once_more(world, worker, metadata)

    await world.until(lambda: set(world.documents()) == {"1"}, "it is undone")
