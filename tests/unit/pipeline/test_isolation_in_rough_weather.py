"""Isolation when something else goes wrong as well: no scratch index, floods, dumps, late writes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from sync_worker.batch.metadata import WriteMetadata
from sync_worker.errors import SinkDenied, SinkRejected, SinkUnavailable, SyncWorkerError
from sync_worker.failure.flood import FloodLimits
from sync_worker.pipeline.model import Flush
from sync_worker.ports import TaskUid
from sync_worker.testing.meilisearch.errors import ApiError
from sync_worker.testing.meilisearch.faults import LoseAnswer, Operation
from sync_worker.testing.meilisearch.tasks import Addition, Deletion

from .world import PLACE, Worker, World


@pytest.mark.parametrize(
    "refusal", [SinkDenied("invalid_api_key"), SinkRejected("400", code="invalid_settings_embedders")], ids=["denied", "rejected"]
)
async def test_without_a_scratch_index_it_bisects_in_place(world: World, refusal: SyncWorkerError) -> None:
    """The scratch key was revoked, or the server does not take the settings: slower, and just as exact."""
    worker = await world.start()
    assert worker.scratch is not None

    async def denied(*_: object) -> object:
        raise refusal

    worker.scratch.create_index = denied  # type: ignore[method-assign,assignment]
    world.poison("4")
    for key in range(1, 11):
        end = world.change("c", key, name="x", n=key) + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert [row[0] for row in await world.failures("open")] == ["4"]
    assert len(world.documents()) == 9


async def test_a_server_that_dies_while_bisecting_leaves_nothing_decided_wrongly(world: World) -> None:
    """The scratch index stays behind and the worker holds; afterwards the poison is found all the same."""
    worker = await world.start()
    assert worker.scratch is not None
    real_write, real_delete = worker.scratch.write, worker.scratch.delete_index
    died: list[str] = []

    async def dies(uid: str, ndjson: bytes, *, metadata: str) -> object:
        if len(died) < 2 and uid.startswith("scratch") and b"probe" not in ndjson:
            died.append(uid)
            raise SinkUnavailable("connection refused")
        return await real_write(uid, ndjson, metadata=metadata)

    async def cannot_delete(uid: str) -> None:
        if uid in died[:1]:
            raise SinkUnavailable("connection refused")
        if uid in died:
            raise SinkRejected("400", code="internal")
        await real_delete(uid)

    worker.scratch.write = dies  # type: ignore[method-assign,assignment]
    worker.scratch.delete_index = cannot_delete  # type: ignore[method-assign,assignment]
    world.poison("4")
    for key in range(1, 11):
        end = world.change("c", key, name="x", n=key) + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert [row[0] for row in await world.failures("open")] == ["4"]
    assert len(world.documents()) == 9


async def test_a_scratch_task_that_the_server_lost_is_not_waited_for(world: World) -> None:
    """It died with a task that it had accepted: nobody will ever finish it, and nothing else of the index would go out."""
    worker = await world.start()
    assert worker.scratch is not None
    real = worker.scratch.write
    lost: list[TaskUid] = []

    async def loses(uid: str, ndjson: bytes, *, metadata: str) -> TaskUid:
        task_uid = await real(uid, ndjson, metadata=metadata)
        if not lost:
            lost.append(task_uid)
            await world.double.wait_idle()
            del world.double.core.state.tasks[task_uid]
        return task_uid

    worker.scratch.write = loses  # type: ignore[method-assign, assignment]
    world.poison("4")
    for key in range(1, 6):
        end = world.change("c", key, name="x", n=key) + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert lost
    assert [row[0] for row in await world.failures("open")] == ["4"]


async def test_what_fails_as_a_new_document_may_pass_as_an_update(world: World) -> None:
    """Scratch suspects it, the live index takes it: nothing is dead-lettered."""
    worker = await world.start()
    world.change("c", 1, name="x", n=1)
    await worker.deliver()
    await world.acknowledged(1)
    hits = 0

    def fault(tasks: Sequence[object]) -> ApiError | None:
        nonlocal hits
        task = tasks[0]
        documents = getattr(task.content, "documents", None) or []  # type: ignore[attr-defined]
        ids = {str(incoming.fields.get("id")) for incoming in documents}
        scratch = str(task.index_uid).startswith("scratch")  # type: ignore[attr-defined]
        if "1" in ids and (scratch or len(ids) > 1):
            hits += 1
            return ApiError("internal", "internal: something is wrong.")
        return None

    world.double.core.batch_fault = fault
    world.double.pause()
    world.change("u", 1, name="y", n=2)
    for key in range(2, 6):
        end = world.change("c", key, name="x", n=key) + 1
    await worker.deliver()
    world.double.resume()
    await world.acknowledged(end)

    assert hits > 1
    assert await world.failures() == []
    assert world.documents()["1"]["name"] == "y"


async def test_a_few_bad_documents_are_no_flood(world: World) -> None:
    """Each failed document counts once, however many steps it takes to find it."""
    worker = await world.worker_with(flood=FloodLimits(run=60, window=200))
    world.poison(*(str(key) for key in range(1, 15)))
    for key in range(1, 15):
        end = world.change("c", key, name="x", n=key) + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert len(await world.failures("open")) == 14
    assert not [finding for finding in await world.state.findings() if finding.kind == "failure-flood"]


async def test_a_flood_that_was_looked_at_is_let_through(world: World) -> None:
    """The operator cleared the finding: these documents are recorded, without a second question."""
    worker = await world.worker_with(flood=FloodLimits(run=6, window=200))
    world.poison(*(str(key) for key in range(1, 13)))
    for key in range(1, 13):
        end = world.change("c", key, name="x", n=key) + 1
    await worker.deliver()
    await world.found("failure-flood")
    assert await world.failures() == []

    await world.state.clear_finding("failure-flood", "things", by="test: they are right")
    await world.acknowledged(end)
    assert len(await world.failures("open")) == 12


async def test_a_late_write_during_an_isolation_is_undone(world: World) -> None:
    """The repair waits behind the isolation, and nothing older stays."""
    world.with_scratch = False
    worker = await world.start()
    world.change("c", 1, name="old", n=1)
    end = world.change("u", 1, name="new", n=2) + 1
    await worker.deliver()
    await world.acknowledged(end)
    world.poison("9")
    for key in range(2, 12):
        end = world.change("c", key, name="x", n=key) + 1
    world.double.pause()
    await worker.deliver()
    await world.until(lambda: len(world.tasks()) > 1, "the poisoned write is accepted")
    metadata = WriteMetadata("write", "group", "zombie", 0, "late", {PLACE: (0, 0)}).encode()
    world.double.resume()
    await world.until(lambda: worker.pipeline._lanes["things"]._isolation is not None, "isolation runs")
    await worker.sinks[0].write("things", orjson.dumps({"id": 1, "name": "old", "n": 1}), metadata=metadata)
    await world.acknowledged(end)

    await world.until(lambda: worker.numbers.total("late_writes_mended") == 1, "it is noticed")
    await world.until(lambda: world.documents()["1"]["name"] == "new", "it is undone")
    assert [row[0] for row in await world.failures("open")] == ["9"]


@pytest.mark.parametrize("operation", ["u", "d"])
async def test_a_document_is_not_blamed_for_what_a_late_write_makes_of_it(world: World, operation: str) -> None:
    """The server names its id, and an older version of it that merged with ours is what the server can't take."""
    worker = await world.start()
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)

    def sick(tasks: Sequence[Any]) -> ApiError | None:
        rows = [row.fields for task in tasks if isinstance(task.content, Addition) for row in task.content.documents]
        if not any(row["name"] == "sick" for row in rows):
            return None
        world.double.pause()
        words = 'Could not find latitude nor longitude in the document with the id: `"1"`.'
        return ApiError("invalid_document_geo_field", words)

    world.double.core.batch_fault = sick
    world.double.pause()
    end = world.change(operation, 1, name="new", n=3) + 1
    await worker.deliver()
    for number in range(2):  # the flush, and what isolation sends
        await world.until(lambda n=number: len(world.tasks()) == 2 + 2 * n, "ours is accepted")  # type: ignore[misc]
        metadata = WriteMetadata("write", "group", "zombie", 0, f"late {number}", {PLACE: (0, 0)}, "id-1").encode()
        await worker.sinks[0].write("things", orjson.dumps({"id": 1, "name": "sick", "n": 2}), metadata=metadata)
        late = world.tasks()[-1]
        world.double.resume()
        await world.until(lambda task=late: task.status == "failed", "both fail")  # type: ignore[misc]
    world.double.resume()
    await world.acknowledged(end)

    assert await world.failures() == []
    assert [row["n"] for row in world.documents().values()] == ([3] if operation == "u" else [])


