"""Debezium's less common events: partial rows, key changes, tombstones, heartbeats, nonsense."""

from __future__ import annotations

import time

import orjson
import pytest

from sync_worker.testing.memory import envelope

from .world import PLACE, TABLE, World

TOAST = "__debezium_unavailable_value"


async def test_an_unavailable_column_is_taken_from_an_earlier_row_of_the_chunk(world: World) -> None:
    """The source is not asked where the chunk itself holds the value."""
    worker = await world.start()
    world.change("c", 1, name="long", n=1)
    end = world.change("u", 1, name=TOAST, n=2) + 1
    world.source.tables[TABLE].clear()
    await worker.deliver()
    await world.acknowledged(end)

    assert world.documents() == {"1": {"id": 1, "name": "long", "n": 2}}


async def test_an_unavailable_column_is_fetched_from_the_source(world: World) -> None:
    """The base is not in the chunk: the whole row is read."""
    worker = await world.start()
    end = world.change("u", 1, name=TOAST, n=2) + 1
    world.source.tables[TABLE][(1,)] = {"id": 1, "name": "fetched", "n": 2}
    await worker.deliver()
    await world.acknowledged(end)

    assert world.documents() == {"1": {"id": 1, "name": "fetched", "n": 2}}


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_delete_under_a_deferrable_key_leaves_the_row_that_bears_the_key_by_now(world: World, at_once: bool) -> None:
    """A transaction inserts the new row of a key before it deletes the old one: the log says create, delete."""
    world.declare(deferrable_key=True)
    worker = await world.start()
    world.change("c", 1, name="old", n=1)
    world.change("c", 2, name="deleted for good", n=1)
    world.change("c", 1, name="new", n=2)
    if not at_once:
        await worker.deliver()
    world.change("d", 1)
    end = world.change("d", 2) + 1
    world.source.tables[TABLE][(1,)] = {"id": 1, "name": "new", "n": 2}
    await worker.deliver()
    await world.acknowledged(end)

    assert world.documents() == {"1": {"id": 1, "name": "new", "n": 2}}


async def test_a_partial_change_of_a_row_that_is_gone_deletes_its_document(world: World) -> None:
    """No stump is left behind; the row's delete follows in the log."""
    worker = await world.start()
    world.change("c", 1, name="x", n=1)
    await worker.deliver()
    await world.acknowledged(1)
    end = world.change("u", 1, name=TOAST, n=2) + 1
    world.source.tables[TABLE].clear()
    await worker.deliver()
    await world.acknowledged(end)

    assert world.documents() == {}


async def test_a_changed_primary_key_moves_the_document(world: World) -> None:
    """Debezium sends a delete, a tombstone and a create."""
    worker = await world.start()
    world.change("c", 1, name="x", n=1)
    await worker.deliver()
    world.change("d", 1)
    world.log.append(PLACE, b'{"id":1}', None, timestamp=1)
    end = world.change("c", 2, name="x", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert list(world.documents()) == ["2"]


async def test_a_row_that_stops_matching_leaves_the_index(world: World) -> None:
    """`where` and soft delete remove the document; matching again brings it back."""
    world.declare(where="n > 0")
    worker = await world.start()
    world.change("c", 1, name="x", n=1)
    world.change("c", 2, name="x", n=1)
    await worker.deliver()
    await world.acknowledged(2)
    world.change("u", 1, name="x", n=-1)
    await worker.deliver()
    await world.acknowledged(3)
    assert list(world.documents()) == ["2"]

    end = world.change("u", 1, name="x", n=3) + 1
    await worker.deliver()
    await world.acknowledged(end)
    assert set(world.documents()) == {"1", "2"}


async def test_a_record_that_cannot_be_read_costs_itself(world: World) -> None:
    """Nobody knows its document: one failure for each index of the topic, and the stream goes on."""
    world.declare()
    world.declare("copies", uid="copies")
    worker = await world.start()
    world.log.append(PLACE, b'{"id":1}', b"{not json", timestamp=5)
    end = world.change("c", 2, name="x", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert {(failure.index, failure.document_id) for failure, _ in world.dead_letters.letters} == {
        ("things", None),
        ("copies", None),
    }
    assert await world.failures() == [(None, "malformed_json", "open")] * 2
    assert list(world.documents()) == ["2"]


@pytest.mark.parametrize("what", ["message", "tombstone", "null payload"])
async def test_what_changes_nothing_is_acknowledged(world: World, what: str) -> None:
    """A transactional message or a tombstone reaches no index, and does not stop the offset."""
    worker = await world.start()
    value = {
        "message": orjson.dumps({"op": "m", "source": {"ts_ms": 1}, "ts_ms": 1, "message": {"prefix": "p", "content": ""}}),
        "tombstone": None,
        "null payload": orjson.dumps({"schema": None, "payload": None}),
    }[what]
    offset = world.log.append(PLACE, b'{"id":1}', value, timestamp=1)
    await worker.deliver()
    await world.acknowledged(offset + 1)

    assert world.tasks() == []
    assert world.dead_letters.letters == []


async def test_an_event_of_another_table_asks_nothing(world: World) -> None:
    """A topic that holds a stranger's table as well."""
    worker = await world.start()
    now = int(time.time() * 1000)
    value = envelope("public.strangers", "c", row={"id": 1}, source_ms=now)
    end = world.log.append(PLACE, b'{"id":1}', value, timestamp=now) + 1
    await worker.deliver()
    await world.acknowledged(end)

    assert world.documents() == {}
