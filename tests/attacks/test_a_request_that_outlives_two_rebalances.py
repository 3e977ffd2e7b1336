"""A request that hangs while its worker loses the partition, and is answered once it has it back."""

from __future__ import annotations

import asyncio
from typing import Any

from unit.pipeline.world import World


async def test_a_request_of_an_older_generation_is_late_even_though_we_received_its_answer(world: World) -> None:
    """Late is a task of an older generation (protocol 5), also when it is our own and we know its uid: another owner may
    have written newer documents between."""
    first = await world.start()
    await world.until(first.pipeline.health.ready, "prepared")
    second = await world.worker("w2")
    go, sink = asyncio.Event(), first.sinks[0]
    real = sink.write
    held = asyncio.Event()

    async def stalled(*args: Any, **more: Any) -> Any:
        sink.write = real  # type: ignore[method-assign]
        held.set()
        await go.wait()
        return await real(*args, **more)

    sink.write = stalled  # type: ignore[method-assign]
    world.change("c", 1, name="old", n=1)
    await first.deliver()
    await held.wait()

    first.group.owned = {}
    await first.pipeline.revoked(frozenset(world.log.partitions))
    await second.assign(2)
    world.change("u", 1, name="new", n=2)
    await second.deliver()
    await world.acknowledged(2)
    await second.pipeline.revoked(frozenset(world.log.partitions))
    second.group.owned = {}
    await first.assign(3)
    await world.until(first.pipeline.health.ready, "prepared again")

    go.set()
    await world.until(lambda: world.documents()["1"]["name"] == "old", "the request lands")
    await world.until(lambda: world.documents()["1"]["name"] == "new", "and is undone", timeout_s=4)
