"""Partitions come and go in the middle of everything: what is not ours is neither written, recorded nor acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sync_worker.change.model import TopicPartition
from sync_worker.errors import LogUnavailable
from sync_worker.failure.model import OpenFailure
from sync_worker.testing.meilisearch.faults import HoldAnswer, LoseAnswer, Operation

from .world import PLACE, World


async def test_a_flush_in_flight_is_not_acknowledged_by_its_former_owner(world: World) -> None:
    """Revoked while the server works: it may be applied, but only the new owner acknowledges it."""
    first = await world.start()
    world.double.pause()
    end = world.change("c", 1, name="x", n=1) + 1
    await first.deliver()
    await world.until(world.tasks, "the write is accepted")
    first.group.owned = {}
    await first.pipeline.revoked(frozenset({PLACE}))
    world.double.resume()
    await world.until(lambda: world.documents(), "it is applied")
    await world.until(lambda: first.pipeline._lanes["things"].quiet, "the lane is done with it")
    await first.pipeline._tick(PLACE.topic)
    assert world.log.offsets.get(PLACE, 0) == 0

    second = await world.worker("w2")
    await second.assign(2)
    await second.deliver()
    await world.acknowledged(end)


async def test_a_rest_of_an_old_generation_takes_nothing_of_the_new_one_along(world: World) -> None:
    """A request hangs over a rebalance. What is left of its flush is dropped; what came since is written and acknowledged."""
    worker = await world.start()
    world.change("c", 1, name="x", n=1)
    world.change("d", 2)
    strike = world.double.queue_fault(Operation.ADD_DOCUMENTS, HoldAnswer())
    await worker.deliver()
    await strike.wait_reached()

    await worker.assign(2)
    await worker.deliver()
    end = world.change("c", 3, name="new", n=3) + 1
    await worker.deliver()
    strike.release()

    await world.acknowledged(end)
    assert set(world.documents()) == {"1", "3"}


async def test_revoked_in_mid_isolation_nothing_is_recorded(world: World) -> None:
    """A failure is inserted only by the partition's present owner (protocol 2)."""
    world.with_scratch = False
    first = await world.start()
    world.poison("1")
    world.double.pause()
    world.change("c", 1, name="x", n=1)
    world.change("c", 2, name="x", n=2)
    await first.deliver()
    await world.until(world.tasks, "the write is accepted")
    gate, real = asyncio.Event(), world.double.core.batch_fault

    def revoke(tasks: Sequence[object]) -> object:
        if len(world.tasks()) > 1 and not gate.is_set():
            gate.set()
            world.double.pause()
        return real(tasks)  # type: ignore[arg-type]

    world.double.core.batch_fault = revoke  # type: ignore[assignment]
    world.double.resume()
    await gate.wait()
    first.group.owned = {}
    await first.pipeline.revoked(frozenset({PLACE}))
    world.double.resume()
    await world.until(lambda: first.pipeline._lanes["things"].quiet, "the lane gave it up")

    assert await world.failures() == []
    assert world.dead_letters.letters == []
    assert world.log.offsets.get(PLACE, 0) == 0


async def test_revoked_while_the_letter_is_on_its_way_no_row_is_inserted(world: World) -> None:
    """Between the dead letter and the row the partition went to somebody else: the row is the new owner's to insert."""
    first = await world.start()
    publish, reached, go = world.dead_letters.publish, asyncio.Event(), asyncio.Event()

    async def slow(failures: Sequence[object]) -> object:
        references = await publish(failures)  # type: ignore[arg-type]
        reached.set()
        await go.wait()
        return references

    world.dead_letters.publish = slow  # type: ignore[method-assign,assignment]
    world.poison("1")
    world.change("c", 1, name="x", n=1)
    await first.deliver()
    await reached.wait()
    first.group.owned = {}
    await first.pipeline.revoked(frozenset({PLACE}))
    go.set()
    await world.until(lambda: first.pipeline._lanes["things"].quiet, "the lane gave it up")

    assert await world.failures() == []


async def test_a_bad_record_is_not_recorded_after_a_revocation(world: World) -> None:
    """The same for a record that failed before it reached the lane."""
    first = await world.start()
    publish, reached, go = world.dead_letters.publish, asyncio.Event(), asyncio.Event()

    async def slow(failures: Sequence[object]) -> object:
        references = await publish(failures)  # type: ignore[arg-type]
        reached.set()
        await go.wait()
        return references

    world.dead_letters.publish = slow  # type: ignore[method-assign,assignment]
    world.change("c", 1, name="x", n="not a number")
    task = asyncio.ensure_future(first.deliver())
    await reached.wait()
    first.group.owned = {}
    await first.pipeline.revoked(frozenset({PLACE}))
    go.set()
    await task

    assert await world.failures() == []


