"""One bad document costs one document: it is found and recorded, all others are applied (invariant 4)."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from sync_worker.batch.metadata import WriteMetadata
from sync_worker.errors import StateUnavailable
from sync_worker.failure.flood import FloodLimits
from sync_worker.testing.meilisearch.errors import ApiError
from sync_worker.testing.meilisearch.faults import Operation, Reject

from .world import PLACE, World


@pytest.mark.parametrize("with_scratch", [True, False], ids=["on a scratch index", "in place"])
@pytest.mark.parametrize("count", [1, 2, 40])
async def test_an_unnamed_poison_is_found(world: World, with_scratch: bool, count: int) -> None:
    """`internal` names nobody: bisection finds exactly the documents that fail."""
    world.with_scratch = with_scratch
    worker = await world.start()
    world.poison("7", "23") if count > 2 else world.poison("1")
    bad = {"7", "23"} if count > 2 else {"1"}
    for key in range(1, count + 1):
        end = world.change("c", key, name="x", n=key) + 1

    await worker.deliver()
    await world.acknowledged(end)

    assert set(world.documents()) == {str(key) for key in range(1, count + 1)} - bad
    assert {row[0] for row in await world.failures("open")} == bad
    assert {failure.document_id for failure, _ in world.dead_letters.letters} == bad
    assert not [uid for uid in world.double.core.state.indexes if uid.startswith("scratch")]


async def test_the_dead_letter_is_the_original_record(world: World) -> None:
    """Key, value, topic, partition, offset and timestamp of the source's event, beside the server's own words."""
    worker = await world.start()
    world.poison("2")
    world.change("c", 1, name="x", n=1)
    offset = world.change("c", 2, name="x", n=2)

    await worker.deliver()
    await world.acknowledged(offset + 1)

    ((failure, record),) = world.dead_letters.letters
    original = world.log.partitions[PLACE][offset]
    assert (record.key, record.value, record.offset, record.timestamp) == (
        original.key,
        original.value,
        offset,
        original.timestamp,
    )
    assert (failure.document_id, failure.offset, failure.code) == ("2", offset, "internal")
    assert "something is wrong" in failure.message


async def test_a_named_poison_is_tried_alone(world: World) -> None:
    """Where the server's words name the document no bisection is needed."""
    worker = await world.start()
    message = 'Index `things`: Could not parse latitude in the document with the id: `"5"`. Was expecting a finite number.'
    world.poison("5")
    inner = world.double.core.batch_fault
    world.double.core.batch_fault = lambda tasks: ApiError("invalid_document_geo_field", message) if inner(tasks) else None
    for key in range(1, 30):
        end = world.change("c", key, name="x", n=key) + 1

    await worker.deliver()
    await world.acknowledged(end)

    assert [row[:2] for row in await world.failures("open")] == [("5", "invalid_document_geo_field")]
    assert len(world.documents()) == 28
    assert len(world.tasks()) == 3


async def test_isolation_behind_a_later_flush_writes_nothing_old(world: World) -> None:
    """Flush N fails while N+1, with newer versions, is accepted: N's documents are not written over N+1's."""
    worker = await world.start()
    world.poison("1")
    world.double.pause()
    world.change("c", 1, name="bad", n=1)
    world.change("c", 2, name="old", n=1)
    world.change("c", 3, name="only", n=1)
    await worker.deliver()
    await world.until(lambda: len(world.tasks()) == 1, "the first flush is accepted")
    end = world.change("u", 2, name="new", n=2) + 1
    await worker.deliver()
    await world.until(lambda: len(world.tasks()) == 2, "the second flush is accepted")
    seen: list[object] = []
    fault = world.double.core.batch_fault

    def watch(tasks: list[object]) -> object:
        seen.append(world.documents().get("2", {}).get("name"))
        return fault(tasks)  # type: ignore[arg-type]

    world.double.core.batch_fault = watch  # type: ignore[assignment]
    world.double.resume()
    await world.acknowledged(end)

    assert world.documents()["2"]["name"] == "new"
    assert world.documents()["3"]["name"] == "only"
    names = [name for name in seen if name]
    assert "old" not in names[names.index("new") :] if "new" in names else True
    assert [row[0] for row in await world.failures("open")] == ["1"]