async def test_what_was_applied_beside_an_isolation_is_an_anchor_too(world: World) -> None:
    """A dump from before it is noticed, though isolation itself wrote nothing (protocol 13)."""
    worker = await world.start()
    world.change("c", 1, name="x", n=1)
    await worker.deliver()
    await world.acknowledged(1)
    dump = world.double.snapshot()
    keep: list[int] = []
    world.double.core.batch_fault = lambda tasks: (
        ApiError("internal", "internal: something is wrong.") if tasks[0].uid == keep[0] else None
    )
    world.double.pause()
    world.change("u", 1, name="first", n=2)
    await worker.deliver()
    await world.until(lambda: len(world.tasks()) == 2, "the first write is accepted")
    keep.append(world.tasks()[-1].uid)
    world.change("u", 1, name="second", n=3)
    await worker.deliver()
    await world.until(lambda: len(world.tasks()) == 3, "the second write is accepted")
    lane = worker.pipeline._lanes["things"]
    lane._settled = lambda: world.double.restore(dump)
    world.double.resume()
    await world.found("sink-lost-memory")

    assert world.log.offsets[PLACE] == 1


@pytest.mark.parametrize("code", ["task_canceled", "task_forgotten"])
async def test_a_task_that_says_nothing_convicts_nobody(world: World, code: str) -> None:
    """Canceled or pruned again and again, also when the document is alone: it is sent until the server gives a verdict."""
    worker = await world.start()
    left = 5

    def fault(_tasks: Sequence[object]) -> ApiError | None:
        nonlocal left
        left -= 1
        return ApiError(code, "no verdict") if left >= 0 else None

    world.double.core.batch_fault = fault
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert list(world.documents()) == ["1"]
    assert await world.failures() == []


