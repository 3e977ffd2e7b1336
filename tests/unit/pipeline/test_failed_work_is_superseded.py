"""An open failure is history once a later change of the same document is applied, and not before (protocol 2)."""

from __future__ import annotations

import asyncio

from sync_worker.errors import StateUnavailable

from .world import PLACE, World


async def test_a_later_change_supersedes(world: World) -> None:
    """The failure is marked before the superseding change is acknowledged."""
    worker = await world.start()
    world.change("c", 1, name="x", n="bad")
    end = world.change("u", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert await world.failures() == [("1", "value_misfit", "superseded")]


async def test_an_older_change_supersedes_nothing(world: World) -> None:
    """A change that came before the failure is applied after it was recorded."""
    worker = await world.start()
    world.double.pause()
    world.change("c", 1, name="x", n=1)
    end = world.change("u", 1, name="x", n="bad") + 1
    await worker.deliver()
    world.double.resume()
    await world.acknowledged(end)

    assert await world.failures() == [("1", "value_misfit", "open")]
    assert world.documents()["1"]["n"] == 1


async def test_the_acknowledgement_waits_for_the_mark(world: World) -> None:
    """While the state database can't store the mark, the superseding change stays unacknowledged."""
    worker = await world.start()
    first = world.change("c", 1, name="x", n="bad") + 1
    await worker.deliver()
    await world.acknowledged(first)
    real = world.state.supersede

    async def fails(*_: object) -> int:
        raise StateUnavailable("the state database is away")

    world.state.supersede = fails  # type: ignore[method-assign,assignment]
    end = world.change("u", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.until(lambda: worker.pipeline.health.holds(), "the hold is on display")
    assert world.documents()["1"]["n"] == 1
    for _ in range(3):
        await worker.pipeline._tick(PLACE.topic)
    assert world.log.offsets[PLACE] == first

    world.state.supersede = real  # type: ignore[method-assign]
    await world.acknowledged(end)
    assert await world.failures() == [("1", "value_misfit", "superseded")]


async def test_open_failures_are_known_after_a_restart(world: World) -> None:
    """They are loaded at the assignment, before anything is written."""
    first = await world.start()
    end = world.change("c", 1, name="x", n="bad") + 1
    await first.deliver()
    await world.acknowledged(end)
    await first.die()

    second = await world.worker("w2")
    await second.assign(2)
    end = world.change("u", 1, name="x", n=1) + 1
    await second.deliver()
    await world.acknowledged(end)

    assert await world.failures() == [("1", "value_misfit", "superseded")]


async def test_a_replayed_failure_is_the_same_failure(world: World) -> None:
    """A range that is read twice after a crash leaves one row and one dead letter."""
    first = await world.start()
    first.group.acknowledge = lambda *_: None  # type: ignore[method-assign]
    world.change("c", 1, name="x", n="bad")
    await first.deliver()
    await world.until(lambda: world.dead_letters.letters, "the dead letter")
    await first.die()

    second = await world.worker("w2")
    await second.assign(2)
    await second.deliver()
    await world.acknowledged(1)

    assert await world.failures() == [("1", "value_misfit", "open")]
    assert len(world.dead_letters.letters) == 1


async def test_nothing_is_written_before_the_open_failures_are_loaded(world: World) -> None:
    """The state database is away at the assignment: the partition waits."""
    first = await world.start()
    await world.until(first.pipeline.health.ready, "the partition is prepared")
    await first.die()
    real = world.state.open_failures

    async def fails(*_: object) -> list[tuple[str, int]]:
        raise StateUnavailable("the state database is away")

    world.state.open_failures = fails  # type: ignore[method-assign,assignment]
    second = await world.worker("w2")
    await second.assign(2)
    end = world.change("c", 1, name="x", n=1) + 1
    task = asyncio.ensure_future(second.deliver())
    await world.until(lambda: second.pipeline.health.holds(), "the hold is on display")
    assert world.tasks() == []

    world.state.open_failures = real  # type: ignore[method-assign]
    await task
    await world.acknowledged(end)


async def test_a_failure_that_comes_while_an_older_one_is_marked_stays_known(world: World) -> None:
    """The mark of the older one takes its time; the newer one is superseded by the change after it, and not forgotten."""
    worker = await world.start()
    first = world.change("c", 1, name="x", n="bad") + 1
    await worker.deliver()
    await world.acknowledged(first)
    real, reached, go = world.state.supersede, asyncio.Event(), asyncio.Event()

    async def slow(*args: object) -> int:
        count = await real(*args)  # type: ignore[arg-type]
        reached.set()
        await go.wait()
        return count

    world.state.supersede = slow  # type: ignore[method-assign,assignment]
    world.change("u", 1, name="x", n=1)
    await worker.deliver()
    await reached.wait()
    world.change("u", 1, name="x", n="bad again")
    await worker.deliver()
    go.set()
    await world.acknowledged(3)
    end = world.change("u", 1, name="x", n=2) + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert {status for _, _, status in await world.failures()} == {"superseded"}
