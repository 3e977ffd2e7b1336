"""Debezium makes a delete and a create of every change of a key, row by row."""

from __future__ import annotations

import time
from typing import Any

import orjson
from unit.pipeline.world import PLACE, TABLE, World

from sync_worker.testing.memory import envelope


def changes_its_key(world: World, old: int, new: int, **row: Any) -> None:
    """The records that Debezium writes for one row whose key changes."""
    now = int(time.time() * 1000)
    after = {"id": new, "name": None, "n": None} | row
    gone = envelope(TABLE, "d", before={"id": old}, source_ms=now)
    headers = [("__debezium.newkey", orjson.dumps({"id": new}))]
    world.log.append(PLACE, orjson.dumps({"id": old}), gone, timestamp=now, headers=headers)
    world.log.append(PLACE, orjson.dumps({"id": old}), None, timestamp=now)
    headers = [("__debezium.oldkey", orjson.dumps({"id": old}))]
    come = envelope(TABLE, "c", row=after, source_ms=now)
    world.log.append(PLACE, orjson.dumps({"id": new}), come, timestamp=now, headers=headers)


async def test_two_rows_that_swap_their_keys_are_both_there(world: World) -> None:
    """No document is lost: with a deferrable key, UPDATE … SET id = 3 - id gives d1 c2 d2 c1, and the last word about 2 is a
    delete although a row bears that key."""
    worker = await world.start()
    world.change("c", 1, name="one", n=1)
    world.change("c", 2, name="two", n=2)
    await worker.deliver()
    await world.acknowledged(2)

    world.source.tables[TABLE][(1,)] = {"id": 1, "name": "two", "n": 2}
    world.source.tables[TABLE][(2,)] = {"id": 2, "name": "one", "n": 1}
    changes_its_key(world, 1, 2, name="one", n=1)
    changes_its_key(world, 2, 1, name="two", n=2)
    await worker.deliver()
    await world.acknowledged(8)

    assert {key: document["name"] for key, document in world.documents().items()} == {"1": "two", "2": "one"}
