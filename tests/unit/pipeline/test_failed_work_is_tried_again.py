"""Retries go through the stream's own writer: nothing older is written over anything newer, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from sync_worker.batch.metadata import WriteMetadata
from sync_worker.failure.flood import FloodLimits
from sync_worker.failure.model import FailureStatus, PayloadReference
from sync_worker.testing.meilisearch.faults import LoseAnswer, Operation

from .world import PLACE, Worker, World


async def failed(world: World, worker: Worker, key: int = 1, **row: Any) -> int:
    """A change of this row that the server refuses; the id of its failed work, once it is acknowledged."""
    world.poison(str(key))
    offset = world.change("u", key, **row)
    await worker.deliver()
    await world.acknowledged(offset + 1)
    world.poison()
    return (await world.state.failed_work(limit=1))[0].id


async def outcome(world: World, failed_work_id: int, timeout_s: float = 15.0) -> FailureStatus:
    """The status once the retry is over."""
    async with asyncio.timeout(timeout_s):
        while True:
            [work] = await world.state.failed_work(ids=[failed_work_id])
            if work.status is not FailureStatus.RETRYING:
                return work.status
            await asyncio.sleep(0.005)


async def ask(world: World, failed_work_id: int, *, from_source: bool = False) -> FailureStatus | None:
    return await world.state.ask_retry(failed_work_id, from_source=from_source, by="tester")


def versions(world: World, document_id: str = "1") -> list[Any]:
    """What was written for this document, in order: the field n, or "deleted"."""
    written: list[Any] = []
    for task in world.tasks():
        if task.status != "succeeded":
            continue
        if task.type == "documentDeletion":
            written.append("deleted")
        else:
            written += [d.fields["n"] for d in task.content.documents if str(d.fields["id"]) == document_id]
    return written


async def test_a_retry_that_passes_is_resolved_and_shown(world: World) -> None:
    """The stored change is projected with today's declaration, written, settled, and the row says so."""
    worker = await world.start()
    work = await failed(world, worker, n=1)
    assert world.documents() == {}
    assert await ask(world, work) is FailureStatus.RETRYING
    assert await outcome(world, work) is FailureStatus.RESOLVED
    assert world.documents()["1"]["n"] == 1
    assert worker.numbers.total("retries") == 1


async def test_a_retry_that_fails_is_open_again_with_one_attempt_more(world: World) -> None:
    """No second row, no second dead letter, the newest words."""
    worker = await world.start()
    work = await failed(world, worker, n=1)
    world.poison("1")
    await ask(world, work)
    assert await outcome(world, work) is FailureStatus.OPEN
    [row] = await world.state.failed_work()
    assert (row.attempts, len(world.dead_letters.letters)) == (2, 1)
    assert row.status_reason == "tried again, and failed again"
    world.poison()
    await ask(world, work)
    assert await outcome(world, work) is FailureStatus.RESOLVED


async def test_what_was_superseded_is_not_tried(world: World) -> None:
    """A later change was applied: asking changes nothing, and nothing is written."""
    worker = await world.start()
    work = await failed(world, worker, n=1)
    world.change("u", 1, n=2)
    await worker.deliver()
    await world.acknowledged(2)
    assert await ask(world, work) is FailureStatus.SUPERSEDED
    assert versions(world) == [2]


async def test_a_deleted_document_does_not_come_back(world: World) -> None:
    """The deletion came after the retry was asked for and before anybody took it up."""
    worker = await world.start()
    work = await failed(world, worker, n=1)
    await worker.die()
    world.workers.remove(worker)
    await ask(world, work)
    world.change("d", 1)
    heir = await world.worker("w2")
    await heir.assign(2)
    await heir.deliver()
    assert await outcome(world, work) is FailureStatus.SUPERSEDED
    await world.acknowledged(2)
    assert versions(world) == ["deleted"]
    assert world.documents() == {}


async def test_a_retry_waits_until_the_new_owner_has_caught_up(world: World) -> None:
    """Behind the committed offset lie changes that the last owner applied: before they are seen again, a retry would age them."""
    worker = await world.start()
    work = await failed(world, worker, n=1)
    worker.group.acknowledge = lambda *_: None  # type: ignore[method-assign]
    world.change("u", 1, n=2)
    await worker.deliver()
    await world.until(lambda: versions(world) == [2], "the newer change is applied")
    await worker.die()
    world.workers.remove(worker)
    # Its mark was lost with the state database's last moments.
    async with world.state._writing() as connection:
        await connection.execute(text("UPDATE failed_work SET status = 'open'"))
    await ask(world, work)
    heir = await world.worker("w2")
    await heir.assign(2)
    await world.until(heir.pipeline.health.ready, "prepared")
    for _ in range(5):
        await heir.pipeline._control._round()
    assert versions(world) == [2]
    await heir.deliver()
    assert await outcome(world, work) is FailureStatus.SUPERSEDED
    assert 1 not in versions(world)


