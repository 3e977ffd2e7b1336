"""A site with tables under load, set up once for all modules that use it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync_worker.testing.stack import Kind, Stack

# What runs the whole chain lies beside the acceptance tests.
sys.path.append(str(Path(__file__).parents[1] / "acceptance"))

from chain import Site
from load_site import INDEXES, PAIRS, TABLES


@pytest.fixture(scope="package")
def load_site(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(stack, tmp_path_factory.mktemp("load"), TABLES, INDEXES, PAIRS)
    try:
        yield made.set_up()
    finally:
        made.remove()


@pytest.fixture
def site(load_site: Site) -> Iterator[Site]:
    """The shared one, without a worker; every part runs again afterwards."""
    yield load_site
    load_site.stop_workers()
    for part in load_site.stack.parts:
        if part.kind is not Kind.OUTSIDE:
            part.start()
