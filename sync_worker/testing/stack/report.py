"""What of a stack was real: the one line that ends a test run, a demo, a benchmark."""

from __future__ import annotations

import contextlib
from collections.abc import Collection

import httpx
import psycopg

from sync_worker.testing.stack import versions
from sync_worker.testing.stack.meilisearch import server_version
from sync_worker.testing.stack.model import PARTS, Stack
from sync_worker.testing.stack.part import Kind, Part


def what_was_real(stack: Stack, parts: Collection[str] = PARTS) -> str:
    """For instance `real: PostgreSQL 18.4 (native), Kafka 4.3.1 (native), …; double: Meilisearch`. Asks the running parts."""
    real: list[str] = []
    double: list[str] = []
    for part in stack.parts:
        if part.name in parts:
            (double if part.kind is Kind.DOUBLE else real).append(_describe(part, stack))
    return f"real: {', '.join(real) or 'nothing'}; double: {', '.join(double) or 'nothing'}"


def _describe(part: Part, stack: Stack) -> str:
    if part.kind is Kind.DOUBLE:
        return "Meilisearch"
    version = "version unknown"
    with contextlib.suppress(httpx.HTTPError, psycopg.Error, KeyError, ValueError):
        version = _version(part, stack)
    return f"{_TITLES[part.name]} {version} ({part.kind})"


def _version(part: Part, stack: Stack) -> str:
    match part.name:
        case "postgres":
            with psycopg.connect(stack.database_url, connect_timeout=5) as connection:
                return connection.info.parameter_status("server_version") or "version unknown"
        case "connect":
            with httpx.Client(base_url=stack.connect_url, timeout=5) as client:
                kafka = client.get("/").json()["version"]
                plugins = client.get("/connector-plugins").json()
            debezium = next(plugin["version"] for plugin in plugins if "postgresql" in plugin["class"])
            return f"{kafka} with Debezium {debezium}"
        case "meilisearch":
            return server_version(stack.meili_url, stack.meili_key)
        case _:
            # The protocol does not tell a broker's version; the image or the jars are pinned.
            return versions.KAFKA if part.kind is not Kind.OUTSIDE else "version unknown"


_TITLES = {"postgres": "PostgreSQL", "kafka": "Kafka", "connect": "Kafka Connect", "meilisearch": "Meilisearch"}
