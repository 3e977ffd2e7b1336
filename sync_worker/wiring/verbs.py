"""The operator's verbs with their adapters: what the command line calls."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from sync_worker.adapters.clock import SystemClock
from sync_worker.adapters.debezium.template import render_connector
from sync_worker.adapters.source.catalogue import describe_table
from sync_worker.adapters.source.suggest import suggest_declaration
from sync_worker.change.message import parse_lsn
from sync_worker.config import Config, check_postgres_url
from sync_worker.config.schema import json_schema
from sync_worker.document.declaration import check_table
from sync_worker.errors import ConfigurationError
from sync_worker.operations import check as checking
from sync_worker.operations import connector, findings, keys
from sync_worker.operations.barrier import BarrierReport
from sync_worker.operations.config import masked
from sync_worker.operations.deadline import TimeLeft
from sync_worker.operations.indexes import IndexesReport, prepare_indexes
from sync_worker.operations.init import InitReport, declared_name, with_declaration
from sync_worker.wiring import build, facts
from sync_worker.wiring.watch import ChainWatch

_SOURCE_URL = "SYNC_WORKER_SOURCE__URL"


def actor() -> str:
    """Who is at the command line, for the audit log."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        # A container may run under a uid that no passwd names.
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def shown_config(config: Config) -> dict[str, Any]:
    """The configuration as it may be printed."""
    shown: dict[str, Any] = masked(config.model_dump(mode="json"))
    return shown


def config_schema() -> Mapping[str, Any]:
    return json_schema()


async def check(config: Config, *, timeout_s: float) -> checking.CheckReport:
    async with opened_checks(config) as parts:
        return await checking.check(parts, tuple(config.indexes.values()), timeout_s=timeout_s)


@asynccontextmanager
async def opened_checks(config: Config) -> AsyncIterator[checking.Parts]:
    """The chain as `check` asks it."""
    async with AsyncExitStack() as stack:
        topics = build.build_topics(config)
        dead_letters = build.build_dead_letters(config)
        stack.push_async_callback(dead_letters.close)
        client = await stack.enter_async_context(build.build_connect(config))
        sinks = {name: facts.Instance(section) for name, section in config.meilisearch.items()}
        for sink in sinks.values():
            stack.push_async_callback(sink.close)
        yield checking.Parts(
            source=facts.Database(config, topics),
            log=facts.Topics(topics, dead_letters),
            connect=facts.Connect(client),
            sinks=sinks,
            state=facts.StateAnswers(config),
            watch=ChainWatch(config, client, topics),
            render=lambda: render_connector(build.connector_settings(config)),
            connector_name=config.connector.name,
            topics=tuple(config.topics),
            dead_letter_topic=config.kafka.dead_letter_topic,
        )


async def apply_connector(config: Config) -> connector.ConnectorApplied:
    rendered = render_connector(build.connector_settings(config))
    async with build.build_connect(config) as client, build.opened_state(config, create=True) as state:
        return await connector.apply_connector(
            facts.Connect(client),
            facts.Database(config, build.build_topics(config)),
            state,
            name=config.connector.name,
            config=rendered,
            actor=actor(),
        )


async def connector_status(config: Config) -> connector.ConnectorStatus:
    async with build.build_connect(config) as client:
        return await connector.connector_status(facts.Connect(client), name=config.connector.name)


async def restart_connector(config: Config) -> connector.ConnectorRestarted:
    async with build.build_connect(config) as client, build.opened_state(config, create=True) as state:
        return await connector.restart_connector(facts.Connect(client), state, name=config.connector.name, actor=actor())


async def delete_connector(config: Config, *, drop_slot: bool, drop_publication: bool) -> connector.ConnectorDeleted:
    async with build.build_connect(config) as client, build.opened_state(config, create=True) as state:
        return await connector.delete_connector(
            facts.Connect(client),
            facts.Database(config, build.build_topics(config)),
            state,
            name=config.connector.name,
            drop_slot=drop_slot,
            drop_publication=drop_publication,
            actor=actor(),
        )


