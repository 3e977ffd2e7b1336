"""`connector apply|status|restart|delete`: what they do, what they leave, and what the audit log keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from sync_worker.errors import SyncWorkerError
from sync_worker.operations.connector import (
    SECRET,
    ConnectorState,
    TaskState,
    apply_connector,
    connector_status,
    delete_connector,
    restart_connector,
)
from sync_worker.ports import State

RUNNING = ConnectorState("RUNNING", "w", "", (TaskState(0, "RUNNING", "w", ""),))
CONFIG = {"connector.class": "postgres", "database.password": "p-SECRET"}


@dataclass
class World:
    """Connect, PostgreSQL and the audit log; `calls` has every change in its order."""

    live: dict[str, str] | None = None
    current: ConnectorState | None = None
    missing: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    audited: list[tuple[str, str, str, Mapping[str, Any]]] = field(default_factory=list)

    async def config(self, name: str) -> Mapping[str, str] | None:
        return self.live

    async def apply(self, name: str, config: Mapping[str, str]) -> None:
        self.calls.append("apply")

    async def state(self, name: str) -> ConnectorState | None:
        return self.current

    async def restart(self, name: str) -> None:
        self.calls.append("restart")

    async def delete(self, name: str) -> bool:
        self.calls.append("delete")
        return self.live is not None

    async def prepare(self) -> Sequence[str]:
        self.calls.append("prepare")
        return self.missing

    async def drop_slot(self) -> str | None:
        self.calls.append("drop slot")
        return "replication slot shop"

    async def drop_publication(self) -> str | None:
        self.calls.append("drop publication")
        return "publication shop"

    async def audit(self, actor: str, verb: str, subject: str, details: Mapping[str, Any]) -> None:
        self.calls.append("audit")
        self.audited.append((actor, verb, subject, details))


def books(world: World) -> State:
    return cast("State", world)


async def test_the_publication_is_there_before_the_connector() -> None:
    """A connector that starts without its publication fails; and no secret reaches the audit log."""
    world = World(missing=["publication shop"])
    report = await apply_connector(world, world, books(world), name="shop", config=CONFIG, actor="ops")
    assert world.calls == ["prepare", "audit", "apply", "audit"]
    assert (report.created, report.made) == (True, ("publication shop",))
    assert "SECRET" not in str(world.audited)


async def test_applying_again_changes_nothing() -> None:
    """Connect restarts the tasks of a connector whose configuration is put: one that runs as declared is left alone."""
    world = World(live={**CONFIG, "database.password": SECRET, "name": "shop"}, current=RUNNING)
    report = await apply_connector(world, world, books(world), name="shop", config=CONFIG, actor="ops")
    assert world.calls == ["prepare"]
    assert (report.created, report.changed) == (False, ())


async def test_one_that_does_not_run_is_applied_again() -> None:
    """Its password may have changed, which Connect does not show."""
    failed = ConnectorState("RUNNING", "w", "", (TaskState(0, "FAILED", "w", "password authentication failed"),))
    world = World(live={**CONFIG, "database.password": SECRET}, current=failed)
    await apply_connector(world, world, books(world), name="shop", config=CONFIG, actor="ops")
    assert world.calls[-2] == "apply"


async def test_what_changes_is_named_without_its_value() -> None:
    """Changed and removed options are named."""
    world = World(live={"connector.class": "mysql", "database.password": SECRET, "gone": "1"}, current=RUNNING)
    report = await apply_connector(world, world, books(world), name="shop", config=CONFIG, actor="ops")
    assert report.changed == ("connector.class", "gone")
    assert world.calls[-2] == "apply"


@pytest.mark.parametrize(
    ("state", "running"),
    [
        (RUNNING, True),
        (ConnectorState("RUNNING", "w", "", ()), False),
        (ConnectorState("RUNNING", "w", "", (TaskState(0, "FAILED", "w", "boom"),)), False),
        (ConnectorState("PAUSED", "w", "", (TaskState(0, "PAUSED", "w", ""),)), False),
        (None, False),
    ],
)
async def test_running_means_that_every_task_runs(state: ConnectorState | None, running: bool) -> None:
    """RUNNING without tasks, or with a failed one, moves nothing."""
    assert (await connector_status(World(current=state), name="shop")).running is running


async def test_a_restart_needs_a_connector() -> None:
    """A typing error in the name is told, and nothing is written to the audit log."""
    world = World()
    with pytest.raises(SyncWorkerError, match="no connector 'shop'"):
        await restart_connector(world, books(world), name="shop", actor="ops")
    assert world.calls == []


async def test_deleting_says_what_it_leaves_behind() -> None:
    """A forgotten slot fills the disk with WAL: it is named with the command that drops it."""
    world = World(live=dict(CONFIG))
    report = await delete_connector(world, world, books(world), name="shop", drop_slot=False, drop_publication=False, actor="ops")
    assert world.calls == ["audit", "delete", "audit"]
    assert any("--drop-slot" in line for line in report.kept)


async def test_deleting_drops_what_it_is_told_to() -> None:
    """The slot can only go once the connector has let go of it."""
    world = World(live=dict(CONFIG))
    report = await delete_connector(world, world, books(world), name="shop", drop_slot=True, drop_publication=True, actor="ops")
    assert world.calls == ["audit", "delete", "drop slot", "drop publication", "audit"]
    assert report.dropped == ("replication slot shop", "publication shop")
    assert report.kept == ()


async def test_a_table_that_joins_later_is_said_to_lack_its_rows() -> None:
    """Debezium snapshots what a connector starts with: a table that is added gets no snapshot, ever."""
    world = World(live={**CONFIG, "table.include.list": "public.a"}, current=RUNNING)
    wanted = {**CONFIG, "table.include.list": "public.a,public.b"}
    report = await apply_connector(world, world, books(world), name="shop", config=wanted, actor="ops")
    assert report.unsnapshotted == ("public.b",)
    fresh = World()
    assert not (await apply_connector(fresh, fresh, books(fresh), name="shop", config=wanted, actor="ops")).unsnapshotted
