"""Apply, look at, restart and delete the Debezium connector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sync_worker.errors import SyncWorkerError
from sync_worker.operations.audit import audited
from sync_worker.operations.report import report
from sync_worker.ports import State


@dataclass(frozen=True, slots=True)
class TaskState:
    """One task of the connector, in Connect's words. `trace` is empty unless it failed."""

    id: int
    state: str
    worker: str
    trace: str


@dataclass(frozen=True, slots=True)
class ConnectorState:
    """The connector in Connect's words. RUNNING without tasks, or with a failed one, moves nothing."""

    state: str
    worker: str
    trace: str
    tasks: tuple[TaskState, ...]

    @property
    def running(self) -> bool:
        return self.state == "RUNNING" and bool(self.tasks) and all(task.state == "RUNNING" for task in self.tasks)


SECRET = "********"
"""What Connect's client shows instead of a secret."""


class Connect(Protocol):
    """Kafka Connect. Raises ConnectUnavailable, and ConfigurationError where it refuses a configuration."""

    async def config(self, name: str) -> Mapping[str, str] | None:
        """With SECRET for secrets; None where the connector does not exist."""
        ...

    async def apply(self, name: str, config: Mapping[str, str]) -> None:
        """Create or change it, and wait until its tasks run."""
        ...

    async def state(self, name: str) -> ConnectorState | None: ...

    async def restart(self, name: str) -> None:
        """The connector and all its tasks."""
        ...

    async def delete(self, name: str) -> bool:
        """Whether there was one."""
        ...


class Replication(Protocol):
    """What the connector leans on in PostgreSQL and Kafka. Each method names what it made or dropped."""

    async def prepare(self) -> Sequence[str]:
        """Create what is missing (the publication, the topics that must be there first); leave what is there."""
        ...

    async def drop_slot(self) -> str | None: ...

    async def drop_publication(self) -> str | None: ...


@report("connector-apply")
@dataclass(frozen=True, slots=True)
class ConnectorApplied:
    """What applying did.

    Attributes:
        made: what was created beside the connector.
        changed: names of the options that differ from before; empty when nothing was to be done.
        unsnapshotted: tables that joined a connector that was there before: Debezium streams their changes, but never
            sends the rows that they hold already.
    """

    name: str
    created: bool
    made: tuple[str, ...]
    changed: tuple[str, ...]
    unsnapshotted: tuple[str, ...] = ()


@report("connector-status")
@dataclass(frozen=True, slots=True)
class ConnectorStatus:
    """`state` is None where the connector does not exist."""

    name: str
    running: bool
    state: ConnectorState | None


@report("connector-restart")
@dataclass(frozen=True, slots=True)
class ConnectorRestarted:
    name: str


@report("connector-delete")
@dataclass(frozen=True, slots=True)
class ConnectorDeleted:
    """What deleting did.

    Attributes:
        dropped: what went with it.
        kept: what is still there, with what it costs and how to drop it.
    """

    name: str
    existed: bool
    dropped: tuple[str, ...]
    kept: tuple[str, ...]


async def apply_connector(
    connect: Connect, replication: Replication, state: State, *, name: str, config: Mapping[str, str], actor: str
) -> ConnectorApplied:
    """Make the connector what the configuration says. One that runs as declared is left alone: a change restarts its tasks.

    Raises ConnectUnavailable, SourceUnavailable, LogUnavailable, StateUnavailable, and ConfigurationError where Connect refuses.
    """
    made = tuple(await replication.prepare())
    before = await connect.config(name)
    changed = differences(before, config)
    current = await connect.state(name)
    if changed or current is None or not current.running:
        # Names only: values hold the password.
        details = {"created": before is None, "made": list(made), "changed": list(changed)}
        async with audited(state, actor, "connector apply", name, details):
            await connect.apply(name, config)
    return ConnectorApplied(name, created=before is None, made=made, changed=changed, unsnapshotted=_joined(before, config))


def _joined(before: Mapping[str, str] | None, config: Mapping[str, str]) -> tuple[str, ...]:
    """Tables that a connector which was there before gets now."""
    if before is None:
        return ()
    option = "table.include.list"
    return tuple(sorted(set(config.get(option, "").split(",")) - set(before.get(option, "").split(","))))


async def connector_status(connect: Connect, *, name: str) -> ConnectorStatus:
    """Raises ConnectUnavailable."""
    state = await connect.state(name)
    return ConnectorStatus(name, running=state is not None and state.running, state=state)


async def restart_connector(connect: Connect, state: State, *, name: str, actor: str) -> ConnectorRestarted:
    """Restart the connector with all its tasks. Raises SyncWorkerError where there is none."""
    if await connect.state(name) is None:
        raise SyncWorkerError(f"there is no connector {name!r}", remedy="sync-worker connector apply")
    async with audited(state, actor, "connector restart", name, {}):
        await connect.restart(name)
    return ConnectorRestarted(name)


async def delete_connector(
    connect: Connect, replication: Replication, state: State, *, name: str, drop_slot: bool, drop_publication: bool, actor: str
) -> ConnectorDeleted:
    """Delete the connector, and on demand what it leaves behind in PostgreSQL."""
    details = {"drop_slot": drop_slot, "drop_publication": drop_publication}
    async with audited(state, actor, "connector delete", name, details) as told:
        existed = await connect.delete(name)
        dropped: list[str] = []
        kept: list[str] = []
        if drop_slot:
            dropped += filter(None, [await replication.drop_slot()])
        else:
            kept.append(
                "the replication slot: it keeps WAL until the disk is full, and a connector applied again goes on from it; "
                "drop it with `sync-worker connector delete --drop-slot`"
            )
        if drop_publication:
            dropped += filter(None, [await replication.drop_publication()])
        else:
            kept.append("the publication: it costs nothing; drop it with `sync-worker connector delete --drop-publication`")
        told |= {"existed": existed, "dropped": dropped}
    return ConnectorDeleted(name, existed=existed, dropped=tuple(dropped), kept=tuple(kept))


def differences(live: Mapping[str, str] | None, declared: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the options that differ, sorted; secrets can't be compared and count as equal."""
    if live is None:
        return tuple(sorted(declared))
    # Connect adds the name to what it stores.
    names = (live.keys() | declared.keys()) - {"name"}
    return tuple(sorted(name for name in names if live.get(name) not in (declared.get(name), SECRET)))
