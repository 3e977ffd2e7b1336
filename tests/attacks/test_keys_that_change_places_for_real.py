"""Statements that move keys from row to row, through PostgreSQL, Debezium, Kafka and Meilisearch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync_worker.testing.stack import Stack

sys.path.append(str(Path(__file__).parents[1] / "acceptance"))

from chain import Pair, Site

TABLES = """
CREATE TABLE places (id bigint PRIMARY KEY DEFERRABLE, name text NOT NULL);
ALTER TABLE places REPLICA IDENTITY FULL;
INSERT INTO places SELECT i, 'row ' || i FROM generate_series(1, 20) AS i;
CREATE TABLE plain (id bigint PRIMARY KEY, name text NOT NULL);
INSERT INTO plain SELECT i, 'row ' || i FROM generate_series(1, 20) AS i;
"""

INDEXES = """
[indexes.places]
uid = "{index}-places"
table = "public.places"
primary_key = "id"
deferrable_key = true
fields = { name = "text" }

[indexes.plain]
uid = "{index}-plain"
table = "public.plain"
primary_key = "id"
fields = { name = "text" }
"""

PAIRS = (
    Pair("places", "SELECT * FROM places", lambda row: row),
    Pair("plain", "SELECT * FROM plain", lambda row: row),
)


@pytest.fixture
def site(stack: Stack, tmp_path: Path) -> Iterator[Site]:
    made = Site(stack, tmp_path, TABLES, INDEXES, PAIRS)
    try:
        yield made.set_up()
    finally:
        made.remove()


def test_rows_that_take_each_others_keys_are_all_there(site: Site) -> None:
    """No document is lost: Debezium makes a delete and a create of each row, in the order of the rows, so that the delete of a
    key may come after its create."""
    site.worker()
    site.wait_equal(40)
    for statement in (
        "UPDATE places SET id = 3 - id WHERE id IN (1, 2)",
        "UPDATE places SET id = id + 1",
        "BEGIN; UPDATE plain SET id = -1 WHERE id = 1; UPDATE plain SET id = 1 WHERE id = 2; "
        "UPDATE plain SET id = 2 WHERE id = -1; COMMIT",
        "BEGIN; DELETE FROM plain WHERE id = 5; INSERT INTO plain VALUES (5, 'again'); COMMIT",
        "BEGIN; TRUNCATE plain; INSERT INTO plain VALUES (7, 'after'); COMMIT",
    ):
        site.execute(statement)
        site.wait_settled(30)
        assert not site.difference(), statement


def test_a_row_inserted_before_the_old_one_of_its_key_is_deleted_is_there(site: Site) -> None:
    """A deferred constraint lets a transaction insert a row before it deletes the one that bears its key: the log says create,
    delete, so the delete asks the source."""
    site.worker()
    site.wait_settled(60)
    site.execute(
        "BEGIN; SET CONSTRAINTS ALL DEFERRED; INSERT INTO places VALUES (5, 'new'); "
        "DELETE FROM places WHERE name = 'row 5'; COMMIT"
    )
    site.wait_settled(20)
