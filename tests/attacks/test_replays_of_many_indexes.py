"""A replay after a crash fills memory before it reached the place up to which nothing may be sent."""

from __future__ import annotations

import asyncio

from unit.pipeline.world import World

from sync_worker.batch.pace import Limits


async def test_three_indexes_that_replay_more_than_fits_go_on(world: World) -> None:
    """Memory is bounded whatever the backlog (invariant 7), and the worker goes on by itself: no lane waits for records that
    another lane's memory keeps from being taken."""
    world.limits = Limits(in_flight_bytes=120_000)
    for name in ("a", "b", "c"):
        world.declare(name)
    first = await world.start()
    await world.until(first.pipeline.health.ready, "prepared")

    async def away(*_: object) -> None:
        await asyncio.Event().wait()

    real, world.state.save_progress = world.state.save_progress, away  # type: ignore[method-assign,assignment]
    for key in range(400):
        world.change("c", key, name="x" * 200, n=1)
    while (chunk := first.group.fetch(next(iter(world.log.partitions)), 20)) is not None:
        await first.pipeline.take(chunk)
    await world.until(lambda: len(world.documents("c")) == 400, "all written, nothing acknowledged")
    await first.die()
    world.state.save_progress = real  # type: ignore[method-assign]

    second = await world.worker("w2")
    await second.assign(2)

    async def deliver() -> None:
        while (chunk := second.group.fetch(next(iter(world.log.partitions)), 20)) is not None:
            await second.pipeline.take(chunk)

    await asyncio.wait_for(deliver(), 10)
    await world.acknowledged(400)
