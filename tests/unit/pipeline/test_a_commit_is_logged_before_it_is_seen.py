"""PostgreSQL gives a commit to Debezium before it shows it to others: a row that is read in between is older than the log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson

from sync_worker.testing.memory import envelope

from .world import PLACE, TABLE, World

MOVE = 4_294_967_290


def move(world: World, old: int, new: int) -> None:
    """The row's key changes, in a transaction that the log tells of; the source still shows the row as it was."""
    now = int(time.time() * 1000)
    gone = envelope(TABLE, "d", before={"id": old}, source_ms=now, transaction=MOVE)
    come = envelope(TABLE, "c", row={"id": new, "name": "x", "n": 2}, source_ms=now, transaction=MOVE)
    old_key, new_key = orjson.dumps({"id": old}), orjson.dumps({"id": new})
    world.log.append(PLACE, old_key, gone, timestamp=now, headers=[("__debezium.newkey", new_key)])
    world.log.append(PLACE, new_key, come, timestamp=now, headers=[("__debezium.oldkey", old_key)])
    world.source.unseen.add(MOVE)


async def test_a_moved_row_does_not_come_back_under_its_old_key(world: World) -> None:
    """Who bears the old key is asked once the move is visible; until then the worker holds and says so (invariants 3 and 5)."""
    worker = await world.start()
    world.change("c", 1, name="x", n=1)
    await worker.deliver()
    move(world, 1, 2)
    task = asyncio.ensure_future(worker.deliver())
    await world.until(lambda: any(hold.kind == "SourceUnavailable" for hold in worker.pipeline.health.holds()), "the hold")

    world.source.tables[TABLE] = {(2,): {"id": 2, "name": "x", "n": 2}}
    world.source.unseen.clear()
    await task
    await world.acknowledged(world.log.end(PLACE))
    assert set(world.documents()) == {"2"}


async def test_a_later_read_waits_for_what_an_earlier_fetch_told(world: World) -> None:
    """The row of a scan is read again behind a delete of its key that came in another fetch and is not visible yet."""
    worker = await world.start()
    world.change("c", 1, name="x", n=1)
    now = int(time.time() * 1000)
    gone = envelope(TABLE, "d", before={"id": 1}, source_ms=now, transaction=MOVE)
    world.log.append(PLACE, orjson.dumps({"id": 1}), gone, timestamp=now)
    world.source.unseen.add(MOVE)
    await worker.deliver()
    await world.until(lambda: world.documents() == {}, "the delete")
    world.snapshot_row({"id": 1, "name": "x", "n": 1})
    task = asyncio.ensure_future(worker.deliver())
    await world.until(lambda: worker.pipeline.health.holds(), "the hold")

    world.source.tables[TABLE].clear()
    world.source.unseen.clear()
    await task
    await world.acknowledged(world.log.end(PLACE))
    assert world.documents() == {}


async def test_a_transaction_is_waited_for_once(world: World) -> None:
    """What was visible to one read is visible to all later ones: they wait for nothing that was told before it."""
    worker = await world.start()
    asked: list[set[int]] = []
    real = world.source.rows

    async def rows(
        table: str, columns: Sequence[str], keys: Sequence[Mapping[str, Any]], *, after: Collection[int] = ()
    ) -> Sequence[Any]:
        asked.append(set(after))
        return await real(table, columns, keys, after=after)

    world.source.rows = rows  # type: ignore[method-assign,assignment]
    for key in (1, 3):
        move(world, key, key + 1)
        world.source.tables[TABLE] = {(key + 1,): {"id": key + 1, "name": "x", "n": 2}}
        world.source.unseen.clear()
        world.snapshot_row({"id": 9, "name": "x", "n": 1})
        await worker.deliver()
        world.snapshot_row({"id": 9, "name": "x", "n": 1})
        await worker.deliver()
        await world.acknowledged(world.log.end(PLACE))
    assert asked == [{MOVE}, set(), set(), set()]
