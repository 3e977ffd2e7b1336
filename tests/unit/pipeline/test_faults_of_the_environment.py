"""A fault of the environment loses nothing and dead-letters nothing: hold, say so, go on by itself (invariant 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sync_worker.errors import DecodeError, LogUnavailable, SourceUnavailable
from sync_worker.testing.meilisearch.faults import LoseAnswer, LoseRequest, Operation, Reject

from .world import PLACE, World


async def test_a_full_disk_holds_and_goes_on(world: World) -> None:
    """Nothing is blamed on a document; once there is room the same documents arrive."""
    worker = await world.start()
    world.double.fill_disk()
    end = [world.change("c", key, name="x", n=key) + 1 for key in range(1, 6)][-1]
    await worker.deliver()
    await world.until(lambda: any(hold.kind == "SinkFull" for hold in worker.pipeline.health.holds()), "the hold is on display")
    assert world.log.offsets.get(PLACE, 0) == 0

    world.double.fill_disk(False)
    await world.acknowledged(end)

    assert len(world.documents()) == 5
    assert await world.failures() == []
    assert worker.pipeline.health.holds() == []


async def test_a_server_that_fails_everything_as_internal_holds(world: World) -> None:
    """`internal` for everything, even for a document known to be good: it is not a document's fault."""
    worker = await world.start()
    fine = world.double.core.batch_fault
    world.poison("1", "2", "3", "probe")
    end = [world.change("c", key, name="x", n=key) + 1 for key in range(1, 4)][-1]
    await worker.deliver()
    await world.until(
        lambda: any(hold.kind == "SinkUnavailable" for hold in worker.pipeline.health.holds()), "the hold is on display"
    )
    assert await world.failures() == []

    world.double.core.batch_fault = fine
    await world.acknowledged(end)
    assert len(world.documents()) == 3
    assert await world.failures() == []


async def test_a_refused_key_holds(world: World) -> None:
    """403: the documents wait."""
    worker = await world.start()
    for _ in range(3):
        world.double.queue_fault(Operation.ADD_DOCUMENTS, Reject(403, "invalid_api_key", "no"))
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert list(world.documents()) == ["1"]
    assert await world.failures() == []


async def test_a_lost_answer_is_not_sent_twice(world: World) -> None:
    """The write was accepted, the answer cut: the task is found by its nonce and awaited (invariant 6)."""
    worker = await world.start()
    strike = world.double.queue_fault(Operation.ADD_DOCUMENTS, LoseAnswer())
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert strike.was_reached
    assert len(world.tasks()) == 1


async def test_a_lost_request_is_sent_again(world: World) -> None:
    """The connection was cut before anything was done."""
    worker = await world.start()
    world.double.queue_fault(Operation.ADD_DOCUMENTS, LoseRequest())
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert list(world.documents()) == ["1"]
    assert len(world.tasks()) == 1


async def test_a_long_wait_never_sends_again(world: World) -> None:
    """While the task lives the payload is not sent again, however often the server fails to answer (invariant 6)."""
    worker = await world.start()
    world.double.pause()
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.until(lambda: len(world.tasks()) == 1, "the write is accepted")
    for _ in range(5):
        world.double.queue_fault(Operation.READ_TASKS, Reject(503, "internal", "busy"))
    await world.until(
        lambda: any(hold.subject.startswith("meilisearch") for hold in worker.pipeline.health.holds()), "the hold is shown"
    )
    world.double.resume()
    await world.acknowledged(end)

    assert len(world.tasks()) == 1


async def test_canceled_tasks_are_sent_again(world: World) -> None:
    """Somebody canceled our task: nothing is wrong with its documents."""
    worker = await world.start()
    world.double.pause()
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.until(lambda: len(world.tasks()) == 1, "the write is accepted")
    world.tasks()[0].status = "canceled"
    world.double.resume()
    await world.acknowledged(end)

    assert list(world.documents()) == ["1"]
    assert await world.failures() == []


async def test_dead_letters_that_cannot_be_delivered_hold(world: World) -> None:
    """No offset moves past a failure that is not recorded."""
    worker = await world.start()
    world.dead_letters.fault = LogUnavailable("the dead-letter topic does not answer")
    end = world.change("c", 1, name="x", n="not a number") + 1
    task = asyncio.ensure_future(worker.deliver())
    await world.until(
        lambda: any(hold.subject == "dead letters" for hold in worker.pipeline.health.holds()), "the hold is on display"
    )
    assert world.log.offsets.get(PLACE, 0) == 0

    world.dead_letters.fault = None
    await task
    await world.acknowledged(end)
    assert [row[:2] for row in await world.failures("open")] == [("1", "value_misfit")]


async def test_an_unavailable_source_holds_only_what_needs_it(world: World) -> None:
    """A row without its TOAST column waits for the source; it is never written without the column."""
    worker = await world.start()
    world.source.fault = SourceUnavailable("no connection")
    world.source.tables["public.things"][(1,)] = {"id": 1, "name": "long", "n": 2}
    offset = world.change("u", 1, name="__debezium_unavailable_value", n=2)
    world.source.tables["public.things"][(1,)] = {"id": 1, "name": "long", "n": 2}
    task = asyncio.ensure_future(worker.deliver())
    await world.until(lambda: worker.pipeline.health.holds(), "the hold is on display")
    assert world.tasks() == []

    world.source.fault = None
    await task
    await world.acknowledged(offset + 1)
    assert world.documents()["1"] == {"id": 1, "name": "long", "n": 2}


async def test_a_key_that_the_source_cannot_read_costs_one_record(world: World) -> None:
    """One bad key among those that are fetched: that record is recorded, its neighbours are fetched and applied."""
    worker = await world.start()
    real = world.source.rows

    async def picky(
        table: str, columns: Sequence[str], keys: Sequence[Mapping[str, Any]], *, after: Collection[int] = ()
    ) -> Sequence[Any]:
        if any(key["id"] == 2 for key in keys):
            raise DecodeError("the key does not fit", code="key-mismatch")
        return await real(table, columns, keys)

    world.source.rows = picky  # type: ignore[method-assign,assignment]
    for key in (1, 2, 3):
        end = world.change("u", key, name="__debezium_unavailable_value", n=key) + 1
        world.source.tables["public.things"][(key,)] = {"id": key, "name": "long", "n": key}
    await worker.deliver()
    await world.acknowledged(end)

    assert set(world.documents()) == {"1", "3"}
    assert [row[1] for row in await world.failures("open")] == ["key-mismatch"]


async def test_the_lag_grows_while_the_worker_holds(world: World) -> None:
    """What was taken and is not acknowledged is lag, also while nothing can be acknowledged: that is when it matters."""
    worker = await world.start()
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)
    world.double.fill_disk()
    for key in range(2, 12):
        world.change("c", key, name="x", n=key)
    await worker.deliver()

    lag = ("lag_messages", (("partition", "0"), ("topic", PLACE.topic)))
    await world.until(lambda: worker.numbers.counters.get(lag) == 10, "the lag is on display")