async def test_a_disk_that_fills_up_while_isolating_in_place_convicts_nobody(world: World) -> None:
    """A suspect that is tried alone meets a full disk: isolation holds, and goes on once there is room (invariant 5)."""
    worker = await world.start()
    seen = 0

    def fault(_tasks: Sequence[object]) -> ApiError | None:
        nonlocal seen
        seen += 1
        if seen == 1:
            return ApiError("internal", "internal: something is wrong.")
        return ApiError("no_space_left_on_device", "No space left on device (os error 28)") if seen < 6 else None

    world.double.core.batch_fault = fault
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert await world.failures() == []
    assert list(world.documents()) == ["1"]


@pytest.mark.parametrize("with_scratch", [False, True])
@pytest.mark.parametrize("spell", range(1, 8))
async def test_a_spell_of_sickness_convicts_nobody(world: World, with_scratch: bool, spell: int) -> None:
    """The server fails so many batches and is well again, in the middle of an isolation: that is no reason to blame anybody."""
    world.with_scratch = with_scratch
    worker = await world.start()
    sick = 0

    def fault(tasks: Sequence[Any]) -> ApiError | None:
        nonlocal sick
        if not isinstance(tasks[0].content, Addition | Deletion) or sick >= spell:
            return None
        sick += 1
        return ApiError("internal", "internal: something is wrong.")

    world.double.core.batch_fault = fault
    for key in range(1, 3):
        end = world.change("c", key, name="x", n=key) + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert sick == spell
    assert await world.failures() == []
    assert len(world.documents()) == 2


@pytest.mark.parametrize("with_scratch", [False, True])
async def test_a_server_that_is_ill_now_and_then_convicts_nobody(world: World, with_scratch: bool) -> None:
    """It happens to be ill each time the document comes, and well whenever another does, five times over: a document is blamed
    for what the server was seen to refuse again and again, and not for two unlucky moments."""
    world.with_scratch = with_scratch
    worker = await world.start()
    refused = 0

    def fault(tasks: Sequence[Any]) -> ApiError | None:
        nonlocal refused
        documents = tasks[0].content.documents if isinstance(tasks[0].content, Addition) else ()
        if not any(incoming.fields.get("id") == 1 for incoming in documents) or refused == 5:
            return None
        refused += 1
        return ApiError("internal", "internal: something is wrong.")

    world.double.core.batch_fault = fault
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert refused == 5
    assert await world.failures() == []
    assert list(world.documents()) == ["1"]


