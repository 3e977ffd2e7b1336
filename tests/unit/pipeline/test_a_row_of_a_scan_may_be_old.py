"""Debezium reads the first chunk of a scan beside its streaming thread: a row may come behind the change that made it old."""

from __future__ import annotations

from sync_worker.rebuild.model import Phase

from .rebuild import TARGET, Steps
from .world import PLACE, World


async def test_a_row_that_was_deleted_before_does_not_come_back(world: World) -> None:
    """The source is asked what bears the key now, in the row's place (invariant 3)."""
    worker = await world.start()
    world.change("c", 1, name="x", n=1)
    world.change("d", 1)
    await worker.deliver()
    world.snapshot_row({"id": 1, "name": "x", "n": 1}, is_old=True)
    await worker.deliver()
    await world.acknowledged(world.log.end(PLACE))
    assert world.documents() == {}


async def test_a_row_that_was_changed_before_does_not_grow_old(world: World) -> None:
    """Alone in its fetch, and together with the change (invariant 2)."""
    worker = await world.start()
    world.change("c", 1, name="x", n=2)
    await worker.deliver()
    world.snapshot_row({"id": 1, "name": "x", "n": 1}, is_old=True)
    await worker.deliver()
    world.change("u", 2, name="x", n=4)
    world.snapshot_row({"id": 2, "name": "x", "n": 3}, is_old=True)
    await worker.deliver()
    await world.acknowledged(world.log.end(PLACE))
    assert {key: document["n"] for key, document in world.documents().items()} == {"1": 2, "2": 4}


async def test_a_change_that_lacks_columns_does_not_take_them_from_an_old_row(world: World) -> None:
    """What a scan read is no base for what follows it."""
    worker = await world.start()
    world.change("c", 1, name="new", n=1)
    await worker.deliver()
    world.snapshot_row({"id": 1, "name": "old", "n": 1}, is_old=True)
    world.change("u", 1, name="__debezium_unavailable_value", n=2)
    world.source.tables["public.things"][(1,)]["name"] = "new"
    await worker.deliver()
    await world.acknowledged(world.log.end(PLACE))
    assert world.documents() == {"1": {"id": 1, "name": "new", "n": 2}}


async def test_the_index_that_is_filled_gets_no_ghost_of_it(world: World) -> None:
    """The new index of a rebuild takes the rows of the scan and the changes: it did once, and its drift gate refused the swap."""
    steps = Steps(world)
    worker = await world.start()
    world.change("c", 1, name="x", n=1)
    world.change("c", 2, name="x", n=2)
    await worker.deliver()
    await steps.dual("w1")
    await steps.ask(Phase.FILLING, "w1")
    world.change("d", 1)
    world.snapshot_row({"id": 1, "name": "x", "n": 1}, is_old=True)
    world.snapshot_row({"id": 2, "name": "x", "n": 2})
    await worker.deliver()
    await world.acknowledged(world.log.end(PLACE))
    assert set(world.documents(TARGET)) == set(world.documents()) == {"2"}
    await steps.close()
