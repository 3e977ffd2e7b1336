"""Settings and contract of the declared indexes, with their adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from sync_worker.adapters.clock import SystemClock
from sync_worker.adapters.meilisearch.client import MeilisearchSink
from sync_worker.config import Config
from sync_worker.errors import ConfigurationError
from sync_worker.operations import contract as contracts
from sync_worker.operations.settings import apply as applying
from sync_worker.operations.settings import diff as differing
from sync_worker.wiring import build
from sync_worker.wiring.verbs import actor


@asynccontextmanager
async def opened_sinks(config: Config) -> AsyncIterator[dict[str, MeilisearchSink]]:
    """Every instance with the worker's key."""
    async with AsyncExitStack() as stack:
        sinks = {name: build.build_sink(section) for name, section in config.meilisearch.items()}
        for sink in sinks.values():
            stack.push_async_callback(sink.close)
        yield sinks


async def settings_diff(config: Config, indexes: Sequence[str] = ()) -> differing.SettingsDiff:
    """Declared settings against live ones. Raises ConfigurationError, SinkUnavailable, SinkDenied."""
    wanted = config.chosen(indexes)
    async with opened_sinks(config) as sinks:
        return await differing.settings_diff(sinks, wanted)


async def settings_apply(
    config: Config, indexes: Sequence[str] = (), *, acknowledge_live: bool, admin_key: str, instance: str = "default"
) -> applying.SettingsApplied:
    """Make the live settings of this instance's indexes what is declared; see `operations.settings.apply.apply_settings`."""
    wanted = config.chosen(indexes)
    if indexes and (elsewhere := [index.name for index in wanted if index.meilisearch != instance]):
        raise ConfigurationError([f"{name}: is not on --instance {instance}" for name in elsewhere])
    section = build.instance_section(config, instance)
    async with AsyncExitStack() as stack:
        admin = build.build_admin(section, admin_key)
        stack.push_async_callback(admin.close)
        state = await stack.enter_async_context(build.opened_state(config, create=True))
        return await applying.apply_settings(
            {instance: admin},
            state,
            [index for index in wanted if index.meilisearch == instance],
            acknowledge_live=acknowledge_live,
            actor=actor(),
            clock=SystemClock(),
        )


async def contract(config: Config, indexes: Sequence[str] = ()) -> contracts.ContractReport:
    """What searches may lean on, as declared and as it is. Raises ConfigurationError, SinkUnavailable, SinkDenied."""
    wanted = config.chosen(indexes)
    async with opened_sinks(config) as sinks:
        return await contracts.contract(sinks, wanted)
