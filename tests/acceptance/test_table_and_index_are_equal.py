"""The main job: whatever is committed in the database, the index shows. PostgreSQL itself computes what has to be there."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from chain import Pair, Site

from sync_worker.testing.stack import Stack

TABLES = """
CREATE TABLE places (
  country text, code text, name text NOT NULL, population bigint, rating numeric(12, 4), opened timestamptz, seen timestamp,
  born date, tags text[], attributes jsonb, lat double precision, lng double precision, active boolean, story text,
  taste real[], deleted_at timestamptz,
  PRIMARY KEY (country, code)
);
ALTER TABLE places ALTER COLUMN story SET STORAGE EXTERNAL, ALTER COLUMN attributes SET STORAGE EXTERNAL;
CREATE TABLE words (word text PRIMARY KEY, n integer);
CREATE TABLE counters (id bigint PRIMARY KEY, n integer NOT NULL);

INSERT INTO places
SELECT 'DE', 'x' || i, 'place ' || i, i * 100, i / 7.0, timestamptz '1969-07-20 20:17:40.123456+02' + i * interval '1 day',
  timestamp '2001-02-03 04:05:06' + i * interval '1 microsecond', date '1900-01-01' + i, ARRAY['a', 'ü' || i, NULL],
  jsonb_build_object('i', i, 'deep', jsonb_build_array(1, '2', NULL, jsonb_build_object('x', i))),
  (i % 180) - 90, (i % 360) - 180, i % 2 = 0, repeat(md5(i::text), 400), ARRAY[0.5, i, -0.25], NULL
