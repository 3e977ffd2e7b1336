"""Missing indexes are created with primary key and settings; a live one is never touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from sync_worker.document.declaration import IndexDeclaration
from sync_worker.errors import ConfigurationError
from sync_worker.operations.indexes import prepare_indexes
from sync_worker.ports import AdminSink, IndexIdentity

CITIES = IndexDeclaration.model_validate(
    {
        "name": "cities",
        "table": "public.cities",
        "primary_key": "id",
        "fields": {"country": "text"},
        "settings": {"filterableAttributes": ["country"]},
    }
)
TOWNS = IndexDeclaration.model_validate(
    {"name": "towns", "uid": "towns_v2", "table": "public.towns", "primary_key": "id", "fields": {"name": "text"}}
)


class Server:
    def __init__(self, **primary_keys: str) -> None:
        self.indexes = {uid: IndexIdentity(uid, "2026", key) for uid, key in primary_keys.items()}
        self.created: list[tuple[str, str, Mapping[str, Any]]] = []

    async def identity(self, index_uid: str) -> IndexIdentity | None:
        return self.indexes.get(index_uid)

    async def settings(self, index_uid: str) -> Mapping[str, Any]:
        return {}

    async def create_index(self, index_uid: str, primary_key: str, settings: Mapping[str, Any]) -> IndexIdentity:
        self.created.append((index_uid, primary_key, settings))
        return IndexIdentity(index_uid, "2026", primary_key)


def sink(server: Server) -> AdminSink:
    return cast("AdminSink", server)


async def test_a_missing_index_gets_its_primary_key_and_settings() -> None:
    """Nothing is left to inference, and a live index with other settings is named and left alone."""
    server = Server(cities="id")
    report = await prepare_indexes(sink(server), sink(server), [CITIES, TOWNS])
    assert server.created == [("towns_v2", "id", {})]
    assert [(one.name, one.created, one.differing) for one in report.indexes] == [
        ("cities", False, ("filterableAttributes",)),
        ("towns", True, ()),
    ]


async def test_without_the_right_to_create_every_missing_index_is_named() -> None:
    """The worker's own key can't create indexes: the command that can is named, for all of them at once."""
    with pytest.raises(ConfigurationError) as caught:
        await prepare_indexes(sink(Server()), None, [CITIES, TOWNS])
    assert len(caught.value.problems) == 2
    assert "sync-worker indexes create" in caught.value.remedy


async def test_another_primary_key_is_refused_before_anything_is_created() -> None:
    """It can't change once documents exist, and writes to it would fail."""
    server = Server(cities="uuid")
    with pytest.raises(ConfigurationError, match="primary key 'uuid'"):
        await prepare_indexes(sink(server), sink(server), [CITIES, TOWNS])
    assert server.created == []
