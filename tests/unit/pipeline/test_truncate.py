"""A TRUNCATE is a barrier: it clears in its place among the changes (protocol 9)."""

from __future__ import annotations

import asyncio

import pytest

from sync_worker.batch.metadata import WriteMetadata
from sync_worker.batch.pace import Limits
from sync_worker.change.model import TopicPartition

from .world import PLACE, Worker, World


async def test_it_clears_in_order(world: World) -> None:
    """What came before is gone, what came after is there."""
    worker = await world.start()
    world.change("c", 1, name="before", n=1)
    await worker.deliver()
    await world.until(lambda: world.documents(), "the first document")
    world.change("c", 2, name="before", n=2)
    world.truncate()
    end = world.change("c", 3, name="after", n=3) + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert list(world.documents()) == ["3"]


async def test_isolation_brings_nothing_back_from_before_a_clear(world: World) -> None:
    """A flush that failed before the clear is not resubmitted after it (a clear contains every document)."""
    worker = await world.start()
    world.poison("1")
    world.double.pause()
    world.change("c", 1, name="bad", n=1)
    world.change("c", 2, name="before", n=2)
    await worker.deliver()
    await world.until(lambda: len(world.tasks()) == 1, "the first flush is accepted")
    end = world.truncate() + 1
    await worker.deliver()
    world.double.resume()
    await world.acknowledged(end)

    assert world.documents() == {}


async def test_it_closes_older_failures(world: World) -> None:
    """Their documents are gone from the source."""
    worker = await world.start()
    world.change("c", 1, name="x", n="bad")
    end = world.truncate() + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert await world.failures() == [("1", "value_misfit", "superseded")]


async def test_over_several_partitions_it_leaves_a_finding(world: World) -> None:
    """Its place among the partitions is unknown; the finding is stored before the event is acknowledged."""
    worker = await world.start(partitions=2)
    end = world.truncate() + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert [finding.kind for finding in await world.state.findings()] == ["truncate-over-partitions"]


async def test_a_fill_that_began_before_the_clear_does_not_answer_for_it(world: World) -> None:
    """Protocol rule 9: what the clear takes from the other partitions comes back only with a fill that began after it."""
    worker = await world.start(partitions=2)
    world.double.pause()
    end = world.truncate() + 1
    await worker.deliver()
    assert await world.state.clear_finding("truncate-over-partitions", "things", by="a fill of before the clear")
    world.double.resume()
    await world.acknowledged(end)

    assert [finding.kind for finding in await world.state.findings()] == ["truncate-over-partitions"]


async def test_ignore_leaves_the_index(world: World) -> None:
    """`truncate = "ignore"` is for tables that are refilled."""
    world.declare(truncate="ignore")
    worker = await world.start()
    world.change("c", 1, name="x", n=1)
    end = world.truncate() + 1
    await worker.deliver()
    await world.acknowledged(end)
    assert list(world.documents()) == ["1"]


async def test_hold_waits_for_an_operator(world: World) -> None:
    """`truncate = "hold"` clears only after somebody said so."""
    world.declare(truncate="hold")
    worker = await world.start()
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)
    end = world.truncate() + 1
    task = asyncio.ensure_future(worker.deliver())
    await world.until(lambda: any(hold.kind == "truncate" for hold in worker.pipeline.health.holds()), "the hold is on display")
    assert list(world.documents()) == ["1"]
    assert world.log.offsets[PLACE] < end

    await world.state.clear_finding("truncate", "things", by="test")
    await task
    await world.acknowledged(end)
    assert world.documents() == {}
    assert TopicPartition(*PLACE) in world.log.offsets


async def _applied_and_not_acknowledged(world: World, *, name: str = "before") -> None:
    """An owner that died after its clear and what came behind it were applied."""
    first = await world.start()
    first.group.acknowledge = lambda *_: None  # type: ignore[method-assign]
    world.change("c", 1, name=name, n=1)
    await first.deliver()
    await world.until(lambda: world.documents(), "the first document")
    world.truncate()
    world.change("c", 2, name="after", n=2)
    await first.deliver()
    await world.until(lambda: list(world.documents()) == ["2"], "the clear and what came behind it")
    await first.die()


async def _next_owner(world: World, **overrides: object) -> Worker:
    second = await world.worker("w2", **overrides)
    await second.assign(2)
    await second.pipeline._partitions[PLACE].ready.wait()
    return second


async def _seen_by(second: Worker, world: World, *, most: int = 1_000_000) -> list[list[str]]:
    """The index before each of its batches, and at the end."""
    seen: list[list[str]] = []
    world.double.core.batch_fault = lambda _tasks: seen.append(sorted(world.documents()))
    end = world.change("c", 3, name="new", n=3) + 1
    await second.deliver(most=most)
    await world.acknowledged(end)
    return [*seen, sorted(world.documents())]


async def test_a_truncate_that_is_read_again_takes_nothing_away(world: World) -> None:
    """After a crash it would clear what is rightly there, and bring it back a moment later."""
    await _applied_and_not_acknowledged(world)
    seen = await _seen_by(await _next_owner(world), world)
    assert seen[-1] == ["2", "3"]
    assert all("2" in documents for documents in seen), seen


@pytest.mark.parametrize("prepared", [False, True])
async def test_a_truncate_that_is_read_again_clears_what_came_late(world: World, *, prepared: bool) -> None:
    """A write of before it landed behind its clear, before the next owner looked or while it owns the partition."""
    await _applied_and_not_acknowledged(world)
    second = await _next_owner(world) if prepared else None
    metadata = WriteMetadata("write", "group", "zombie", 0, "late", {PLACE: (0, 0)}).encode()
    sink = (await world.worker("zombie")).sinks[0]
    await sink.write("things", b'{"id":1,"name":"before","n":1}', metadata=metadata)
    await world.until(lambda: len(world.documents()) == 2, "the late write")
    if second is not None:
        await world.until(lambda: second.numbers.total("late_writes_found"), "the late write is found")
    assert (await _seen_by(second or await _next_owner(world), world))[-1] == ["2", "3"]


async def test_a_truncate_that_is_read_again_clears_what_the_replay_itself_brought_back(world: World) -> None:
    """A replay that is too large for the memory goes out in parts: the first one writes what is of before the TRUNCATE."""
    await _applied_and_not_acknowledged(world, name="before" * 500)
    second = await _next_owner(world, limits=Limits(in_flight_bytes=4_000))
    seen = await _seen_by(second, world, most=1)
    assert ["1", "2"] in seen, "the replay went out whole"
    assert seen[-1] == ["2", "3"]
