"""A TRUNCATE is a barrier: it clears in its place among the changes (protocol 9)."""

from __future__ import annotations

import asyncio

from sync_worker.change.model import TopicPartition

from .world import PLACE, World


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
