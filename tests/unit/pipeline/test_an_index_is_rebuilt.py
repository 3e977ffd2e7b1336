"""A rebuild as the workers see it: both indexes get every change from first to last, and the swap parts no pair."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest

from sync_worker.errors import StateUnavailable
from sync_worker.pipeline.rebuilding import LEASE_S
from sync_worker.rebuild.model import Phase
from sync_worker.testing.meilisearch.faults import LoseAnswer, Operation, Reject

from .rebuild import TARGET, Steps
from .world import PLACE, TABLE, Worker, World


@pytest.fixture
async def steps(world: World) -> AsyncIterator[Steps]:
    made = Steps(world)
    yield made
    await made.close()


def rows(world: World) -> dict[str, dict[str, object]]:
    return {str(key): dict(row) for (key,), row in world.source.tables[TABLE].items()}


async def settled(world: World, worker: Worker) -> None:
    await worker.deliver()
    await world.acknowledged(world.log.end(PLACE))
    await world.until(lambda: all(lane.quiet for lane in worker.pipeline._lanes.values()), "nothing is in flight")


async def test_a_whole_rebuild_and_back_and_forth(world: World, steps: Steps) -> None:
    """Through dual write, fill, cutover, rollback and a second cutover to the end: each name shows the table at every rest."""
    worker = await world.start()
    for key in range(1, 6):
        world.change("c", key, name="before", n=key)
    await settled(world, worker)
    await steps.dual("w1")
    world.change("u", 1, name="during", n=10)
    world.change("d", 2)
    await settled(world, worker)
    assert set(world.documents(TARGET)) == {"1"}, "only what changed since is in the target"
    await steps.fill("w1")
    await settled(world, worker)
    await steps.filled()
    assert world.documents("things") == world.documents(TARGET) == rows(world)
    for turn in range(3):
        before = world.double.core.state.indexes["things"].created_at
        await steps.swap("w1")
        assert world.double.core.state.indexes["things"].created_at != before
        world.change("u", 3, name=f"after swap {turn}", n=turn)
        world.change("c", 20 + turn, name="new", n=turn)
        await settled(world, worker)
        assert world.documents("things") == world.documents(TARGET) == rows(world), turn
    await steps.end("w1")
    world.change("u", 4, name="after", n=99)
    await settled(world, worker)
    assert world.documents("things") == rows(world)
    assert TARGET not in world.double.core.state.indexes
    assert [finding.kind for finding in await world.state.findings()] == []


async def test_rows_of_the_fill_go_to_the_target_alone(world: World, steps: Steps) -> None:
    """They would cost the live index a batch for each chunk, and close nothing that failed there (protocol rule 11)."""
    worker = await world.start()
    world.change("c", 1, name="x", n="not a number")
    world.change("c", 2, name="x", n=2)
    await settled(world, worker)
    await steps.dual("w1")
    await steps.ask(Phase.FILLING, "w1")
    tasks = len(world.tasks("things"))
    world.snapshot_row({"id": 1, "name": "x", "n": 1})
    world.snapshot_row({"id": 2, "name": "x", "n": 2})
    await settled(world, worker)
    assert set(world.documents(TARGET)) == {"1", "2"}
    assert len(world.tasks("things")) == tasks
    assert len(await world.failures("open")) == 1, "the live index still lacks document 1"


async def test_an_abort_leaves_the_live_index_as_it_was(world: World, steps: Steps) -> None:
    """Nothing of the target is left, and writing goes on."""
    worker = await world.start()
    world.change("c", 1, name="x", n=1)
    await settled(world, worker)
    await steps.dual("w1")
    await steps.fill("w1")
    await settled(world, worker)
    await steps.end("w1")
    world.change("c", 2, name="x", n=2)
    await settled(world, worker)
    assert world.documents("things") == rows(world)
    assert TARGET not in world.double.core.state.indexes
    assert list(worker.pipeline._lanes) == ["things"]


async def test_a_worker_that_joins_later_writes_to_both_from_its_first_write_on(world: World, steps: Steps) -> None:
    """What is recorded is read before an assignment."""
    first = await world.start()
    await steps.dual("w1")
    await first.die()
    world.workers.remove(first)
    world.change("c", 1, name="x", n=1)
    second = await world.worker("w2")
    await second.assign(2)
    await settled(world, second)
    assert world.documents("things") == world.documents(TARGET) == rows(world)


async def test_a_worker_that_starts_during_the_swap_waits_for_its_end(world: World, steps: Steps) -> None:
    """Killed in the middle of the pause: whoever takes over writes to nothing before the names are settled."""
    first = await world.start()
    await steps.dual("w1")
    await steps.fill("w1")
    await settled(world, first)
    await steps.filled()
    await steps.ask(Phase.PAUSING, "w1")
    await first.die()
    world.workers.remove(first)
    await steps._to(steps.now, Phase.SWAPPING)
    world.change("c", 1, name="x", n=1)
    second = await world.worker("w2")
    await second.assign(2)
    delivery = asyncio.ensure_future(second.deliver())
    await asyncio.sleep(0.2)
    assert not world.tasks("things")
    assert not world.tasks(TARGET)
    await steps.admin.enqueue_swap("things", TARGET)
    while await steps.admin.unfinished_swaps():  # noqa: ASYNC110 - the server decides
        await asyncio.sleep(0.005)
    await steps.exchanged()
    await delivery
    await settled(world, second)
    assert world.documents("things") == world.documents(TARGET) == rows(world)
    assert [finding.kind for finding in await world.state.findings()] == []


async def test_no_pause_is_confirmed_while_something_is_in_flight(world: World, steps: Steps) -> None:
    """Protocol rule 10: the swap would enter between the two writes of a pair."""
    worker = await world.start()
    await steps.dual("w1")
    await steps.fill("w1")
    await settled(world, worker)
    await steps.filled()
    world.double.pause()
    world.change("c", 1, name="x", n=1)
    await worker.deliver()
    await world.until(lambda: world.tasks("things"), "it is accepted and not applied")
    await steps.ask(Phase.PAUSING)
    await asyncio.sleep(0.2)
    assert await steps.confirming() == []
    world.double.resume()
    await steps.confirmed("w1")


async def test_what_failed_on_the_target_alone_is_failed_work_of_the_live_index_after_the_swap(
    world: World, steps: Steps
) -> None:
    """Failures belong to a physical index: they travel with it, and a later change closes each where it is applied."""
    worker = await world.start()
    world.change("c", 1, name="x", n=1)
    await settled(world, worker)
    await steps.dual("w1")
    await steps.ask(Phase.FILLING, "w1")
    world.snapshot_row({"id": 1, "name": "x", "n": "not a number"})
    await settled(world, worker)
    await steps.filled()
    assert await world.state.open_failures("things", PLACE) == []
    await steps.swap("w1")
    assert len(await world.state.open_failures("things", PLACE)) == 1
    world.change("u", 1, name="x", n=2)
    await settled(world, worker)
    assert await world.state.open_failures("things", PLACE) == []


async def test_a_target_that_vanished_holds_nothing(world: World, steps: Steps) -> None:
    """Its lane would wait for ever, and keep the live index's offsets back (protocol rule 12)."""
    worker = await world.start()
    await steps.dual("w1")
    await steps.admin.delete_index(TARGET)
    world.change("c", 1, name="x", n=1)
    await worker.deliver()
    await world.acknowledged(world.log.end(PLACE))
    assert world.documents("things") == rows(world)
    await world.until(lambda: "is gone" in str(worker.pipeline.health.holds()), "it is told")


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(6, 40))])
async def test_both_are_equal_to_the_table_whatever_happens_meanwhile(world: World, steps: Steps, seed: int) -> None:
    """Updates, deletes and key changes at full speed through all steps and a rollback, with lost answers, refused requests and a
    worker that is killed: both indexes show the table at the end."""
    random = Random(seed)
    worker = await world.start()
    stop = asyncio.Event()
    generation = 1

    async def write() -> None:
        while not stop.is_set():
            key = random.randrange(1, 12)
            if random.random() < 0.2:
                world.change("d", key)
            elif random.random() < 0.1 and (key,) in world.source.tables[TABLE]:
                moved = key + 100  # a key change is a delete and a create
                world.change("d", key)
                world.change("c", moved, name="moved", n=random.randrange(1000))
            else:
                world.change("u", key, name="x", n=random.randrange(1000))
            if random.random() < 0.05:
                fault = LoseAnswer() if random.random() < 0.5 else Reject(503)
                world.double.queue_fault(random.choice([Operation.ADD_DOCUMENTS, Operation.DELETE_DOCUMENTS]), fault)
            await asyncio.sleep(random.choice([0, 0.002]))

    async def deliver() -> None:
        while not stop.is_set():
            if (chunk := worker.group.fetch(PLACE, random.choice([1, 3, 50]))) is not None:
                await worker.pipeline.take(chunk)
            await asyncio.sleep(0.001)

    async def kill() -> None:
        nonlocal worker, generation
        delivering.cancel()
        await worker.die()
        world.workers.remove(worker)
        generation += 1
        worker = await world.worker(f"w{generation}")
        await worker.assign(generation)

    writing = asyncio.ensure_future(write())
    delivering = asyncio.ensure_future(deliver())
    try:
        await steps.create()
        for step in ("dual", "fill", "filled", "swap", "swap", "swap"):
            if random.random() < 0.4:
                await kill()
                delivering = asyncio.ensure_future(deliver())
            if step == "dual":
                await steps.ask(Phase.DUAL, worker.name)
            elif step == "filled":
                await world.acknowledged(world.log.end(PLACE))
                await steps.filled()
            else:
                await getattr(steps, step)(worker.name)
    finally:
        stop.set()
        await writing
        world.double.faults.clear()
    await delivering
    await settled(world, worker)
    await world.double.wait_idle()
    assert world.documents("things") == rows(world)
    assert world.documents(TARGET) == rows(world)
    assert [finding.kind for finding in await world.state.findings()] == []