async def wait(config: Config, indexes: Sequence[str], *, lsn: str | None, strict: bool, timeout_s: float) -> BarrierReport:
    """Raises ConfigurationError for an index that is not declared and for an LSN that can't be read."""
    # The adapters of all links at once take a while to import, and no other command needs them.
    from sync_worker.wiring import chain

    config.chosen(indexes)
    try:
        position = None if lsn is None else parse_lsn(lsn)
    except ValueError as error:
        raise ConfigurationError(
            [f"--lsn {lsn}: no LSN"], remedy="write it as PostgreSQL does, for instance 16/B374D848"
        ) from error
    clock = SystemClock()
    left = TimeLeft(clock, timeout_s)
    async with build.opened_state(config) as state:
        return await chain.wait(config, state, indexes, strict=strict, lsn=position, timeout_s=left())


async def list_findings(config: Config) -> findings.FindingsReport:
    async with build.opened_state(config) as state:
        return await findings.list_findings(state)


async def clear_finding(config: Config, *, kind: str, subject: str, reason: str, unproven: bool) -> findings.FindingCleared:
    async with build.opened_state(config) as state:
        return await findings.clear_finding(state, kind=kind, subject=subject, reason=reason, actor=actor(), unproven=unproven)


async def make_keys(config: Config, *, instance: str, admin_key: str) -> keys.KeysReport:
    section = build.instance_section(config, instance)
    prefix = "SYNC_WORKER_MEILISEARCH__"
    if instance != "default":
        prefix += f"{instance.upper().replace('-', '_')}__"
    return await keys.make_keys(
        facts.KeyMaker(section, admin_key),
        instance=instance,
        # With the names that rebuilds give to their second index.
        index_uids=[
            pattern
            for index in config.indexes.values()
            if index.meilisearch == instance
            for pattern in (index.uid, f"{index.uid}__*")
        ],
        key_variable=f"{prefix}API_KEY",
        scratch_variable=f"{prefix}SCRATCH_KEY",
    )


async def create_indexes(config: Config, *, instance: str, admin_key: str) -> IndexesReport:
    section = build.instance_section(config, instance)
    async with AsyncExitStack() as stack:
        admin = build.build_admin(section, admin_key)
        stack.push_async_callback(admin.close)
        wanted = [index for index in config.indexes.values() if index.meilisearch == instance]
        report = await prepare_indexes(admin, admin, wanted)
        state = await stack.enter_async_context(build.opened_state(config, create=True))
        for index in report.indexes:
            if index.created:
                await state.audit(actor(), "indexes create", index.uid, {"instance": instance})
        return report


async def init_declaration(*, table: str, database_url: str | None, config: Path | None) -> InitReport:
    """Raises SourceUnavailable, and ConfigurationError for a missing table or a file that can't take the declaration."""
    try:
        check_table(table)
    except ValueError as error:
        raise ConfigurationError([f"--table {table}: {error}"], remedy="nothing was written") from error
    dsn = source_of(database_url, config)
    description = await describe_table(dsn, table)
    text = suggest_declaration(description, server_version=await facts.server_version(dsn))
    if config is None:
        return InitReport(declared_name(text), text, written_to=None)
    _write_declaration(config, text)
    return InitReport(declared_name(text), text, written_to=str(config))


def source_of(database_url: str | None, config: Path | None) -> str:
    """Where `init` reads: what was given, else the environment's, else the configuration's. Raises ConfigurationError."""
    dsn = _checked_url(database_url, "--database-url") or _checked_url(os.environ.get(_SOURCE_URL), _SOURCE_URL)
    if dsn is None:
        dsn = build.secret(build.read_config(config or Path("sync-worker.toml"), indexes_required=False).source.url)
    return dsn


def _checked_url(url: str | None, name: str) -> str | None:
    # libpq takes `host=… dbname=…` as well; in that form nothing of a password can be taken for a host.
    try:
        return url if url is None or "://" not in url else check_postgres_url(url)
    except ValueError as error:
        raise ConfigurationError([f"{name}: {error}"], remedy="mend the URL; nothing of it is shown here") from error


def _write_declaration(config: Path, text: str) -> None:
    try:
        present = config.read_text(encoding="utf-8") if config.exists() else None
        # Written beside and moved over: an interrupted write must not cut off a configuration.
        beside = config.with_name(f".{config.name}.new")
        beside.write_text(with_declaration(present, text), encoding="utf-8")
        beside.replace(config)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{config}: can't be read or written: {error}"]) from error