FROM generate_series(1, 200) AS i;
INSERT INTO places (country, code, name, opened, seen, born) VALUES
  ('__', '_41', 'infinities', 'infinity', 'infinity', 'infinity'),
  ('', ' ', 'the other infinities', '-infinity', '-infinity', '-infinity'),
  ('FR', E'a/b\\\\c\\'"', 'nothing but nulls', NULL, NULL, NULL);
INSERT INTO words SELECT word, 1 FROM unnest(ARRAY['plain', 'with space', 'ümläut', '🙂', '', '-', '_', '_41', 'A', '__', 'a_b',
  'a%b', E'tab\\tnew\\nline', '日本語', '0', '007', '7', '-7', 'null', repeat('long', 60), E'quote''"\\\\']) AS word;
INSERT INTO counters SELECT i, 0 FROM generate_series(1, 3000) AS i;
"""

INDEXES = """
[indexes.places]
uid = "{index}-places"
table = "public.places"
primary_key = ["country", "code"]
soft_delete = "deleted_at"

[indexes.places.fields]
country = "text"
code = "text"
title = { type = "text", column = "name" }
population = "integer"
rating = "number"
opened = "timestamp"
seen = "timestamp"
born = "timestamp"
tags = "json"
attributes = "json"
active = "boolean"
story = "text"
kind = { constant = "place" }
_geo = { type = "geo", lat = "lat", lng = "lng" }
taste = { type = "vector", embedder = "taste" }

[indexes.places.settings]
filterableAttributes = ["population", "_geo"]
embedders = { taste = { source = "userProvided", dimensions = 3 } }

[indexes.cities]
uid = "{index}-cities"
table = "public.places"
primary_key = ["country", "code"]
id_field = "key"
where = "population >= 10000 AND active IS TRUE"
fields = { country = "text", code = "text", population = "integer" }

[indexes.words]
uid = "{index}-words"
table = "public.words"
primary_key = "word"
id_field = "key"
fields = { word = "text", n = "integer" }

[indexes.counters]
uid = "{index}-counters"
table = "public.counters"
primary_key = "id"
fields = { n = "integer" }
"""

SECONDS = """CASE {column} WHEN 'infinity' THEN 253402300799 WHEN '-infinity' THEN -62135596800
  ELSE extract(epoch FROM {column})::double precision END AS {column}"""

PLACES = f"""
SELECT country, code, name AS title, population, rating::double precision AS rating, 'place' AS kind,
  {SECONDS.format(column="opened")}, {SECONDS.format(column="seen")}, {SECONDS.format(column="born")},
  to_jsonb(tags) AS tags, attributes, active, story,
  CASE WHEN lat IS NOT NULL AND lng IS NOT NULL THEN jsonb_build_object('lat', lat, 'lng', lng) END AS _geo,
  CASE WHEN taste IS NULL THEN '{{}}' ELSE jsonb_build_object('taste', jsonb_build_array(taste)) END AS _vectors
FROM places WHERE deleted_at IS NULL
"""

PAIRS = (
    Pair("places", PLACES, lambda row: row, key=("country", "code"), vectors=True),
    Pair(
        "cities",
        "SELECT country, code, population FROM places WHERE population >= 10000 AND active",
        lambda row: row,
        key=("country", "code"),
    ),
    Pair("words", "SELECT word, n FROM words", lambda row: row, key=("word",)),
    Pair("counters", "SELECT * FROM counters", lambda row: row),
)


@pytest.fixture(scope="module")
def site(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """With a worker that runs through the whole module."""
    site = Site(stack, tmp_path_factory.mktemp("equal"), TABLES, INDEXES, PAIRS)
    try:
        site.set_up()
        site.worker()
        yield site
    finally:
        site.remove()


def test_what_was_there_before_the_connector(site: Site) -> None:
    """The initial snapshot: every type, every key, two indexes of one table, several tables."""
    site.wait_settled()
    assert len(site.documents("counters")) == 3000


def test_inserts_updates_and_deletes(site: Site) -> None:
    """Each kind of change, alone and in transactions of many rows."""
    site.execute(
        "INSERT INTO places (country, code, name, population, active) VALUES ('IT', 'rm', 'Roma', 2800000, true)",
        "UPDATE places SET population = 50, rating = -0.0001, tags = '{}', attributes = '[]' WHERE code = 'x7'",
        "UPDATE places SET attributes = NULL, lat = NULL, taste = NULL WHERE code = 'x8'",
        "UPDATE places SET taste = '{1, 2, 4}' WHERE taste IS NULL",
        "DELETE FROM places WHERE code = 'x9'",
        "UPDATE counters SET n = n + 1",
        "DELETE FROM counters WHERE id % 3 = 0",
        "INSERT INTO words VALUES ('new', 2) ON CONFLICT DO NOTHING",
    )
    site.wait_settled()


def test_a_value_out_of_line_that_an_update_leaves_alone(site: Site) -> None:
    """An unchanged TOAST column is not in the event; the document keeps it, whatever else changes, key included."""
    site.execute(
        "UPDATE places SET attributes = jsonb_build_object('big', repeat(md5(code), 300)) WHERE code LIKE 'x1%'",
        "UPDATE places SET rating = 5 WHERE code LIKE 'x1%'",
        "UPDATE places SET code = 'y' || code WHERE code LIKE 'x12%'",
    )
    site.wait_settled()
    story = {document["code"]: document["story"] for document in site.documents("places")}
    assert len(story["x11"]) == 32 * 400


def test_rows_change_their_keys(site: Site) -> None:
    """A delete and an insert under the new id, also where keys are swapped within one transaction, and back and forth."""
    site.execute(
        "UPDATE places SET country = 'AT' WHERE code IN ('x20', 'x21', 'x22')",
        "UPDATE words SET word = word || ' more' WHERE word IN ('_41', '🙂', '')",
        "UPDATE counters SET id = id + 100000 WHERE id <= 500",
        "BEGIN; UPDATE counters SET id = -1 WHERE id = 1001; UPDATE counters SET id = 1001 WHERE id = 1003;"
        " UPDATE counters SET id = 1003 WHERE id = -1; COMMIT",
        "BEGIN; UPDATE counters SET id = -2, n = 5 WHERE id = 1006; UPDATE counters SET id = 1006 WHERE id = -2; COMMIT",
        "BEGIN; DELETE FROM words WHERE word = 'A'; INSERT INTO words VALUES ('A', 9); COMMIT",
    )
    site.wait_settled()


def test_rows_that_stop_and_start_to_belong(site: Site) -> None:
    """Soft delete and `where`: such a row leaves its index, and comes back."""
    site.execute(
        "UPDATE places SET deleted_at = now() WHERE code IN ('x30', 'x31')",
        "UPDATE places SET population = 1 WHERE code = 'x150'",
        "UPDATE places SET active = NOT active WHERE code LIKE 'x16%'",
    )
    site.wait_settled()
    assert not [document for document in site.documents("places") if document["code"] in ("x30", "x31")]
    site.execute(
        "UPDATE places SET deleted_at = NULL WHERE code = 'x30'", "UPDATE places SET population = 99999 WHERE code = 'x151'"
    )
    site.wait_settled()
    assert [document for document in site.documents("places") if document["code"] == "x30"]


def test_what_is_rolled_back_never_shows(site: Site) -> None:
    """Neither a transaction that is rolled back, nor a savepoint within one that commits."""
    site.execute(
        "BEGIN; UPDATE counters SET n = -1; DELETE FROM words; ROLLBACK",
        "BEGIN; UPDATE counters SET n = 77 WHERE id = 2000; SAVEPOINT s; DELETE FROM counters; ROLLBACK TO s; COMMIT",
    )
    site.wait_settled()


def test_copy_and_a_large_transaction(site: Site) -> None:
    """20,000 rows by COPY, all of them updated in the same transaction, half of them deleted."""
    with psycopg.connect(site.database_url) as connection, connection.cursor() as cursor:
        with cursor.copy("COPY counters FROM STDIN") as copy:
            for number in range(200_000, 220_000):
                copy.write_row((number, 0))
        cursor.execute("UPDATE counters SET n = id % 1000 WHERE id >= 200000")
        cursor.execute("DELETE FROM counters WHERE id >= 200000 AND id % 2 = 0")
    site.wait_settled(120)


def test_truncate(site: Site) -> None:
    """It clears exactly its table's indexes, in its place between what was before and after, also within one transaction."""
    site.execute(
        "TRUNCATE counters",
        "INSERT INTO counters SELECT i, i FROM generate_series(1, 100) AS i",
        "BEGIN; INSERT INTO words VALUES ('before', 1); TRUNCATE words; INSERT INTO words VALUES ('after', 2); COMMIT",
    )
    site.wait_settled()
    assert [document["word"] for document in site.documents("words")] == ["after"]
    assert len(site.documents("counters")) == 100


def test_a_worker_that_was_away_catches_up(site: Site) -> None:
    """Nothing that happened meanwhile is lost, and a restart is no failure."""
    status, _ = site.workers[-1].sigterm()
    assert status == 0
    site.execute(
        "UPDATE counters SET n = n * 2",
        "TRUNCATE words",
        "INSERT INTO words SELECT 'word ' || i, i FROM generate_series(1, 500) AS i",
        "UPDATE places SET name = name || '!'",
    )
    site.worker()
    site.wait_settled()