async def test_a_preparation_that_ends_after_its_revocation_changes_nothing(world: World) -> None:
    """The preparation of an old generation hung: when it ends, the newer one's work goes on undisturbed."""
    first = await world.start()
    await world.until(first.pipeline.health.ready, "the partition is prepared")
    real, reached, go = world.state.open_failures, asyncio.Event(), asyncio.Event()

    async def slow(index: str, partition: TopicPartition, topic_id: str | None = None) -> Sequence[OpenFailure]:
        world.state.open_failures = real  # type: ignore[method-assign]
        reached.set()
        await go.wait()
        return await real(index, partition, topic_id)

    world.state.open_failures = slow  # type: ignore[method-assign]
    await first.assign(2)
    await reached.wait()
    await first.assign(3)
    await world.until(first.pipeline.health.ready, "the partition is prepared again")
    go.set()
    await world.until(
        lambda: len([name for name in first.pipeline.tasks.running() if name.startswith("prepare")]) == 0, "both ended"
    )
    end = world.change("c", 1, name="x", n=1) + 1
    await first.deliver()

    await world.acknowledged(end)
    assert first.pipeline._lanes["things"].generation == 3


async def test_a_rebalance_while_the_preparation_holds(world: World) -> None:
    """Kafka is away while a partition is prepared, and the partition is taken away and given back meanwhile."""
    first = await world.start()
    await world.until(first.pipeline.health.ready, "the partition is prepared")
    world.log.fault = LogUnavailable("no broker")
    await first.assign(2)
    await world.until(lambda: first.pipeline.health.holds(), "the hold is on display")
    assert not first.pipeline.health.ready()
    await first.assign(3)
    world.log.fault = None
    await world.until(first.pipeline.health.ready, "the partition is prepared")
    end = world.change("c", 1, name="x", n=1) + 1
    await first.deliver()
    await world.acknowledged(end)

    assert first.pipeline.health.holds() == []


async def test_records_of_an_old_generation_are_not_taken(world: World) -> None:
    """A chunk that was fetched before the rebalance comes after it: it is read again, not taken twice."""
    worker = await world.start()
    world.change("c", 1, name="x", n=1)
    stale = worker.group.fetch(PLACE)
    assert stale is not None
    await worker.assign(2)
    await world.until(worker.pipeline.health.ready, "the partition is prepared")
    await worker.pipeline.take(stale)

    ledger = worker.pipeline._partitions[PLACE].ledger
    assert ledger is not None
    assert ledger.position == 0


async def test_a_rebalance_while_the_tasks_are_read_ends_nothing(world: World) -> None:
    """The keeper looks for late writes when the partition goes and comes again: the next look is the new generation's."""
    worker = await world.start()
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)
    sink, reached, go = worker.sinks[0], asyncio.Event(), asyncio.Event()
    real = sink.tasks_from

    async def slow(uid: str, start: int, *, limit: int = 1000) -> object:
        found = await real(uid, 0, limit=limit)
        if not reached.is_set():
            reached.set()
            await go.wait()
        return found

    sink.tasks_from = slow  # type: ignore[method-assign,assignment]
    worker.pipeline._keepers[PLACE.topic]._checked_at = -1e9
    world.change("c", 2, name="x", n=1)
    await worker.deliver()
    await reached.wait()
    sink.tasks_from = real  # type: ignore[method-assign]
    worker.group.owned = {}
    await worker.pipeline.revoked(frozenset({PLACE}))
    go.set()
    await asyncio.sleep(0.05)
    assert worker.pipeline.tasks.crash is None

    await worker.assign(2)
    await worker.deliver()
    await world.acknowledged(2)


async def test_a_clear_whose_answer_was_lost_in_a_rebalance_goes_on_by_itself(world: World) -> None:
    """The TRUNCATE is read again and clears again: nobody needs to decide anything."""
    worker = await world.start()
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)
    strike = world.double.queue_fault(Operation.CLEAR_DOCUMENTS, LoseAnswer())
    real = worker.sinks[0].clear

    async def lost_late(uid: str, *, metadata: str) -> object:
        try:
            return await real(uid, metadata=metadata)
        finally:
            if not lost.is_set():
                lost.set()
                world.double.pause()
                await go.wait()

    lost, go = asyncio.Event(), asyncio.Event()
    worker.sinks[0].clear = lost_late  # type: ignore[method-assign,assignment]
    world.truncate()
    end = world.change("c", 2, name="x", n=2) + 1
    await worker.deliver()
    await lost.wait()
    assert strike.was_reached
    tasks_from = worker.sinks[0].tasks_from

    async def before_it(uid: str, start: int, *, limit: int = 1000) -> object:
        found = await tasks_from(uid, start, limit=limit)
        return [task for task in found if "clear" not in (task.metadata or "")]

    worker.sinks[0].tasks_from = before_it  # type: ignore[method-assign,assignment]
    await worker.assign(2)
    await world.until(worker.pipeline.health.ready, "the partition is prepared")
    worker.sinks[0].tasks_from = tasks_from  # type: ignore[method-assign]
    go.set()
    world.double.resume()
    await worker.deliver()
    await world.until(lambda: world.log.offsets.get(PLACE, 0) >= end or worker.pipeline.health.holds(), "it goes on or holds")
    await world.until(lambda: world.log.offsets.get(PLACE, 0) >= end, "acknowledgement", timeout_s=2)
