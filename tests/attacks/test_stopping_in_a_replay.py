"""SIGTERM while a replay is under way."""

from __future__ import annotations

from unit.pipeline.world import PLACE, World


async def test_a_worker_that_is_stopped_in_a_replay_shows_nothing_older(world: World) -> None:
    """A replay after a restart shows nothing older (protocol 7); a drain that sends half of it would leave old documents
    visible until the next start."""
    first = await world.start()
    await world.written_and_never_stored(first, 5)

    second = await world.worker("w2")
    await second.assign(2)
    await world.until(second.pipeline.health.ready, "prepared")
    chunk = second.group.fetch(PLACE, 2)
    assert chunk is not None
    await second.pipeline.take(chunk)
    await second.pipeline.stop(drain_s=20)
    await world.double.wait_idle()
    assert world.documents()["1"]["n"] == 5