async def test_what_is_on_its_way_decides_first(world: World) -> None:
    """A later change of the document is in flight: the retry waits for it, and is superseded once it is applied."""
    worker = await world.start()
    work = await failed(world, worker, n=1)
    world.double.pause()
    world.change("u", 1, n=2)
    await worker.deliver()
    await ask(world, work)
    for _ in range(5):
        await worker.pipeline._control._round()
    assert (await world.state.failed_work(ids=[work]))[0].status is FailureStatus.RETRYING
    world.double.resume()
    assert await outcome(world, work) is FailureStatus.SUPERSEDED
    assert versions(world) == [2]


async def test_a_later_change_that_fails_as_well_supersedes_the_retry(world: World) -> None:
    """Only the newest change of a document is worth trying: the older one would be older than what failed after it."""
    worker = await world.start()
    first = await failed(world, worker, n=1)
    second = await failed(world, worker, n=2)
    assert first != second
    await ask(world, first)
    assert await outcome(world, first) is FailureStatus.SUPERSEDED
    assert versions(world) == []
    await ask(world, second)
    assert await outcome(world, second) is FailureStatus.RESOLVED
    assert world.documents()["1"]["n"] == 2


async def test_the_newest_that_is_resolved_supersedes_the_older(world: World) -> None:
    """One document, two failures: with the newest applied, nothing of it is open."""
    worker = await world.start()
    first = await failed(world, worker, n=1)
    second = await failed(world, worker, n=2)
    await ask(world, second)
    assert await outcome(world, second) is FailureStatus.RESOLVED
    assert (await world.state.failed_work(ids=[first]))[0].status is FailureStatus.SUPERSEDED
    assert worker.pipeline._quarantine.memory.count("things") == 0


async def test_a_worker_that_dies_leaves_the_retry_to_its_heir(world: World) -> None:
    """Written and not judged: the row is not `retrying` for ever, and the document is right."""
    worker = await world.start()
    work = await failed(world, worker, n=1)
    world.double.pause()
    await ask(world, work)
    await world.until(lambda: not worker.pipeline._control._retries.idle, "taken up")
    await worker.die()
    world.workers.remove(worker)
    world.double.resume()
    heir = await world.worker("w2")
    await heir.assign(2)
    assert await outcome(world, work) is FailureStatus.RESOLVED
    assert world.documents()["1"]["n"] == 1


async def test_an_answer_that_is_lost_does_not_write_twice_nor_lose(world: World) -> None:
    """A retry's request is looked for like every other."""
    worker = await world.start()
    work = await failed(world, worker, n=1)
    world.double.queue_fault(Operation.ADD_DOCUMENTS, LoseAnswer())
    await ask(world, work)
    assert await outcome(world, work) is FailureStatus.RESOLVED
    assert versions(world) == [1]


async def test_a_zombies_retry_is_undone(world: World) -> None:
    """A worker that stalled in the middle of a retry wakes after a newer change was applied: the newer one is written again."""
    worker = await world.start()
    work = await failed(world, worker, n=1)
    await worker.assign(2)
    world.change("u", 1, n=2)
    await worker.deliver()
    await world.acknowledged(2)
    assert (await world.state.failed_work(ids=[work]))[0].status is FailureStatus.SUPERSEDED
    late = WriteMetadata("write", "group", "zombie", 1, "late", {PLACE: (0, 0)}).encode()
    await worker.sinks[0].write("things", orjson.dumps({"id": 1, "name": None, "n": 1}), metadata=late)
    await world.until(lambda: versions(world) == [2, 1, 2], "the newer change is written again")


async def test_a_zombies_retry_from_the_source_is_undone(world: World) -> None:
    """It covers the offset of a change that can't be projected: what came of the document later is written again."""
    worker = await world.start()
    world.change("u", 1, n="not a number")
    await worker.deliver()
    await world.acknowledged(1)
    await worker.assign(2)
    world.change("u", 1, n=2)
    await worker.deliver()
    await world.acknowledged(2)
    late = WriteMetadata("write", "group", "zombie", 1, "late", {PLACE: (0, 0)}).encode()
    await worker.sinks[0].write("things", orjson.dumps({"id": 1, "name": None, "n": 1}), metadata=late)
    await world.until(lambda: versions(world) == [2, 1, 2], "the newer change is written again")


