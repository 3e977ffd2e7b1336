"""What the stream itself tells: the end of a snapshot, rows that nobody asked for, restarts of the connector."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import orjson

from sync_worker.change.model import TopicPartition
from sync_worker.errors import StateUnavailable
from sync_worker.failure.findings import FindingKind, found
from sync_worker.testing.memory import envelope
from sync_worker.watch.fill import Fill, FillProof

from .world import PLACE, TABLE, World

END = ("index things", "snapshot end")
RUN = (f"partition {PLACE.topic}:{PLACE.partition}", "connector run")


def read(world: World, key: int, snapshot: str | None, *, run: str = "r1") -> int:
    """A row that a snapshot reads, or with None one that is streamed."""
    now = int(time.time() * 1000)
    row = {"id": key, "name": "x", "n": key}
    world.source.tables[TABLE][(key,)] = dict(row)
    value = envelope(TABLE, "r" if snapshot else "c", row=row, source_ms=now, snapshot=snapshot)
    headers = [("__debezium.context.runId", run.encode())]
    return world.log.append(PLACE, orjson.dumps({"id": key}), value, timestamp=now, headers=headers)


def filled(end: int, topic_id: str = "id-1") -> Fill:
    return Fill("things", "things", "2026", FillProof.LAST_ROW, "d", "c", topic_id, {0: end}, 1.0)


async def delivered(world: World, *snapshots: str | None) -> None:
    worker = world.workers[0]
    for key, snapshot in enumerate(snapshots, start=1):
        end = read(world, key, snapshot) + 1
    await worker.deliver()
    await world.acknowledged(end)


async def open_kinds(world: World) -> list[str]:
    return [finding.kind for finding in await world.state.findings()]


async def test_the_last_row_of_a_snapshot_is_noted_before_it_is_acknowledged(world: World) -> None:
    """What was written up to it is proven to be everything once it is acknowledged."""
    await world.start()
    await delivered(world, "first", "true", "last_in_data_collection", None)
    assert (await world.state.recorded_facts())[END] == {"proof": "snapshot-last-row", "topic_id": "id-1", "ends": {"0": 3}}
    assert await open_kinds(world) == []


async def test_rows_that_a_signal_asked_for_end_no_snapshot(world: World) -> None:
    """A backfill has its own proof."""
    await world.start()
    await delivered(world, "incremental", "incremental", None)
    assert END not in await world.state.recorded_facts()


async def test_a_table_that_is_read_again_unasked_puts_deletes_in_doubt(world: World) -> None:
    """The connector lost its slot or its offsets: what was deleted between has no event."""
    await world.start()
    await world.state.save_fills([filled(0)])
    await delivered(world, "first", "last")
    [finding] = await world.state.findings()
    assert (finding.kind, finding.subject, finding.blocking) == ("deletes-unproven", "things", False)
    assert END not in await world.state.recorded_facts()


async def test_another_topic_of_the_same_name_was_not_asked_for_either(world: World) -> None:
    """The topic was made anew and the table read again into it."""
    await world.start()
    await world.state.save_fills([filled(1_000_000, topic_id="id-0")])
    await delivered(world, "first", "last")
    assert await open_kinds(world) == ["deletes-unproven"]


async def test_the_initial_snapshot_read_again_after_a_restart_is_no_news(world: World) -> None:
    """Its rows lie before the fill's end."""
    await world.start()
    await world.state.save_fills([filled(2)])
    await delivered(world, "first", "last")
    assert await open_kinds(world) == []


async def test_a_restart_of_the_connector_is_recorded_and_is_no_finding(world: World) -> None:
    """The run's id is in every record's headers."""
    worker = await world.start()
    read(world, 1, None, run="r1")
    await worker.deliver()
    end = read(world, 2, None, run="r2") + 1
    await worker.deliver()
    await world.acknowledged(end)
    assert (await world.state.recorded_facts())[RUN] == "r2"
    assert await open_kinds(world) == []


async def test_an_index_whose_key_changed_is_read_no_further_until_somebody_decided(world: World) -> None:
    """Nothing is written under a key that may not be the row's, and nothing is acknowledged; then it goes on by itself."""
    worker = await world.start()
    await delivered(world, None)
    await world.state.add_finding(found(FindingKind.KEY_CHANGED, "things", "the key was (id) and is (id, n)", now=1.0))
    await worker.pipeline.learn_findings()

    end = read(world, 2, None) + 1
    delivering = asyncio.ensure_future(worker.deliver())
    await world.until(lambda: any(hold.kind == "key-changed" for hold in worker.pipeline.health.holds()), "a hold")
    assert world.documents().keys() == {"1"}

    await world.state.clear_finding("key-changed", "things", by="test")
    await world.acknowledged(end)
    await delivering
    assert world.documents().keys() == {"1", "2"}
    assert await open_kinds(world) == []


async def test_each_table_is_judged_by_its_own_fill(world: World) -> None:
    """Two tables read again one right after the other: both are told."""
    other = TopicPartition("app.public.others", 0)
    world.declare()
    world.declare("others", table="public.others")
    worker = await world.start()
    await world.state.save_fills([filled(0), replace(filled(0), index="others", uid="others")])
    for place, table in ((PLACE, TABLE), (other, "public.others")):
        value = envelope(table, "r", row={"id": 1, "name": "x", "n": 1}, source_ms=1, snapshot="last")
        world.log.append(place, b'{"id":1}', value, timestamp=1)
        await worker.deliver(place)
        await world.acknowledged(1, place)
    assert sorted(finding.subject for finding in await world.state.findings()) == ["others", "things"]


async def test_a_run_that_can_not_be_noted_keeps_no_change_back(world: World) -> None:
    """It is a note for people: a state database that is away stops acknowledgements, and not what searches show."""
    worker = await world.start()
    await world.until(worker.pipeline.health.ready, "prepared")

    async def away() -> dict[tuple[str, str], object]:
        raise StateUnavailable("the state database is away")

    world.state.recorded_facts = away  # type: ignore[method-assign]
    read(world, 1, None, run="r2")
    await worker.deliver()
    await world.until(lambda: "1" in world.documents(), "the change")
