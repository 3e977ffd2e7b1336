"""The parts of the chain as they are asked for a sign of life, with address and remedy."""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import StrEnum
from urllib.parse import urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from sync_worker.adapters.source.fault import translated
from sync_worker.adapters.source.session import connect
from sync_worker.config import Config
from sync_worker.config.model import MeilisearchSection
from sync_worker.operations.reach import Part
from sync_worker.wiring import build

Parts = Callable[[], list[Part]]


class Needs(StrEnum):
    """What a verb can't do without."""

    SOURCE = "source"
    LOG = "log"
    CONNECT = "connect"
    SINK = "sink"
    STATE = "state"


def parts(config: Config, *needs: Needs, indexes: Collection[str] = (), instance: str | None = None) -> Parts:
    """Made when they are called for: a verb that ends soon needs none of it.

    Args:
        indexes: only the Meilisearch instances of these; none: all of them.
        instance: only this Meilisearch instance.
    """

    def made() -> list[Part]:
        found: list[Part] = []
        if Needs.SOURCE in needs:
            found.append(database("PostgreSQL", build.secret(config.source.url), "source.url"))
        if Needs.LOG in needs:
            found.append(_log(config))
        if Needs.CONNECT in needs:
            found.append(_connect(config))
        if Needs.SINK in needs:
            wanted = {one.meilisearch for name, one in config.indexes.items() if not indexes or name in indexes}
            names = sorted(wanted) if instance is None else [instance]
            found += [_sink(name, config.meilisearch[name]) for name in names if name in config.meilisearch]
        if Needs.STATE in needs and not (url := build.secret(config.state.url)).startswith("sqlite"):
            found.append(database("the state database", url, "state.url"))
        return found

    return made


def database(name: str, dsn: str, key: str) -> Part:
    """A PostgreSQL database; `key` is where its address is configured."""

    async def ask() -> None:
        with translated("connecting"):
            async with await connect(dsn):
                pass

    return Part(name, _address(dsn), f"start it, or mend {key}", ask)


def _address(dsn: str) -> str:
    try:
        known = conninfo_to_dict(dsn)
    except ProgrammingError:
        return "an address that can't be read"
    return f"{known.get('host') or 'localhost'}:{known.get('port') or 5432}"


def _log(config: Config) -> Part:
    async def ask() -> None:
        await build.build_log(config).partition_counts([config.message_topic])

    return Part("Kafka", config.kafka.bootstrap_servers, "start Kafka, or mend kafka.bootstrap_servers", ask)


def _connect(config: Config) -> Part:
    async def ask() -> None:
        async with build.build_connect(config) as client:
            await client.status(config.connector.name)

    return Part("Kafka Connect", _host(config.connector.url), "start Kafka Connect, or mend connector.url", ask)


def _sink(name: str, section: MeilisearchSection) -> Part:
    async def ask() -> None:
        sink = build.build_sink(section)
        try:
            await sink.server_version()
        finally:
            await sink.close()

    own = name == "default"
    told, key = ("Meilisearch", "meilisearch.url") if own else (f"Meilisearch {name}", f"meilisearch.{name}.url")
    return Part(told, _host(section.url), f"start it, or mend {key}", ask)


def _host(url: str) -> str:
    """Without what may be a user's and a password's."""
    return urlsplit(url).netloc.rpartition("@")[2] or url
