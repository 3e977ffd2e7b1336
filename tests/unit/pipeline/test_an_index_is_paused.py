"""A paused index is not written to, keeps its place, and says so; nothing is lost."""

from __future__ import annotations

import asyncio

from .world import PLACE, World


async def confirmed(world: World, *workers: str, index: str = "things") -> None:
    async with asyncio.timeout(15):
        while {c.worker for c in await world.state.pause_confirmations(index)} != set(workers):  # noqa: ASYNC110 - the workers decide
            await asyncio.sleep(0.005)


async def test_nothing_is_written_until_it_is_resumed(world: World) -> None:
    """Changes wait in order, unacknowledged, and are applied afterwards."""
    worker = await world.start()
    world.change("u", 1, n=1)
    await worker.deliver()
    await world.acknowledged(1)
    await world.state.pause("things", by="tester", reason="upgrade")
    await confirmed(world, "w1")
    world.change("u", 1, n=2)
    world.change("u", 2, n=2)
    await worker.deliver()
    for _ in range(5):
        await worker.pipeline._control._round()
    assert len(world.tasks()) == 1
    assert world.log.offsets[PLACE] == 1
    [hold] = worker.pipeline.health.holds()
    assert (hold.subject, hold.kind, "upgrade" in hold.cause, hold.remedy) == (
        "things",
        "paused",
        True,
        "sync-worker resume things",
    )
    await world.state.resume("things")
    await world.acknowledged(3)
    assert {key: d["n"] for key, d in world.documents().items()} == {"1": 2, "2": 2}
    assert worker.pipeline.health.holds() == []


async def test_it_is_confirmed_only_with_nothing_in_flight(world: World) -> None:
    """A task that the server has not finished would still change the index."""
    worker = await world.start()
    await world.until(worker.pipeline.health.ready, "prepared")
    world.double.pause()
    world.change("u", 1, n=1)
    await worker.deliver()
    await world.until(lambda: worker.pipeline._lanes["things"]._flushes, "in flight")
    await world.state.pause("things", by="tester", reason="")
    await world.until(lambda: worker.pipeline._lanes["things"].paused, "seen")
    for _ in range(5):
        await worker.pipeline._control._round()
    assert await world.state.pause_confirmations("things") == []
    world.double.resume()
    await confirmed(world, "w1")


async def test_a_restart_does_not_end_a_pause(world: World) -> None:
    """The new worker reads the pause before its first write."""
    worker = await world.start()
    await world.state.pause("things", by="tester", reason="")
    await confirmed(world, "w1")
    world.change("u", 1, n=1)
    await worker.die()
    world.workers.remove(worker)
    heir = await world.worker("w2")
    await heir.assign(2)
    await heir.deliver()
    await confirmed(world, "w1", "w2")
    assert world.tasks() == []
    await world.state.resume("things")
    await world.acknowledged(1)
    assert "1" in world.documents()


async def test_other_indexes_go_on(world: World) -> None:
    """A pause is of one index, also where another one is made of the same table."""
    world.declare()
    world.declare("others", uid="others")
    worker = await world.start()
    await world.state.pause("others", by="tester", reason="")
    await confirmed(world, "w1", index="others")
    world.change("u", 1, n=1)
    await worker.deliver()
    await world.until(lambda: "1" in world.documents(), "the other index has it")
    assert world.documents("others") == {}
    assert world.log.offsets.get(PLACE, 0) == 0


async def test_a_pause_that_was_taken_back_and_given_again_is_confirmed_anew(world: World) -> None:
    """A confirmation belongs to one pause: between two of them there was writing."""
    await world.start()
    await world.state.pause("things", by="tester", reason="")
    await confirmed(world, "w1")
    await world.state.resume("things")
    await world.state.pause("things", by="tester", reason="")
    await confirmed(world, "w1")
