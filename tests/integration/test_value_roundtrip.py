"""Values read by SQL are exactly what the connector delivers for them, type by type, with PostgreSQL as the oracle.

Each literal below goes into PostgreSQL, and comes back four ways: through the connector's snapshot, through its stream,
through `PostgresSource`, and, where the type can be a key, back into PostgreSQL, which says whether it is still the same.

KNOWN GAPS (each is pinned below, so that a new version of Debezium that closes or widens one is noticed):

- Snapshot and stream differ for dates: `infinity`, `-infinity`, years BC (the snapshot drops the sign), and the ten days
  that the Gregorian calendar skipped in 1582. `PostgresSource` gives the stream's form.
- `infinity` and `-infinity` of timestamp and date arrive as dates of years beyond 9999 or before 1, not as words. Only
  timestamptz says `infinity`. An infinite interval (PostgreSQL 17) arrives as zero.
- 24:00:00 arrives as 00:00:00.
- Arrays of two or more dimensions arrive as nulls, or as the names of Java objects. `PostgresSource` gives the true value,
  so that a comparison finds them.
- Dates and timestamps BC in arrays lose their sign or two days.
- numeric with a negative scale arrives with thousands of zeros behind the point, as the same number.
- The smallest numbers of real (below 1e-37) arrive with one digit more than PostgreSQL writes.
- A column of type `name` arrives as NULL from the stream. `check` refuses it.
- numeric[] with NaN or Infinity, an array of an enum with NULL, and every bit[] stop the connector
  (test_connector_events.py). `check` refuses or warns.
- No field at all arrives for interval[], money[], point[], xml[], varbit[], arrays of domains, composites, multiranges,
  tsquery, pg_lsn, jsonpath, regclass, xid8 and lquery; oidvector and int2vector arrive empty. `PostgresSource` leaves them
  out. It leaves out as well what arrives as nested geometry (line, lseg, box, path, polygon, circle): not indexable.
- A virtual generated column has no field in the stream (or NULL), but a value in a snapshot. Stored ones are streamed from
  PostgreSQL 18 on, when the publication says so.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from connector_harness import Addresses, Place, place

from sync_worker.adapters.source.postgres import PostgresSource
from sync_worker.testing.stack import Stack

ABSENT = "<no field>"
ANY_TEXT = "<any text>"


@dataclass(frozen=True)
class Gap:
    """What arrives where it is not what the row holds. `snapshot` is None where it is the same as `stream`."""

    stream: Any
    snapshot: Any = ...

    @property
    def in_snapshot(self) -> Any:
        return self.stream if self.snapshot is ... else self.snapshot


@dataclass(frozen=True, eq=False)
class Case:
    """One column. `gaps` are by literal; what is not there must agree everywhere."""

    type: str
    literals: tuple[str, ...]
    gaps: dict[str, Gap] = field(default_factory=dict)
    needs: str | None = None

    @property
    def column(self) -> str:
        return f"c{CASES.index(self)}"

    def __str__(self) -> str:
        return self.type


STREAM_FAR_FUTURE = "+292278994-08-16T23:00:00Z"
STREAM_FAR_PAST = "-292275055-05-16T23:00:00Z"
NO_FIELD = Gap(ABSENT)
ZERO = Gap("P0Y0M0DT0H0M0S")

CASES = (
    Case("smallint", ("-32768", "0", "32767")),
    Case("integer", ("-2147483648", "0", "2147483647")),
    Case("bigint", ("-9223372036854775808", "9007199254740993", "9223372036854775807")),
    Case("oid", ("0", "4294967295")),
    Case(
        "numeric",
        ("0", "12.50", "1e20", "0.0000001", "-123456789012345678901234567890.123456789", "NaN", "Infinity", "-Infinity"),
    ),
    Case("numeric(10,2)", ("0", "7.1", "-0.5", "NaN")),
    Case("numeric(5,0)", ("12345",)),
    Case("numeric(30,25)", ("0.1", "10000")),
    Case("numeric(3,-2)", ("12345",), gaps={"12345": Gap("12300." + "0" * 2046)}, needs="PostgreSQL 15"),
    Case("real", ("0", "1.5", "-0.1", "1e-10", "3.4028235e38", "1234567.9", "NaN", "Infinity", "-Infinity")),
    Case("real", ("1e-45",), gaps={"1e-45": Gap(1.4e-45)}),
    Case(
        "double precision", ("0", "2.25", "0.1", "1e300", "5e-324", "123456789.123456789", "1e15", "NaN", "Infinity", "-Infinity")
    ),
    Case("boolean", ("true", "false")),
    Case("text", ("", 'h\u00e9llo "q" \\ \U0001f600', "line\nbreak\ttab", "\x7f\u2028", "NULL", "x" * 20_000)),
    Case("varchar(20)", ("", "trail  ")),
    Case("char(6)", ("ch", "", "trail ")),
    Case('"char"', ("x",)),
    Case("citext", ("CiText", ""), needs="citext"),
    Case("uuid", ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",)),
    Case(
        "date",
        (
            "2024-02-29",
            "1970-01-01",
            "0001-01-01",
            "1500-02-28",
            "9999-12-31",
            "20000-01-01",
            "infinity",
            "-infinity",
            "0044-03-15 BC",
            "0001-12-31 BC",
            "1582-10-10",
        ),
        gaps={
            "infinity": Gap("+5877611-06-21Z", "+292278994-08-16Z"),
            "-infinity": Gap("-5877611-06-22Z", "+292269055-12-02Z"),
            "0044-03-15 BC": Gap("-0043-03-15Z", "0044-03-15Z"),
            "0001-12-31 BC": Gap("0000-12-31Z", "0001-12-31Z"),
            "1582-10-10": Gap("1582-10-10Z", "1582-10-20Z"),
        },
    ),
    Case("time", ("00:00:00", "12:34:56.123456", "23:59:59.999999", "00:00:00.1", "01:02:03.0001", "24:00:00")),
    Case("time(3)", ("12:34:56.5",)),
    Case("timetz", ("12:34:56.5+02:30", "00:00:00-15:59", "23:59:59.999999-08", "01:00:00+02", "24:00:00+00", "24:00:00+02")),
    Case(
        "timestamp",
        (
            "2024-02-29 12:34:56.123456",
            "1970-01-01 00:00:00",
            "1969-12-31 23:59:59.999999",
            "9999-12-31 23:59:59.999999",
            "20000-01-01 00:00:00",
            "0044-03-15 12:00:00 BC",
            "1582-10-10 00:00:00.1",
            "infinity",
            "-infinity",
        ),
    ),
    Case("timestamp(0)", ("2024-02-29 12:34:56",)),
    Case("timestamp(3)", ("2024-02-29 12:34:56.5",)),
    Case(
        "timestamptz",
        (
            "2024-02-29 12:34:56.123456+02",
            "1970-01-01 00:00:00.1+00",
            "2024-02-29 12:34:56+00",
            "9999-12-31 23:59:59.999999+00",
            "20000-01-01 00:00:00.5+00",
            "1500-03-01 00:00:00+00",
            "0001-12-31 00:00:00+00 BC",
            "infinity",
            "-infinity",
        ),
    ),
    Case("timestamptz(0)", ("2024-02-29 12:34:56+02",)),
    Case("timestamptz(3)", ("2024-02-29 12:34:56.12+00",)),
    Case(
        "interval",
        (
            "1 year 2 mons 3 days 04:05:06.789",
            "-1 days -00:00:00.000001",
            "00:00:00",
            "178000000 years",
            "-1 year 2 mons -3 days",
            "1 mon -1 days",
            "-02:03:04.5",
            "100:00:00",
            "-1 year",
        ),
    ),
    Case("interval", ("infinity", "-infinity"), gaps={"infinity": ZERO, "-infinity": ZERO}, needs="PostgreSQL 17"),
    Case("bytea", ("\\xdeadbeef", "\\x", "\\x00")),
    Case("json", ('{"b": 1,  "a":[1,2.0]}', "null", '"s"', "[]", '{"a":1.0e2}')),
    Case("jsonb", ('{"b": 1,  "a":[1,2.0,1e3]}', "null", "[1.10]", '{"n": 12345678901234567890.123}', '{"\u00e9":"\\u00e9"}')),
    Case("mood", ("sad", "h\u00e4ppy")),
    Case("positive", ("4",)),
    Case("short", ("dom",)),
    Case("money2", ("1.5",)),
    Case("moment", ("2024-02-29 12:34:56.5+00",)),
    Case("numbers", ("{1,2}",)),
    Case("inet", ("10.0.0.1/24", "10.0.0.1", "::1")),
    Case("cidr", ("10.0.0.0/8",)),
    Case("macaddr", ("08:00:2b:01:02:03",)),
    Case("macaddr8", ("08:00:2b:01:02:03:04:05",)),
    Case("money", ("1234567.89", "-12.34", "0")),
    Case("point", ("(1.5,2)", "(-0,1e20)")),
    Case("bit(1)", ("1", "0")),
    Case("bit(8)", ("10101010", "00000000")),
    Case("bit(16)", ("1000000000000001", "0000000100000000")),
    Case("varbit", ("101", "", "0")),
    Case("varbit(1)", ("1", "0")),
    Case("int4range", ("[1,5)", "empty", "(,)")),
    Case("int8range", ("[1,9]",)),
    Case("numrange", ("[1.5,2.5]",)),
    Case("tsrange", ("[2024-01-01,2024-01-02)",)),
    Case("tstzrange", ("[2024-01-01 00:00+00,2024-01-02 00:00+02)",)),
    Case("daterange", ("[2024-01-01,2024-01-05)",)),
    Case("xml", ('<a b="1">x</a>',), needs="libxml"),
    Case("tsvector", ("a fat cat",)),
    Case("hstore", ('a=>1, "b c"=>NULL, q=>"x\\"y", "\u00e9"=>"\\\\"', ""), needs="hstore"),
    Case("ltree", ("Top.Science",), needs="ltree"),
    Case("vector(3)", ("[1,2.5,3]",), needs="vector"),
    Case("halfvec(3)", ("[1,2.5,3]",), needs="vector"),
    Case("sparsevec(3)", ("{1:1.5}/3",), needs="vector"),
    Case("smallint[]", ("{1,NULL}", "{}")),
    Case("bigint[]", ("{9007199254740993}",)),
    Case(
        "integer[]",
        ("{1,NULL,3}", "{}", "[2:3]={1,2}", "{{1,2},{3,4}}"),
        gaps={"{{1,2},{3,4}}": Gap([None, None])},
    ),
    Case(
        "text[]",
        ('{"a,b",NULL,"NULL","q\\"x",""}', "{}", '{"{}","\\\\"}', "{{a,b},{c,d}}"),
        gaps={"{{a,b},{c,d}}": Gap([ANY_TEXT, ANY_TEXT])},
    ),
    Case("varchar(5)[]", ("{vc}",)),
    Case("char(4)[]", ("{ab}",)),
    Case("numeric[]", ("{1,NULL,2.10}",)),
    Case("numeric(10,2)[]", ("{1,2.1}",)),
    Case("real[]", ("{1.1}",)),
    Case("double precision[]", ("{0.1,1e16,-0,NaN,Infinity}",)),
    Case("boolean[]", ("{t,f,NULL}",)),
    Case("uuid[]", ("{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",)),
    Case(
        "date[]",
        ("{2024-02-29}", '{"0044-03-15 BC"}', "{infinity}"),
        gaps={'{"0044-03-15 BC"}': Gap(["0044-03-15Z"]), "{infinity}": Gap(["+292278994-08-16Z"])},
    ),
    Case("time[]", ("{12:34:56.5,24:00:00}",)),
    Case("timetz[]", ("{12:34:56.5+02}",)),
    Case(
        "timestamp[]",
        ('{"2024-02-29 12:34:56.5","2024-02-29 12:34:56"}', "{infinity,-infinity}", '{"0001-01-01 BC"}'),
        gaps={'{"0001-01-01 BC"}': Gap(["-0001-12-30T00:00:00Z"])},
    ),
    Case("timestamptz[]", ('{"2024-02-29 12:34:56+02","1500-01-01 00:00:00+00",infinity}',)),
    Case("timestamptz(3)[]", ('{"2024-02-29 12:34:56.5+00"}',)),
    Case("jsonb[]", ('{"{\\"a\\": 1}"}',)),
    Case("json[]", ('{"{\\"a\\": 1}"}',)),
    Case("mood[]", ("{sad,h\u00e4ppy}", "{}")),
    Case("bytea[]", ('{"\\\\x","\\\\xff"}',)),
    Case("inet[]", ("{10.0.0.0/8,::1}",)),
    Case("cidr[]", ("{10.0.0.0/8}",)),
    Case("macaddr[]", ("{08:00:2b:01:02:03}",)),
    Case("int4range[]", ('{"[1,3)"}',)),
    Case("citext[]", ("{Aa,NULL}",), needs="citext"),
    Case("ltree[]", ("{a.b}",), needs="ltree"),
    Case("hstore[]", ('{"a=>1"}',), needs="hstore"),
    Case("vector(2)[]", ('{"[1,2]"}',), needs="vector"),
    Case("name", ("nm",), gaps={"nm": Gap(None, "nm")}),
    Case("interval[]", ("{1 day}",), gaps={"{1 day}": NO_FIELD}),
    Case("positive[]", ("{1}",), gaps={"{1}": NO_FIELD}),
    Case("pair", ("(1,x)",), gaps={"(1,x)": NO_FIELD}),
    Case("int4multirange", ("{[1,3),[5,7)}",), gaps={"{[1,3),[5,7)}": NO_FIELD}),
    Case("tsquery", ("fat & cat",), gaps={"fat & cat": NO_FIELD}),
    Case("pg_lsn", ("0/16B3748",), gaps={"0/16B3748": NO_FIELD}),
    Case("jsonpath", ("$.a",), gaps={"$.a": NO_FIELD}),
    Case("int2vector", ("1 2",), gaps={"1 2": Gap([])}),
    Case(
        "circle",
        ("<(0,0),1>",),
        gaps={"<(0,0),1>": Gap({"center": {"x": 0.0, "y": 0.0, "wkb": ANY_TEXT, "srid": None}, "radius": 1.0})},
    ),
)

DEFINITIONS = (
    "create type mood as enum ('sad', 'h\u00e4ppy')",
    "create domain positive as integer check (value > 0)",
    "create domain short as varchar(20)",
    "create domain money1 as numeric(10,2)",
    "create domain money2 as money1",
    "create domain moment as timestamptz(3)",
    "create domain numbers as integer[]",
    "create type pair as (a integer, b text)",
)
STREAMED = 1000
"""Rows that the stream delivers have the id of their twin from the snapshot plus this."""


@dataclass(frozen=True)
class Delivered:
    """Row id → column → value, from each way."""

    database_url: str
    snapshot: dict[int, dict[str, Any]]
    stream: dict[int, dict[str, Any]]
    source: dict[int, dict[str, Any]]
    present: frozenset[str]


@pytest.fixture(scope="module")
def delivered(stack: Stack) -> Iterator[Delivered]:
    with place(Addresses.of(stack)) as here:
        yield _deliver(here)


def _deliver(here: Place) -> Delivered:
    with psycopg.connect(here.database_url, autocommit=True) as connection:
        available = {row[0] for row in connection.execute("select name from pg_available_extensions").fetchall()}
        if connection.execute("select 1 from pg_config where name = 'CONFIGURE' and setting like '%%with-libxml%%'").fetchone():
            available.add("libxml")
        for extension in sorted({case.needs for case in CASES if case.needs in available} - {"libxml", None}):
            connection.execute(f"create extension {extension}")
        available |= {f"PostgreSQL {version}" for version in range(13, connection.info.server_version // 10000 + 1)}
        for definition in DEFINITIONS:
            connection.execute(definition)
        present = [case for case in CASES if case.needs is None or case.needs in available]
        columns = ", ".join(f"{case.column} {case.type}" for case in present)
        connection.execute(f"create table zoo (id integer primary key, {columns})")
        rows = max(len(case.literals) for case in present)
        _insert(connection, present, range(1, rows + 1), 0)
        here.with_tables("public.zoo").start()
        topic = here.settings.data_topic("public.zoo")
        here.records(topic, lambda read: len(read) >= rows)
        _insert(connection, present, range(1, rows + 1), STREAMED)
    after = [json.loads(message.value())["after"] for message in here.records(topic, lambda read: len(read) >= 2 * rows)]
    source = asyncio.run(_read(here, rows))
    return Delivered(
        here.database_url,
        {row["id"]: row for row in after if row["id"] < STREAMED},
        {row["id"] - STREAMED: row for row in after if row["id"] > STREAMED},
        source,
        frozenset(case.column for case in present),
    )


def _insert(connection: psycopg.Connection[Any], present: list[Case], ids: range, shift: int) -> None:
    for row in ids:
        values = {case: case.literals[row - 1] for case in present if len(case.literals) >= row}
        columns = ", ".join(["id", *(case.column for case in values)])
        marks = ", ".join(["%s", *(f"%s::text::{'numeric::' if case.type == 'money' else ''}{case.type}" for case in values)])
        connection.execute(f"insert into zoo ({columns}) values ({marks})", [row + shift, *values.values()])


async def _read(here: Place, rows: int) -> dict[int, dict[str, Any]]:
    source = PostgresSource(here.database_url, publication=here.settings.publication)
    try:
        found = await source.rows("public.zoo", ["id"], [{"id": row} for row in range(1, rows + 1)])
    finally:
        await source.close()
    return {row["id"]: row for row in found if row is not None}


def _same(expected: Any, got: Any) -> bool:
    """Equal, with 1 and 1.0 and True told apart."""
    if expected == ANY_TEXT:
        return isinstance(got, str)
    if type(expected) is not type(got):
        return False
    if isinstance(expected, list):
        return len(expected) == len(got) and all(map(_same, expected, got))
    if isinstance(expected, dict):
        return expected.keys() == got.keys() and all(_same(value, got[key]) for key, value in expected.items())
    return bool(expected == got)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_row_read_by_sql_has_the_values_that_the_connector_delivers(case: Case, delivered: Delivered) -> None:
    """What a retry, a repair or a comparison reads from the source means the same as what the stream brought."""
    if case.column not in delivered.present:
        pytest.skip(f"this PostgreSQL has no {case.needs}")
    for row, literal in enumerate(case.literals, start=1):
        snapshot = delivered.snapshot[row].get(case.column, ABSENT)
        stream = delivered.stream[row].get(case.column, ABSENT)
        source = delivered.source[row].get(case.column, ABSENT)
        gap = case.gaps.get(literal)
        if gap is None:
            assert _same(stream, snapshot), (literal, "snapshot", snapshot, "stream", stream)
            assert _same(stream, source), (literal, "stream", stream, "source", source)
        else:
            assert _same(gap.stream, stream), (literal, "stream", stream)
            assert _same(gap.in_snapshot, snapshot), (literal, "snapshot", snapshot)


def test_a_null_is_null_everywhere(delivered: Delivered) -> None:
    """The last row has NULL in most columns: none of them may turn into a default, an empty text, or a missing field."""
    last = max(delivered.stream)
    short = [
        case
        for case in CASES
        if case.column in delivered.present and len(case.literals) < last and NO_FIELD not in case.gaps.values()
    ]
    assert short
    for case in short:
        assert delivered.snapshot[last][case.column] is None, case
        assert delivered.stream[last][case.column] is None, case
        assert delivered.source[last].get(case.column) is None, case


def test_what_damages_a_value_on_its_way_is_not_imitated(delivered: Delivered) -> None:
    """Two-dimensional arrays: the source gives the true value, so that a comparison with the index names the damage."""
    integers = next(case for case in CASES if case.type == "integer[]")
    texts = next(case for case in CASES if case.type == "text[]")
    assert delivered.source[4][integers.column] == [[1, 2], [3, 4]]
    assert delivered.source[4][texts.column] == [["a", "b"], ["c", "d"]]
