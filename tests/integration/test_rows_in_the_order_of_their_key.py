"""Reading a table for a comparison, on a real PostgreSQL: keys of several types, odd names, pages, snapshots, versions."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from sync_worker.adapters.source.table import PostgresTable
from sync_worker.document.ids import encode
from sync_worker.drift.condition import sql_condition
from sync_worker.errors import ConfigurationError
from sync_worker.testing.stack import Stack, default_home, owned_home, up

TABLES = """
CREATE TYPE "mood%s" AS ENUM ('good', 'bad');
CREATE TABLE "odd%table" (
    "k%1" text, day date, n int, "v%" numeric(10, 2), m "mood%s", secret text GENERATED ALWAYS AS ("k%1" || 'x') STORED,
    PRIMARY KEY ("k%1", day, n)
);
INSERT INTO "odd%table" ("k%1", day, n, "v%", m)
SELECT 'k' || n % 7, date '2024-01-01' + n % 3, n, n / 3.0, 'good' FROM generate_series(1, 500) n;
CREATE TABLE plain (id int PRIMARY KEY, name text);
INSERT INTO plain SELECT n, CASE WHEN n % 10 = 0 THEN '100% ' || n ELSE 'row ' || n END FROM generate_series(1, 1000) n;
"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with owned_home(default_home() / "stacks", "rows") as home:
        yield up(home, parts=["postgres"], say=print)


@pytest.fixture(scope="module")
def url(stack: Stack) -> str:
    name = f"rows{secrets.token_hex(4)}"
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    made = f"{stack.database_url.rpartition('/')[0]}/{name}"
    execute(made, TABLES)
    return made


def execute(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements.encode())


@pytest.fixture
async def plain(url: str) -> AsyncIterator[PostgresTable]:
    table = PostgresTable(url, "", "public.plain", ["id"], ["name"])
    yield table
    await table.close()


@pytest.fixture
async def odd(url: str) -> AsyncIterator[PostgresTable]:
    table = PostgresTable(url, "", "public.odd%table", ["k%1", "day", "n"], ["v%", "m"])
    yield table
    await table.close()


async def of_snapshot(table: PostgresTable, where: str | None = None, page: int = 64) -> list[dict[str, Any]]:
    async with table.snapshot() as snapshot:
        return [row.row async for rows in snapshot.rows(where, page=page) for row in rows]


async def test_a_snapshot_and_the_pages_give_every_row_once(odd: PostgresTable) -> None:
    """Keys of three types, and percent signs in every name: where the driver looks for placeholders."""
    whole = await of_snapshot(odd)
    assert len(whole) == 500
    paged: list[dict[str, Any]] = []
    after = None
    while rows := await odd.page(after, 37):
        paged += [row.row for row in rows]
        after = rows[-1].key
    assert paged == whole
    assert whole[0].keys() == {"k%1", "day", "n", "v%", "m"}


async def test_a_row_is_found_by_the_id_of_its_document(odd: PostgresTable) -> None:
    """The way from row to id and back; an id that no row can bear has no key."""
    for row in (await odd.page(None, 500))[::50]:
        document_id = encode([row.key[name] for name in ("k%1", "day", "n")])
        assert await odd.key_of(document_id) == row.key
        [found] = await odd.now([row.key])
        assert found is not None
        assert found.row == row.row
    assert await odd.key_of("1") is None
    assert await odd.key_of("k1__2024-13-45Z__1") is None
    assert await odd.key_of("k1__2024-01-01Z__99999999999") is None


@pytest.mark.parametrize("document_id", ["x", "99999999999999", "1_2D", "-", "007", "-0"])
async def test_an_id_of_another_type_has_no_key(plain: PostgresTable, document_id: str) -> None:
    """It would fail the query of all rows beside it."""
    assert await plain.key_of(document_id) is None


async def test_a_snapshot_does_not_see_what_comes_later(plain: PostgresTable, url: str) -> None:
    """All pages are of one moment."""
    async with plain.snapshot() as snapshot:
        assert await snapshot.count() == 1000
        execute(url, "INSERT INTO plain VALUES (5000, 'later'); DELETE FROM plain WHERE id = 900")
        ids = [row.key["id"] async for rows in snapshot.rows(page=100) for row in rows]
    execute(url, "DELETE FROM plain WHERE id = 5000; INSERT INTO plain VALUES (900, '100% 900')")
    assert ids == list(range(1, 1001))


async def test_a_version_changes_with_the_row_and_with_nothing_else(plain: PostgresTable, url: str) -> None:
    """By this a difference is told from a change in flight, also where the values are the same again."""
    keys = [{"id": 1}, {"id": 2}, {"id": 77_777}]
    before = await plain.now(keys)
    execute(url, "UPDATE plain SET name = name || '!' WHERE id = 1; UPDATE plain SET name = 'row 1' WHERE id = 1")
    after = await plain.now(keys)
    assert before[2] is None
    assert [row.version for row in before if row] != [row.version for row in after if row]
    assert before[1] == after[1]
    assert before[0] is not None
    assert after[0] is not None
    assert before[0].row == after[0].row


async def test_a_condition_with_a_percent_sign_reaches_the_server_as_it_is(plain: PostgresTable) -> None:
    """LIKE patterns are full of them."""
    found = await of_snapshot(plain, sql_condition("name LIKE '100\\% %' AND id < 100"))
    assert [row["id"] for row in found] == list(range(10, 100, 10))
    async with plain.snapshot() as snapshot:
        assert await snapshot.count(sql_condition("id > 990")) == 10


async def test_a_sample_is_of_different_rows_each_time(plain: PostgresTable) -> None:
    """So many, none twice, and not the first ones."""
    async with plain.snapshot() as snapshot:
        drawn = [row.key["id"] async for rows in snapshot.sample(50) for row in rows]
    assert len(set(drawn)) == 50
    assert set(drawn) != set(range(1, 51))


async def test_a_column_that_is_not_there_is_named(url: str) -> None:
    """Every row would be called refused."""
    table = PostgresTable(url, "", "public.plain", ["id"], ["nmae"])
    with pytest.raises(ConfigurationError, match="nmae"):
        await table.page(None, 1)
    await table.close()