async def test_another_writers_poison_does_not_convict_ours(world: World) -> None:
    """A verdict counts only in solitude: tasks of another writer are merged with ours and fail them (protocol 1)."""
    world.with_scratch = False
    worker = await world.start()
    world.poison("99")
    world.double.pause()
    sink = worker.sinks[0]
    other = WriteMetadata("write", "group", "w2", 1, "n", {}).encode()
    end = world.change("c", 1, name="mine", n=1) + 1
    await worker.deliver()
    await world.until(lambda: len(world.tasks()) == 1, "our write is accepted")
    for _ in range(2):
        await sink.write("things", orjson.dumps({"id": 99}), metadata=other)
    world.double.resume()

    await world.acknowledged(end)

    assert world.documents()["1"]["name"] == "mine"
    assert await world.failures() == []


async def test_a_document_above_the_payload_limit_is_recorded_and_the_rest_split(world: World) -> None:
    """413 splits the payload; one document alone above the limit is dead-lettered."""
    worker = await world.start()
    limit = 20_000
    end = 0
    for key in range(1, 21):
        end = world.change("c", key, name="x" * 3_000, n=key) + 1
    end = world.change("c", 50, name="y" * 30_000, n=1) + 1
    sink = worker.pipeline._lanes["things"].index.sink
    real = sink.write

    async def limited(uid: str, ndjson: bytes, *, metadata: str) -> object:
        if len(ndjson) > limit:
            world.double.queue_fault(Operation.ADD_DOCUMENTS, Reject(413, "payload_too_large", "too large"))
        return await real(uid, ndjson, metadata=metadata)

    sink.write = limited  # type: ignore[method-assign,assignment]
    await worker.deliver()
    await world.acknowledged(end)

    assert len(world.documents()) == 20
    assert [row[:2] for row in await world.failures("open")] == [("50", "payload_too_large")]


async def test_a_letter_whose_record_is_gone_from_the_log_says_so(world: World) -> None:
    """Retention took the record before its document was convicted: an empty letter must not pass for a tombstone."""
    worker = await world.start()
    world.poison("1")
    end = world.change("c", 1, name="x", n=1) + 1
    world.double.pause()
    await worker.deliver()
    await world.until(world.tasks, "the write is accepted")
    world.log.starts[PLACE] = end
    real, calls = world.state.record_failures, 0

    async def away_once(*args: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise StateUnavailable("gone")
        await real(*args)

    world.state.record_failures = away_once  # type: ignore[method-assign,assignment]
    world.double.resume()
    await world.acknowledged(end)

    ((failure, record),) = world.dead_letters.letters
    assert (failure.code, record.value) == ("record_removed", None)
    assert "internal" in failure.message
    assert "the log no longer has the record at offset 0" in failure.message
    assert [row[1] for row in await world.failures("open")] == ["record_removed"]


async def test_a_flood_of_failures_holds_instead_of_dead_lettering(world: World) -> None:
    """When everything fails, the declaration is to blame: hold, record nothing, acknowledge nothing."""
    worker = await world.start()
    for key in range(1, 700):
        world.change("c", key, name="x", n="not a number")

    task = asyncio.ensure_future(worker.deliver())
    await world.until(
        lambda: any(hold.kind == "failure-flood" for hold in worker.pipeline.health.holds()), "the flood is on display"
    )

    assert await world.failures() == []
    assert world.dead_letters.letters == []
    assert world.log.offsets.get(PLACE, 0) == 0
    await world.found("failure-flood")

    await world.state.clear_finding("failure-flood", "things", by="test: they are right")
    await task
    await world.acknowledged(699)
    assert len(await world.failures("open")) == 699


async def test_a_flood_of_rejected_documents_holds(world: World) -> None:
    """The same when it is the server who refuses them all."""
    world.flood = FloodLimits(run=40)
    worker = await world.start()
    for key in range(1, 80):
        world.change("c", key, name="x", n=key)
    world.poison(*(str(key) for key in range(1, 80)))

    await worker.deliver()
    await world.until(
        lambda: any(hold.kind == "failure-flood" for hold in worker.pipeline.health.holds()), "the flood is on display"
    )

    assert await world.failures() == []
    assert world.log.offsets.get(PLACE, 0) == 0
