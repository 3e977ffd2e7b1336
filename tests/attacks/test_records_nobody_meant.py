"""Single records that no Debezium of ours would write."""

from __future__ import annotations

import orjson
from unit.pipeline.world import PLACE, TABLE, World

from sync_worker.testing.memory import envelope


async def test_a_moment_beyond_every_calendar_costs_one_record(world: World) -> None:
    """Bad input: that one event goes to the dead letters, the stream goes on."""
    worker = await world.start()
    value = envelope(TABLE, "c", row={"id": 1, "name": "a", "n": "no number"}, source_ms=2**64 - 1)
    world.log.append(PLACE, orjson.dumps({"id": 1}), value, timestamp=1)
    world.change("c", 2, name="b", n=1)
    await worker.deliver()
    await world.acknowledged(2)
    assert set(world.documents()) == {"2"}


async def test_a_moment_beyond_every_calendar_does_not_stop_a_good_row(world: World) -> None:
    """The same for a row that can be indexed."""
    worker = await world.start()
    value = envelope(TABLE, "c", row={"id": 1, "name": "a", "n": 1}, source_ms=2**64 - 1)
    world.log.append(PLACE, orjson.dumps({"id": 1}), value, timestamp=1)
    world.change("c", 2, name="b", n=1)
    await worker.deliver()
    await world.acknowledged(2)


async def test_keys_of_two_shapes_in_one_chunk_cost_no_other_record(world: World) -> None:
    """A key with other columns than its neighbours', both lacking a column: the stream goes on."""
    worker = await world.start()
    for key in ({"id": 1}, {"id": 2, "region": "eu"}, {"region": "eu"}):
        row = {"id": 1, "name": "__debezium_unavailable_value", "n": 1}
        world.log.append(PLACE, orjson.dumps(key), envelope(TABLE, "u", row=row, source_ms=1), timestamp=1)
    world.change("c", 3, name="b", n=1)
    await worker.deliver()
    await world.acknowledged(4)
    assert "3" in world.documents()
