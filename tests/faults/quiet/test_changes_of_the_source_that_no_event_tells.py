"""What an administrator does to tables and publication while no worker runs. Each is told of once one does, with its remedy.

One chain and one start of the worker for all of them; the table that nobody touched goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from chain import Pair, Site, eventually

from sync_worker.testing.stack import Stack

PLAIN = ("renamed", "retyped", "rekeyed", "defaulted", "unpublished", "remade", "steady")

TABLES = (
    "".join(f"CREATE TABLE {name} (id bigint PRIMARY KEY, name text, n integer);\n" for name in PLAIN)
    + """
CREATE TABLE detached (id bigint PRIMARY KEY, name text, n integer) PARTITION BY RANGE (id);
CREATE TABLE detached_old PARTITION OF detached FOR VALUES FROM (0) TO (100);
CREATE TABLE detached_new PARTITION OF detached FOR VALUES FROM (100) TO (200);
"""
    + "".join(
        f"INSERT INTO {name} SELECT i, 'row ' || i, i FROM generate_series(1, 150) AS i;\n" for name in (*PLAIN, "detached")
    )
)

INDEXES = "".join(
    f"""
[indexes.{name}]
uid = "{{index}}-{name}"
table = "public.{name}"
primary_key = "id"
fields = {{ name = "text", n = "integer" }}
"""
    for name in (*PLAIN, "detached")
)

PAIRS = tuple(Pair(name, f"SELECT id, name, n FROM {name}", lambda row: row) for name in (*PLAIN, "detached"))

TOLD = [
    pytest.param("rows-changed-unseen", "renamed", "name is gone", "backfill renamed", id="a column is renamed"),
    pytest.param("rows-changed-unseen", "retyped", "n has another type", "backfill retyped", id="a column gets another type"),
    pytest.param(
        "rows-changed-unseen", "defaulted", "with the default 7", "backfill defaulted", id="a column comes with a default"
    ),
    pytest.param("rows-changed-unseen", "detached", "detached_old left", "backfill detached", id="a partition is detached"),
    pytest.param("key-changed", "rekeyed", "is (id, k)", "findings clear key-changed rekeyed", id="the primary key changes"),
    pytest.param("changes-lost", "unpublished", "does not send", "backfill unpublished", id="a table leaves the publication"),
    pytest.param("changes-lost", "remade", "is another table (oid", "backfill remade", id="a table is dropped and made anew"),
]


@pytest.fixture(scope="module")
def site(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(stack, tmp_path_factory.mktemp("source"), TABLES, INDEXES, PAIRS)
    try:
        site.set_up()
        worker = site.worker()
        site.wait_settled(90)
        # A column that is new needs a look at the table without it.
        site.execute("ALTER TABLE defaulted DROP COLUMN n")
        worker.sigterm()
        worker = site.worker()
        eventually(lambda: ("rows-changed-unseen", "defaulted") in site.findings(), 60, worker.tail)
        worker.sigterm()
        site.execute(
            "ALTER TABLE defaulted ADD COLUMN n integer DEFAULT 7",
            "ALTER TABLE renamed RENAME COLUMN name TO title",
            "ALTER TABLE retyped ALTER COLUMN n TYPE bigint USING n * 10",
            "ALTER TABLE rekeyed DROP CONSTRAINT rekeyed_pkey, ADD COLUMN k integer DEFAULT 1, ADD PRIMARY KEY (id, k)",
            "ALTER TABLE detached DETACH PARTITION detached_old",
            f"ALTER PUBLICATION {site.name} DROP TABLE unpublished",
            "DROP TABLE remade",
            "CREATE TABLE remade (id bigint PRIMARY KEY, name text, n integer)",
            "INSERT INTO unpublished VALUES (1000, 'never sent', 1)",
            "UPDATE rekeyed SET n = -1 WHERE id = 1",
            "INSERT INTO steady VALUES (1000, 'sent', 1)",
        )
        site.worker()
        yield site
    finally:
        site.remove()


def finding(site: Site, kind: str, subject: str) -> dict[str, Any] | None:
    names = ("evidence", "remedy", "blocking")
    rows = site.state(
        f"SELECT {', '.join(names)} FROM findings WHERE cleared_at IS NULL AND kind = %s AND subject = %s", kind, subject
    )
    return dict(zip(names, rows[0], strict=True)) if rows else None


@pytest.mark.parametrize(("kind", "subject", "evidence", "remedy"), TOLD)
def test_it_is_told_with_its_remedy(site: Site, kind: str, subject: str, evidence: str, remedy: str) -> None:
    """A finding of that kind about that index, which says what was seen and names the command that mends it."""

    def told() -> dict[str, Any] | None:
        row = finding(site, kind, subject)
        return row if row is not None and evidence in row["evidence"] else None

    row = eventually(told, 60, lambda: f"{site.findings()} {finding(site, kind, subject)}\n{site.workers[-1].tail()}")
    assert remedy in row["remedy"]
    assert f"{kind}  {subject}" in site.cli("findings", "list", status=3).stdout


def test_nobody_else_is_told_of(site: Site) -> None:
    """The table that was left alone has no finding, and what happens in it arrives."""
    eventually(lambda: {"id": 1000, "name": "sent", "n": 1} in site.documents("steady"), 60, site.workers[-1].tail)
    assert not [kind for kind, subject in site.findings() if subject == "steady"]


def test_what_stops_an_index_keeps_its_changes(site: Site) -> None:
    """Readiness says it, and the change of yesterday's row is not acknowledged under today's key."""
    site.workers[-1].wait_for_hold("key-changed")
    committed, end = site.positions()[f"{site.topic('public.rekeyed')}/0"]
    assert committed < end


def test_the_publication_is_mended_by_the_command_that_is_named(site: Site) -> None:
    """What is so no longer is cleared by the watch; that changes were lost is not, because they are."""
    row = eventually(lambda: finding(site, "publication-narrowed", site.name), 60, site.workers[-1].tail)
    assert row["remedy"] == "sync-worker connector apply"
    site.execute(f"ALTER PUBLICATION {site.name} ADD TABLE unpublished, remade")
    eventually(lambda: finding(site, "publication-narrowed", site.name) is None, 90, lambda: f"{site.findings()}")
    assert finding(site, "changes-lost", "unpublished") is not None
