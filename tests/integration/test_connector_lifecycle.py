"""apply, status, restart, delete against a real Kafka Connect."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest
import stamina
from connector_harness import Addresses, Place, place

from sync_worker.adapters.debezium.template import render_connector
from sync_worker.adapters.source.prepare import drop_publication, drop_slot, prepare_source
from sync_worker.errors import ConfigurationError
from sync_worker.testing.stack import Stack


@pytest.fixture
def here(stack: Stack) -> Iterator[Place]:
    with place(Addresses.of(stack)) as made:
        made.execute("create table t (id integer primary key)", "insert into t values (1)")
        yield made.with_tables("public.t")


async def test_connect_knows_every_option_of_the_template(here: Place) -> None:
    """Connect's own validation finds nothing, and Debezium is new enough."""
    await prepare_source(here.database_url, ["public.t"], here.settings.publication)
    async with here.client() as client:
        assert await client.validate(here.settings.name, render_connector(here.settings)) == []
        assert await client.version_problems() == []


def test_applying_twice_is_the_same_as_once(here: Place) -> None:
    """An operator may repeat every command."""
    first, second = here.start(), here.start()
    assert first.running
    assert second.running


def test_all_mistakes_are_told_at_once(here: Place) -> None:
    """Two wrong options, two lines, and nothing was created."""

    async def applied() -> list[str]:
        config = {**render_connector(here.settings), "database.port": "many", "snapshot.mode": "sometimes"}
        async with here.client() as client:
            with pytest.raises(ConfigurationError) as raised:
                await client.apply(here.settings.name, config)
            # Connect reads the status from a topic of its own: a moment later it still answers with the last one.
            async for attempt in stamina.retry_context(on=AssertionError, timeout=30, attempts=None, wait_max=0.5):
                with attempt:
                    assert await client.status(here.settings.name) is None
        return list(raised.value.problems)

    problems = asyncio.run(applied())
    assert {problem.split(":")[0] for problem in problems} == {"database.port", "snapshot.mode"}


def test_a_task_that_runs_first_and_fails_then_is_not_called_running(here: Place) -> None:
    """Without its publication the task says RUNNING and dies a moment later: apply waits, and names the cause."""
    here.create_signal_topic()
    here.started.append(here.settings.name)

    async def applied() -> str:
        async with here.client() as client:
            with pytest.raises(ConfigurationError) as raised:
                await client.apply(here.settings.name, render_connector(here.settings), steady_s=15.0)
            status = await client.status(here.settings.name)
            assert status is not None
            assert not status.running
            assert status.tasks
            await prepare_source(here.database_url, ["public.t"], here.settings.publication)
            mended = await client.apply(here.settings.name, render_connector(here.settings))
            assert mended.running
        return raised.value.problems[0]

    assert "Publication autocreation is disabled" in asyncio.run(applied())


def test_deleting_leaves_slot_and_publication_to_be_dropped(here: Place) -> None:
    """A slot that nobody reads keeps WAL until the disk is full; dropping is a step of its own, and may be repeated."""
    here.start()
    here.records(here.settings.data_topic("public.t"), lambda read: len(read) >= 1)

    async def deleted() -> None:
        async with here.client() as client:
            assert await client.delete(here.settings.name)
            assert not await client.delete(here.settings.name)
            # Connect reads the status from a topic of its own: a moment later it still answers with the last one.
            async for attempt in stamina.retry_context(on=AssertionError, timeout=30, attempts=None, wait_max=0.5):
                with attempt:
                    assert await client.status(here.settings.name) is None
        assert _slots(here) == 1
        assert await drop_publication(here.database_url, here.settings.publication)
        assert not await drop_publication(here.database_url, here.settings.publication)

    asyncio.run(deleted())
    here.stop()
    assert _slots(here) == 0
    assert not asyncio.run(drop_slot(here.database_url, here.settings.slot))


def _slots(here: Place) -> int:
    with psycopg.connect(here.database_url) as connection:
        row = connection.execute(
            "select count(*) from pg_replication_slots where slot_name = %s", (here.settings.slot,)
        ).fetchone()
    assert row is not None
    return int(row[0])


async def test_a_connector_that_does_not_exist_is_named(here: Place) -> None:
    """restart says so; offsets and config are None."""
    async with here.client() as client:
        with pytest.raises(ConfigurationError, match="nobody"):
            await client.restart("nobody")
        assert await client.offsets("nobody") is None
        assert await client.config("nobody") is None


def test_the_password_is_not_shown_again(here: Place) -> None:
    """What `connector status` may print."""
    here.start()

    async def shown() -> dict[str, str] | None:
        async with here.client() as client:
            return await client.config(here.settings.name)

    config = asyncio.run(shown())
    assert config is not None
    assert here.settings.password not in str(config)
    assert here.settings.password not in repr(here.settings)