async def test_from_source_writes_the_row_as_it_is_now(world: World) -> None:
    """The stored change is a poison for ever; the row was mended meanwhile, and its change is lost to us."""
    worker = await world.start()
    work = await failed(world, worker, n=1)
    world.source.tables["public.things"][(1,)] = {"id": 1, "name": "mended", "n": 7}
    await ask(world, work, from_source=True)
    assert await outcome(world, work) is FailureStatus.RESOLVED
    assert world.documents()["1"] == {"id": 1, "name": "mended", "n": 7}


async def test_from_source_deletes_what_the_source_no_longer_has(world: World) -> None:
    """The row is gone: so is its document."""
    worker = await world.start()
    world.change("u", 1, n=0)
    await worker.deliver()
    work = await failed(world, worker, n=1)
    del world.source.tables["public.things"][(1,)]
    await ask(world, work, from_source=True)
    assert await outcome(world, work) is FailureStatus.RESOLVED
    assert world.documents() == {}


async def test_a_change_whose_document_was_not_known_is_tried_with_its_row(world: World) -> None:
    """Nobody held later changes against it, so the change itself might be old."""
    worker = await world.start()
    world.source.tables["public.things"][(1,)] = {"id": 1, "name": None, "n": 5}
    world.log.append(PLACE, orjson.dumps({"id": 1}), b"no envelope", timestamp=1)
    await worker.deliver()
    await world.acknowledged(1)
    [work] = await world.state.failed_work()
    assert work.failure.document_id is None
    await ask(world, work.id)
    assert await outcome(world, work.id) is FailureStatus.RESOLVED
    assert world.documents()["1"]["n"] == 5


async def test_a_row_rebuilt_from_the_letters_is_tried_with_its_row(world: World) -> None:
    """Whether it was superseded is not known any more: the stored change is never written."""
    worker = await world.start()
    await failed(world, worker, n=1)
    world.change("u", 1, n=2)
    await worker.deliver()
    await world.acknowledged(2)
    failure, _ = world.dead_letters.letters[0]
    async with world.state._writing() as connection:
        await connection.execute(text("DELETE FROM failed_work"))
    assert await world.state.restore([(failure, PayloadReference("dead-letters", 0, 0))], reason="rebuilt") == 1
    [rebuilt] = await world.state.failed_work()
    await ask(world, rebuilt.id)
    assert await outcome(world, rebuilt.id) is FailureStatus.RESOLVED
    assert versions(world) == [2, 2]


async def test_a_truncate_supersedes_a_retry_under_way(world: World) -> None:
    """Asked before, taken up after: the table is empty, and so is the index."""
    worker = await world.start()
    work = await failed(world, worker, n=1)
    world.double.pause()
    world.truncate()
    await worker.deliver()
    await ask(world, work)
    world.double.resume()
    assert await outcome(world, work) is FailureStatus.SUPERSEDED
    assert world.documents() == {}


async def test_many_retries_that_fail_are_no_flood(world: World) -> None:
    """An operator who tries again too early must not stop the stream of the index."""
    world.flood = FloodLimits(run=5, ratio=0.5, window=10)
    worker = await world.start()
    keys = range(1, 5)
    world.poison(*[str(key) for key in keys])
    for key in keys:
        world.change("u", key, n=key)
    await worker.deliver()
    await world.acknowledged(4)
    for _ in range(3):
        works = await world.state.failed_work()
        for work in works:
            await ask(world, work.id)
        for work in works:
            assert await outcome(world, work.id) is FailureStatus.OPEN
    world.change("u", 9, n=9)
    await worker.deliver()
    await world.acknowledged(5)
    assert await world.state.findings() == []
    assert "9" in world.documents()


@pytest.mark.parametrize("from_source", [False, True])
async def test_retries_wait_while_the_index_is_paused(world: World, from_source: bool) -> None:
    """A paused index is not written to by anybody."""
    worker = await world.start()
    work = await failed(world, worker, n=1)
    await world.state.pause("things", by="tester", reason="")
    await world.until(lambda: worker.pipeline._lanes["things"].halted, "halted")
    await ask(world, work, from_source=from_source)
    for _ in range(5):
        await worker.pipeline._control._round()
    assert versions(world) == []
    await world.state.resume("things")
    assert await outcome(world, work) is FailureStatus.RESOLVED
