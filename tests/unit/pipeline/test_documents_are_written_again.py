"""Rewrites go through the stream's own writer: a ghost is deleted, and nothing is ever older than what the log says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sync_worker.change.model import TopicPartition
from sync_worker.ports import Rewrite

from .world import PLACE, TABLE, World


def asked(key: int, **more: Any) -> Rewrite:
    return Rewrite(**({"index": "things", "document_id": str(key), "key": {"id": key}, "place": PLACE, "run": "r"} | more))


async def done(world: World, timeout_s: float = 15.0) -> None:
    async with asyncio.timeout(timeout_s):
        while await world.state.rewrites_left("r"):  # noqa: ASYNC110 - the worker decides
            await asyncio.sleep(0.005)


async def planted(world: World, *keys: int, n: int = 0) -> None:
    """Documents that somebody else put there."""
    worker = world.workers[0]
    lines = b"\n".join(b'{"id":%d,"name":"planted","n":%d}' % (key, n) for key in keys)
    before = len(world.tasks())
    await worker.sinks[0].write("things", lines, metadata="somebody else's")
    await world.until(lambda: len([t for t in world.tasks() if t.status == "succeeded"]) > before, "planted")


async def test_each_document_becomes_what_its_row_says(world: World) -> None:
    """A ghost goes, a missing one comes, a wrong one is mended; an id that no row can bear goes as well; once each."""
    worker = await world.start()
    for key in (1, 2):
        world.change("c", key, n=key)
    await worker.deliver()
    await world.acknowledged(2)
    await planted(world, 2, 3, n=99)
    world.source.tables[TABLE][(4,)] = {"id": 4, "name": "behind the log's back", "n": 4}
    ghost = Rewrite("things", "no-id_of-ours", None, PLACE, "r")
    await world.state.ask_for_rewrites([asked(1), asked(2), asked(3), asked(4), ghost])
    await done(world)
    assert {key: document["n"] for key, document in world.documents().items()} == {"1": 1, "2": 2, "4": 4}


async def test_a_row_that_came_back_during_the_prune_stays(world: World) -> None:
    """The row was gone when it was read, and its deletion is on its way: the create comes later, and wins."""
    worker = await world.start()
    world.change("c", 1, n=1)
    await worker.deliver()
    await world.acknowledged(1)
    world.source.tables[TABLE].pop((1,))
    world.double.pause()
    await world.state.ask_for_rewrites([asked(1)])
    await world.until(lambda: any(t.type == "documentDeletion" for t in world.tasks()), "the deletion is sent")
    world.change("c", 1, n=2)
    await worker.deliver()
    world.double.resume()
    await done(world)
    await world.until(lambda: world.documents().get("1", {}).get("n") == 2, "the row is back")


async def test_a_row_that_came_back_before_the_prune_is_written(world: World) -> None:
    """A ghost that was seen a minute ago is none any more: what counts is the row as it is when the owner reads it."""
    worker = await world.start()
    world.change("c", 1, n=7)
    await worker.deliver()
    await world.acknowledged(1)
    await world.state.ask_for_rewrites([asked(1)])
    await done(world)
    assert world.documents()["1"]["n"] == 7
    assert not any(task.type == "documentDeletion" for task in world.tasks())


async def test_a_row_of_another_id_is_not_written_under_this_one(world: World) -> None:
    """The database may find a row whose key is only equal by its type's rules: its document is another one, this is a ghost."""
    await world.start()
    world.source.tables[TABLE][(7,)] = {"id": 7, "name": None, "n": 7}
    await planted(world, 70)
    await world.state.ask_for_rewrites([asked(7, document_id="70")])
    await done(world)
    assert world.documents() == {}


async def test_what_is_on_its_way_goes_first(world: World) -> None:
    """While a change of the document is unsettled nobody knows what the index will hold."""
    worker = await world.start()
    world.double.pause()
    world.change("c", 1, n=1)
    await worker.deliver()
    await world.state.ask_for_rewrites([asked(1)])
    for _ in range(5):
        await worker.pipeline._control._round()
    assert await world.state.rewrites_left("r") == 1
    assert len(world.tasks()) <= 1
    world.double.resume()
    await done(world)
    assert world.documents()["1"]["n"] == 1


async def test_only_the_partitions_owner_writes(world: World) -> None:
    """A request for a partition that nobody here owns stays for the worker that does."""
    worker = await world.start()
    world.source.tables[TABLE][(1,)] = {"id": 1, "name": None, "n": 1}
    await world.state.ask_for_rewrites([asked(1, place=TopicPartition(PLACE.topic, 1))])
    for _ in range(3):
        await worker.pipeline._control._round()
    assert await world.state.rewrites_left("r") == 1
    assert world.documents() == {}


async def test_a_worker_that_died_leaves_it_to_its_heir(world: World) -> None:
    """The row was deleted meanwhile: the heir reads it anew, and what the dead one still had in mind does not matter."""
    worker = await world.start()
    world.change("c", 1, n=1)
    await worker.deliver()
    await world.acknowledged(1)
    world.double.pause()
    world.source.tables[TABLE][(1,)]["n"] = 5
    await world.state.ask_for_rewrites([asked(1)])
    await world.until(lambda: len(world.tasks()) == 2, "the dead one's write is accepted")
    await worker.die()
    world.workers.remove(worker)
    world.change("d", 1)
    world.double.resume()
    heir = await world.worker("w2")
    await heir.assign(2)
    await heir.deliver()
    await done(world)
    await world.until(lambda: world.documents() == {}, "the deletion is the last word")


async def test_a_row_that_can_not_become_a_document_is_not_waited_for(world: World) -> None:
    """Its change was dead-lettered by the stream; the request ends, and what is there stays."""
    worker = await world.start()
    world.change("c", 1, n=1)
    await worker.deliver()
    await world.acknowledged(1)
    world.source.tables[TABLE][(1,)]["n"] = "no integer"
    await world.state.ask_for_rewrites([asked(1)])
    await done(world)
    assert world.documents()["1"]["n"] == 1


async def test_a_paused_index_is_not_written(world: World) -> None:
    """Asked for while paused, done once resumed."""
    worker = await world.start()
    world.source.tables[TABLE][(1,)] = {"id": 1, "name": None, "n": 1}
    await world.state.pause("things", by="tester", reason="")
    await world.until(lambda: worker.pipeline._lanes["things"].paused, "paused")
    await world.state.ask_for_rewrites([asked(1)])
    for _ in range(3):
        await worker.pipeline._control._round()
    assert world.documents() == {}
    await world.state.resume("things")
    await done(world)
    assert world.documents()["1"]["n"] == 1


@pytest.mark.parametrize("count", [1200])
async def test_many_are_written_in_portions(world: World, count: int) -> None:
    """More than one portion: all of them come."""
    await world.start()
    world.source.tables[TABLE].update({(key,): {"id": key, "name": None, "n": key} for key in range(count)})
    await world.state.ask_for_rewrites([asked(key) for key in range(count)])
    await done(world)
    assert len(world.documents()) == count
