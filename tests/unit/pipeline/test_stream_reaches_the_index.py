"""The plain way: what the table says is what the index says, and only then is it acknowledged."""

from __future__ import annotations

from .world import PLACE, World


async def test_changes_arrive_and_are_acknowledged(world: World) -> None:
    """Create, update and delete reach the index; the offset behind them is acknowledged."""
    worker = await world.start()
    world.change("c", 1, name="a", n=1)
    world.change("c", 2, name="b", n=2)
    world.change("u", 1, name="a2", n=1)
    end = world.change("d", 2) + 1

    await worker.deliver()
    await world.acknowledged(end)

    assert world.documents() == {"1": {"id": 1, "name": "a2", "n": 1}}


async def test_nothing_is_acknowledged_before_it_is_applied(world: World) -> None:
    """Accepted is not applied: while the server works, the offset stays (invariant 1)."""
    worker = await world.start()
    world.double.pause()
    end = world.change("c", 1, name="a", n=1) + 1

    await worker.deliver()
    await world.until(lambda: world.tasks(), "the write is accepted")
    for _ in range(3):
        await worker.pipeline._tick(PLACE.topic)

    assert world.log.offsets.get(PLACE, 0) == 0
    world.double.resume()
    await world.acknowledged(end)
