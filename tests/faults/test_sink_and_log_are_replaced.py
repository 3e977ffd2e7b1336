"""A Meilisearch that was restored, an index and a topic that were made anew: the worker holds before it can do harm."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from chain import Site, Worker, eventually
from load_site import INDEXES, PAIRS, TABLES

from sync_worker.testing.stack import Kind, Stack
from sync_worker.testing.stack.meilisearch import Server
from sync_worker.testing.stack.part import free_port

REFILL = """
CREATE TEMP TABLE kept AS SELECT * FROM items;
CREATE TEMP TABLE kept_lines AS SELECT * FROM lines;
TRUNCATE items, lines;
INSERT INTO items SELECT * FROM kept;
INSERT INTO lines SELECT * FROM kept_lines
"""
"""Until there is a backfill verb: with one partition a TRUNCATE removes ghosts in its place, and the rows follow."""


@pytest.fixture
def site(stack: Stack, tmp_path: Path) -> Iterator[Site]:
    site = Site(stack, tmp_path, TABLES, INDEXES, PAIRS)
    try:
        yield site.set_up()
    finally:
        site.remove()


def assert_held_for_good(site: Site, worker: Worker, kind: str, subject: str) -> None:
    """The finding is stored, shown by the command line, and outlives the worker. Nothing is acknowledged meanwhile."""
    worker.wait_for_hold(kind)
    eventually(lambda: (kind, subject) in site.findings(), 20, lambda: f"no finding: {site.findings()}")
    assert f"{kind}  {subject}" in site.cli("findings", "list", status=3).stdout
    before = site.positions()
    site.execute("UPDATE items SET n = n + 1 WHERE id <= 20")
    site.wait_for_marker(30)
    worker.kill9()
    again = site.worker()
    again.wait_for_hold(kind)
    assert site.positions().keys() == before.keys()
    topic = f"{site.topic('public.items')}/0"
    assert site.positions()[topic][0] <= before[topic][0]
    assert site.positions()[topic][0] < site.positions()[topic][1]


def clear_all(site: Site, kind: str) -> None:
    for found, subject in site.findings():
        assert found == kind, f"another finding: {found} about {subject}"
        site.cli("findings", "clear", found, subject, "--reason", "filled again", "--unproven")


def wait_settled_and_clear_what_comes(site: Site, kind: str) -> None:
    """Each index and each partition has a finding of its own, and a worker that held while it ran starts again after the last."""

    def going_on() -> bool:
        clear_all(site, kind)
        if site.workers[-1].process.poll() is not None:
            assert site.workers[-1].process.returncode == 1, site.workers[-1].tail()
            site.worker()
        return site.workers[-1].ready() and not site.findings()

    eventually(going_on, 90, lambda: f"{site.findings()} {site.workers[-1].readyz()}\n{site.workers[-1].tail()}")
    site.wait_settled(60)


def test_a_restored_meilisearch_is_noticed_before_anything_is_acknowledged(stack: Stack, tmp_path: Path) -> None:
    """Restored from an older copy of its files: `createdAt` is the same, and only the anchor, a task that the server had
    applied, tells."""
    program = shutil.which("meilisearch")
    if program is None or stack.meilisearch.kind is not Kind.SERVER:
        pytest.skip("needs a Meilisearch whose files a test may copy: put `meilisearch` on PATH")
    key = secrets.token_urlsafe(24)
    server = Server(tmp_path, free_port(), key, Path(program))
    server.start()
    site = Site(stack, tmp_path, TABLES, INDEXES, PAIRS, meili=(server.url, key))
    data, copy = tmp_path / "data" / "meilisearch", tmp_path / "copy"
    try:
        site.set_up()
        worker = site.worker()
        site.wait_settled()
        server.stop()
        shutil.copytree(data, copy)
        server.start()
        for n in range(3):
            site.execute(f"UPDATE items SET n = {n} WHERE id <= 50")
            site.execute(f"DELETE FROM items WHERE id = {500 + n}")
            site.wait_settled()

        server.kill()
        shutil.rmtree(data)
        shutil.copytree(copy, data)
        server.start()

        assert_held_for_good(site, worker, "sink-lost-memory", "items")
        site.execute(REFILL)
        wait_settled_and_clear_what_comes(site, "sink-lost-memory")
    finally:
        site.remove()
        server.kill()


def test_an_index_that_was_deleted_and_made_anew_is_noticed(site: Site) -> None:
    """Its `createdAt` differs: offsets are ahead of it."""
    worker = site.worker()
    site.wait_settled()
    with site.meilisearch() as client:
        assert site.task(client.delete(f"/indexes/{site.uid('items')}"))["status"] == "succeeded"
    site.cli("indexes", "create")

    assert_held_for_good(site, worker, "sink-lost-memory", "items")
    site.execute(REFILL)
    wait_settled_and_clear_what_comes(site, "sink-lost-memory")


@pytest.mark.parametrize(
    "running",
    [pytest.param(False, id="while no worker runs"), pytest.param(True, id="under a running worker", marks=pytest.mark.long)],
)
def test_a_topic_that_was_deleted_and_made_anew_is_noticed(site: Site, running: bool) -> None:
    """The new topic soon holds more than the old one, so that the old offset lies in it: only the topic's id tells. After the
    finding was cleared the new one is read from its start."""
    worker = site.worker()
    site.wait_settled()
    topic = site.topic("public.items")
    (_, end) = site.positions()[f"{topic}/0"]
    if not running:
        worker.sigterm()
    site.delete_topic(topic)
    site.create_topic(topic, retention_ms="-1", max_message_bytes=str(20 * 1024 * 1024))
    site.execute(REFILL, "UPDATE items SET n = n + 1")
    eventually(lambda: site.positions()[f"{topic}/0"][1] > end, 60, lambda: f"{site.positions()}, was {end}")
    if not running:
        worker = site.worker()

    def held() -> bool:
        if site.workers[-1].process.poll() is not None:
            assert site.workers[-1].process.returncode == 1, site.workers[-1].tail()
            site.worker()
        return ("log-replaced", f"{topic}:0") in site.findings()

    eventually(held, 60, lambda: f"{site.findings()} {site.positions()}\n{site.workers[-1].tail()}")
    assert_held_for_good(site, site.workers[-1], "log-replaced", f"{topic}:0")
    wait_settled_and_clear_what_comes(site, "log-replaced")
