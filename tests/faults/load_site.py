"""Two tables under a random load, and what their indexes have to show: shared by the tests of faults."""

from __future__ import annotations

from random import Random
from typing import Any

import psycopg
from chain import Load, Pair, Site

KEYS = 2_000

TABLES = """
CREATE TABLE items (id bigint PRIMARY KEY, name text NOT NULL, n integer NOT NULL, extra jsonb, big text);
ALTER TABLE items ALTER COLUMN big SET STORAGE EXTERNAL;
CREATE TABLE lines (item bigint, line integer, product text NOT NULL, PRIMARY KEY (item, line));
INSERT INTO items SELECT i, 'item ' || i, i % 1000, jsonb_build_object('i', i), repeat(md5(i::text), 100)
  FROM generate_series(1, 1000) AS i;
INSERT INTO lines SELECT i % 100, i, 'product ' || i FROM generate_series(1, 300) AS i;
"""

INDEXES = """
[indexes.items]
uid = "{index}-items"
table = "public.items"
primary_key = "id"
fields = { name = "text", n = "integer", extra = "json", big = "text" }

[indexes.many]
uid = "{index}-many"
table = "public.items"
primary_key = "id"
where = "n >= 500"
fields = { n = "integer" }

[indexes.lines]
uid = "{index}-lines"
table = "public.lines"
primary_key = ["item", "line"]
fields = { item = "integer", line = "integer", product = "text" }
"""

PAIRS = (
    Pair("items", "SELECT * FROM items", lambda row: row),
    Pair("many", "SELECT id, n FROM items WHERE n >= 500", lambda row: row),
    Pair("lines", "SELECT * FROM lines", lambda row: row, key=("item", "line")),
)


def write(cursor: psycopg.Cursor[Any], random: Random, *, key_changes: bool = True) -> None:
    """One transaction: mostly one row, sometimes many; both tables; keys meet again all the time."""
    for _ in range(random.choice((1, 1, 1, 1, 2, 5, 20))):
        key, n = random.randrange(KEYS), random.randrange(1000)
        what = random.random()
        if what < 0.45:
            cursor.execute(
                "INSERT INTO items VALUES (%s, %s, %s, %s, repeat(%s, 200)) "
                "ON CONFLICT (id) DO UPDATE SET n = excluded.n, name = excluded.name",
                [key, f"item {n}", n, psycopg.types.json.Jsonb({"n": n}), f"{n:06}abcdefghij"],
            )
        elif what < 0.6:
            cursor.execute("UPDATE items SET n = %s WHERE id = %s", [n, key])
        elif what < 0.75:
            cursor.execute("DELETE FROM items WHERE id = %s", [key])
        elif what < 0.85 and key_changes:
            cursor.execute(
                "UPDATE items SET id = %s WHERE id = %s AND NOT EXISTS (SELECT FROM items WHERE id = %s)",
                [n, key, n],
            )
        elif what < 0.95:
            cursor.execute(
                "INSERT INTO lines VALUES (%s, %s, %s) ON CONFLICT (item, line) DO UPDATE SET product = excluded.product",
                [key % 100, n % 50, f"product {n}"],
            )
        else:
            cursor.execute("DELETE FROM lines WHERE item = %s", [key % 100])


def write_without_key_changes(cursor: psycopg.Cursor[Any], random: Random) -> None:
    write(cursor, random, key_changes=False)


def load(site: Site, seed: int, *, key_changes: bool = True, pause_s: float = 0.003) -> Load:
    return Load(site, write if key_changes else write_without_key_changes, seed=seed, pause_s=pause_s)