async def test_without_a_scratch_index_a_server_that_takes_no_document_convicts_two_at_most(world: World) -> None:
    """Documents come one at a time, each fails with `internal`, deletes pass: from the third on another document has to show
    that the index takes any, so that a sick server does not dead-letter a quiet stream row by row."""

    def broken(tasks: Sequence[Any]) -> ApiError | None:
        return ApiError("internal", "internal: broken") if any(isinstance(t.content, Addition) for t in tasks) else None

    world.with_scratch = False
    worker = await world.start()
    world.double.core.batch_fault = broken
    for key in (1, 2):
        end = world.change("c", key, name="x", n=1) + 1
        await worker.deliver()
        await world.acknowledged(end)
    for key in (3, 4):
        end = world.change("c", key, name="x", n=1) + 1
        await worker.deliver()
        await world.until(worker.pipeline.health.holds, "held")
    assert [row[0] for row in await world.failures()] == ["1", "2"]

    world.double.core.batch_fault = lambda _tasks: None
    await world.acknowledged(end)
    assert set(world.documents()) == {"3", "4"}


async def third_poison_waits(world: World, worker: Worker) -> int:
    """Two documents in a row were convicted on no better proof than that the server still deletes, and the third waits for
    company. Returns up to where all is acknowledged."""
    world.poison("1", "2", "3")
    for key in (1, 2):
        end = world.change("c", key, name="x", n=1) + 1
        await worker.deliver()
        await world.acknowledged(end)
    world.change("c", 3, name="x", n=1)
    await worker.deliver()
    await world.until(worker.pipeline.health.holds, "held")
    return end


async def test_without_a_scratch_index_the_third_poison_in_a_row_is_found_once_another_document_passes(world: World) -> None:
    """One bad document costs one document: what waits for proof is convicted as soon as a later document gives it."""
    world.with_scratch = False
    worker = await world.start()
    await third_poison_waits(world, worker)
    end = world.change("c", 4, name="x", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert set(world.documents()) == {"4"}
    assert [row[0] for row in await world.failures()] == ["1", "2", "3"]


async def test_an_answer_lost_while_isolating_is_looked_for(world: World) -> None:
    """The write of an isolation was accepted, its answer cut: its task is found and awaited, and not sent again (invariant 6)."""
    world.with_scratch = False
    worker = await world.start()
    world.double.pause()
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.until(lambda: len(world.tasks()) == 1, "the write is accepted")
    world.tasks()[0].status = "canceled"
    strike = world.double.queue_fault(Operation.ADD_DOCUMENTS, LoseAnswer())
    world.double.resume()
    await world.acknowledged(end)

    assert strike.was_reached
    assert [task.status for task in world.tasks()] == ["canceled", "succeeded"]


async def test_what_a_truncate_takes_is_not_isolated(world: World) -> None:
    """Without a scratch index the third poison in a row waits for company. A TRUNCATE behind it gives none, and takes it."""
    world.with_scratch = False
    worker = await world.start()
    await third_poison_waits(world, worker)
    world.truncate()
    end = world.change("c", 4, name="x", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert set(world.documents()) == {"4"}
    assert await world.failures("open") == []


async def test_what_a_truncate_takes_is_not_acknowledged_before_it_is_applied(world: World) -> None:
    """A worker that dies before that leaves it to be read again (invariant 1)."""
    world.with_scratch = False
    worker = await world.start()
    end = await third_poison_waits(world, worker)
    lane, cleared = worker.pipeline._lanes["things"], asyncio.Event()
    real = lane._clear

    async def slowly(flush: Flush) -> None:
        await cleared.wait()
        await real(flush)

    lane._clear = slowly  # type: ignore[method-assign]
    last = world.truncate() + 1
    await worker.deliver()
    await world.until(lambda: lane._isolation is None, "the isolation is over")
    await worker.pipeline._tick(PLACE.topic)
    assert world.log.offsets[PLACE] == end

    cleared.set()
    await world.acknowledged(last)


async def test_a_neighbour_that_keeps_sending_poison_convicts_nobody(world: World) -> None:
    """Ours is merged with it each time it is tried: a verdict waits until it was alone in its server batch (protocol 1)."""
    world.with_scratch = False
    worker = await world.start()
    world.poison("99")
    sink, left = worker.sinks[0], 12
    real = sink.write
    neighbour = WriteMetadata("write", "group", "w2", 1, "n", {}).encode()

    async def merged(uid: str, ndjson: bytes, *, metadata: str) -> TaskUid:
        nonlocal left
        left -= 1
        if left < 0:
            return await real(uid, ndjson, metadata=metadata)
        world.double.pause()
        task = await real(uid, ndjson, metadata=metadata)
        await real(uid, b'{"id":99}', metadata=neighbour)
        world.double.resume()
        return task

    sink.write = merged  # type: ignore[method-assign,assignment]
    end = world.change("c", 1, name="mine", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert left < 0
    assert world.documents()["1"]["name"] == "mine"
    assert await world.failures() == []
