"""A site for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sync_worker.testing.meilisearch import MeilisearchDouble

from .site import Site


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with MeilisearchDouble("masterKey") as double:
        made = await Site(double).open()
        yield made
        await made.close()
