"""The first minutes: a worker before its topics exist, `check` on what is missing, and configurations that are refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from chain import Pair, Site, eventually

from sync_worker.testing.stack import Stack

TABLES = """
CREATE TABLE things (id bigint PRIMARY KEY, name text);
CREATE TABLE nameless (name text);
INSERT INTO things SELECT i, 'thing ' || i FROM generate_series(1, 50) AS i;
"""

INDEXES = """
[indexes.things]
uid = "{index}-things"
table = "public.things"
primary_key = "id"
fields = { name = "text" }
"""

PAIRS = (Pair("things", "SELECT * FROM things", lambda row: row),)


@pytest.fixture
def site(stack: Stack, tmp_path: Path) -> Iterator[Site]:
    """A database with tables and a configuration; nothing else is made yet."""
    site = Site(stack, tmp_path, TABLES, INDEXES, PAIRS)
    try:
        yield site.create()
    finally:
        site.remove()


def test_from_nothing_to_equal_with_check_on_the_way(site: Site) -> None:
    """`check` ends with 3 while something is missing and names it, with 1 where a part does not answer, with 0 at the end. A
    worker that starts first waits for its topic, makes none, and goes on by itself."""
    found = site.cli("check", "--json", status=3)
    said = json.loads(found.stdout)
    assert not said["ok"]
    assert {"meilisearch", "connector"} & {check["area"] for check in said["checks"] if check["verdict"] == "error"}, said

    site.make_keys()
    site.cli("indexes", "create")
    worker = site.worker()
    worker.wait_for_hold("no partition is assigned")
    eventually(lambda: site.topic("public.things") in worker.log.read_text(), 30, lambda: "the log does not name the topic")
    assert site.data_topics() == [], "only the connector makes data topics"

    site.cli("connector", "apply", "--timeout", "120")
    site.wait_settled()
    assert site.cli("connector", "apply").stdout.strip().endswith("as declared already")
    assert json.loads(site.cli("check", "--json").stdout)["ok"]

    site.configure(connector={"url": "http://127.0.0.1:9"})
    site.cli("check", status=1)


def test_a_wrong_configuration_ends_with_2_before_anything_is_consumed(site: Site) -> None:
    """Every mistake is named at once, no worker starts, and no group is joined."""
    site.indexes = """
[indexes.things]
uid = "{index}-things"
table = "things"
primary_key = "id"
fields = { name = "txt" }
unknown = 1
"""
    site.configure(worker={"drain_s": -1})
    worker = site.worker()
    assert worker.process.wait(60) == 2
    said = worker.log.read_text()
    for word in ("public.things", "fields.name.type", "unknown", "drain_s"):
        assert word in said, said
    admin = site.admin()
    groups = admin.list_consumer_groups().result(10).valid
    assert site.name not in {group.group_id for group in groups}


def test_check_refuses_a_table_without_primary_key_and_a_wrong_key(site: Site) -> None:
    """With status 3, naming both tables."""
    site.indexes = (
        INDEXES.replace('primary_key = "id"', 'primary_key = "name"')
        + """
[indexes.nameless]
uid = "{index}-nameless"
table = "public.nameless"
primary_key = "name"
fields = { name = "text" }
"""
    )
    site.configure()
    said = site.cli("check", status=3).stdout
    assert "public.nameless" in said
    assert "public.things" in said
