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


async def test_refused_rows_are_all_recorded_beside_the_record_at_their_place(world: World) -> None:
    """Two rows that become no document and one that the server refuses, read behind a record that failed itself: four failures,
    each with a letter of its own that names its row. What is in the index stays, and nobody waits for them."""
    worker = await world.start()
    for key in (1, 2, 3):
        world.change("c", key, n=key)
    world.change("c", 4, n="no integer")
    await worker.deliver()
    await world.acknowledged(4)
    for key in (1, 2):
        world.source.tables[TABLE][(key,)]["n"] = "no integer"
    world.source.tables[TABLE][(3,)]["n"] = 33
    world.poison("3")
    await world.state.ask_for_rewrites([asked(1), asked(2), asked(3)])
    await done(world)

    works = {work.failure.document_id or "": work for work in await world.state.failed_work()}
    told = {key: (work.failure.offset, work.failure.request, work.attempts) for key, work in works.items()}
    assert told == {
        "1": (3, '{"id":1}', 1),
        "2": (3, '{"id":2}', 1),
        "3": (3, '{"id":3}', 1),
        "4": (3, None, 1),
    }
    letters = await world.dead_letters.read([work.reference for work in works.values() if work.reference])
    by_document = {failure.document_id: record for failure, record in letters.values()}
    assert {key: record.key for key, record in by_document.items()} == {str(n): b'{"id":%d}' % n for n in (1, 2, 3, 4)}
    assert by_document["1"].value is None, "no document could be made of it"
    assert b'"n":33' in (by_document["3"].value or b""), "the document that was refused"
    assert b"no integer" in (by_document["4"].value or b""), "the record as it came"
    assert {key: document["n"] for key, document in world.documents().items()} == {"1": 1, "2": 2, "3": 3}


async def refused(world: World, *keys: int) -> None:
    """Rows that were written, and refused when they were asked for again; nothing comes in the log meanwhile."""
    worker = world.workers[0]
    for key in keys:
        world.change("c", key, n=1)
    await worker.deliver()
    await world.acknowledged(len(keys))
    for key in keys:
        world.source.tables[TABLE][(key,)]["n"] = "no integer"
    await world.state.ask_for_rewrites([asked(key) for key in keys])
    await done(world)
    assert {status for _, _, status in await world.failures()} == {"open"}


@pytest.mark.parametrize("server", [False, True], ids=["no document", "the server refuses it"])
async def test_a_refused_row_is_tried_again_as_it_is_then(world: World, server: bool) -> None:
    """It has no record: a retry reads its row anew, fails again into the same failure, and resolves it once the row is mended."""
    await world.start()
    await refused(world, 1, 2)
    works = {work.failure.document_id: work for work in await world.state.failed_work()}
    if server:
        world.source.tables[TABLE][(2,)]["n"] = 5
        world.poison("2")
    await world.state.ask_retry(works["2"].id, from_source=False, by="tester")
    await settled(world, works["2"].id)
    (again,) = await world.state.failed_work(ids=[works["2"].id])
    assert (again.status.value, again.attempts) == ("open", 2)
    world.poison()
    world.source.tables[TABLE][(2,)]["n"] = 22
    await world.state.ask_retry(works["2"].id, from_source=False, by="tester")
    await settled(world, works["2"].id)
    assert {document_id: status for document_id, _, status in await world.failures()} == {"1": "open", "2": "resolved"}
    assert world.documents()["2"]["n"] == 22


async def settled(world: World, number: int) -> None:
    async with asyncio.timeout(15):
        while (await world.state.failed_work(ids=[number]))[0].status.value == "retrying":  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_refused_row_is_superseded_by_the_next_change_or_the_next_request(world: World) -> None:
    """Whatever is applied of its document after it was read is newer, also where the next request is at the same place."""
    worker = await world.start()
    await refused(world, 1, 2)
    for key in (1, 2):
        world.source.tables[TABLE][(key,)]["n"] = 7
    await world.state.ask_for_rewrites([asked(2)])
    await done(world)
    assert {document_id: status for document_id, _, status in await world.failures()} == {"1": "open", "2": "superseded"}
    world.change("u", 1, n=8)
    await worker.deliver()
    await world.acknowledged(3)
    assert {status for _, _, status in await world.failures()} == {"superseded"}

    world.source.tables[TABLE][(2,)]["n"] = "no integer"
    await world.state.ask_for_rewrites([asked(2)])
    await done(world)
    assert len(await world.failures("open")) == 1, "refused anew"


async def test_a_refused_row_is_known_after_a_restart(world: World) -> None:
    """The next owner's first change of the document closes it."""
    first = await world.start()
    await refused(world, 1)
    await first.die()
    world.workers.remove(first)
    worker = await world.worker("w2")
    await worker.assign(2)
    world.change("u", 1, n=8)
    await worker.deliver()
    await world.acknowledged(2)
    assert await world.failures("open") == []


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