async def test_rows_of_one_indexs_fill_are_not_written_to_the_tables_other_indexes(world: World, steps: Steps) -> None:
    """They have them already, and each chunk would cost them a batch."""
    world.declare()
    world.declare("others")
    worker = await world.start()
    await steps.dual("w1")
    await steps.ask(Phase.FILLING, "w1")
    world.snapshot_row({"id": 1, "name": "x", "n": 1})
    world.change("c", 2, name="x", n=2)
    await settled(world, worker)
    assert set(world.documents(TARGET)) == {"1", "2"}
    assert set(world.documents("others")) == {"2"}
    await steps.filled()
    await world.until(lambda: all(lane.takes_rows for lane in worker.pipeline._lanes.values()), "rows go to all again")


async def test_a_worker_that_can_not_read_how_far_a_rebuild_is_stops_writing(world: World, steps: Steps) -> None:
    """Others take it for dead after a while, and swap: the second half of a pair of its writes would go to the wrong index."""
    worker = await world.start()
    await steps.dual("w1")
    real = world.state.rebuilds

    async def away() -> object:
        raise StateUnavailable("away")

    world.state.rebuilds = away  # type: ignore[method-assign,assignment]
    await asyncio.sleep(1.5 * LEASE_S / 20)  # the lease is told by a clock that runs twenty times as fast
    world.change("c", 1, name="x", n=1)
    await worker.deliver()
    await world.until(lambda: "could not be read" in str(worker.pipeline.health.holds()), "it holds, and says why")
    assert not world.tasks("things")
    assert not world.tasks(TARGET)
    world.state.rebuilds = real  # type: ignore[method-assign]
    await settled(world, worker)
    assert world.documents("things") == world.documents(TARGET) == rows(world)
