"""Reading the source beside the connector: rows by key, the catalogue, the checks, the publication. PostgreSQL only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import stamina
from psycopg import sql

from sync_worker.adapters.source.catalogue import describe_table
from sync_worker.adapters.source.check import check_source
from sync_worker.adapters.source.postgres import PostgresSource
from sync_worker.adapters.source.prepare import Prepared, prepare_source, publication_sql
from sync_worker.adapters.source.soundness import Severity
from sync_worker.adapters.source.suggest import suggest_declaration
from sync_worker.errors import ConfigurationError, DecodeError, SourceUnavailable
from sync_worker.testing.stack import Stack, up


@pytest.fixture(scope="session")
def postgres(stack_home: Path) -> Stack:
    """A stack of which only PostgreSQL runs, unless something else asked for the rest."""
    return up(stack_home, parts=["postgres"])


@pytest.fixture
def database(postgres: Stack, fresh_name: Callable[[str], str]) -> Iterator[str]:
    name = fresh_name("source")
    with psycopg.connect(postgres.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield f"{postgres.database_url.rpartition('/')[0]}/{name}"
    with psycopg.connect(postgres.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _execute(database: str, *statements: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


async def test_rows_come_in_the_order_of_the_keys_and_none_for_what_is_gone(database: str) -> None:
    """Repeated keys are answered each; one query serves all."""
    _execute(database, "create table t (id integer primary key, a text)", "insert into t values (1, 'one'), (2, null)")
    source = PostgresSource(database)
    rows = await source.rows("public.t", ["id"], [{"id": 2}, {"id": 9}, {"id": 1}, {"id": 2}])
    await source.close()
    assert rows == [{"id": 2, "a": None}, None, {"id": 1, "a": "one"}, {"id": 2, "a": None}]


async def test_composite_keys_and_odd_names_are_matched_column_by_column(database: str) -> None:
    """(1, b) is not (b, 1), and names need quoting."""
    _execute(
        database,
        'create schema "Odd"',
        'create table "Odd"."Ta ble" ("select" integer, "b%" char(3), primary key ("select", "b%"))',
        """insert into "Odd"."Ta ble" values (1, 'x'), (2, 'y')""",
    )
    source = PostgresSource(database)
    keys = [{"select": 2, "b%": "x  "}, {"select": 2, "b%": "y  "}]
    assert await source.rows("Odd.Ta ble", ["select", "b%"], keys) == [None, {"select": 2, "b%": "y  "}]
    await source.close()


@pytest.mark.parametrize(
    ("type_", "literal"),
    [
        ("smallint", "-1"),
        ("bigint", "9223372036854775807"),
        ("numeric", "1.10"),
        ("numeric", "NaN"),
        ("boolean", "true"),
        ("text", "NULL"),
        ("char(4)", "ab"),
        ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("date", "2024-02-29"),
        ("date", "0044-03-15 BC"),
        ("date", "20000-01-01"),
        ("date", "infinity"),
        ("time", "12:34:56.5"),
        ("timestamp", "2024-02-29 12:34:56.123456"),
        ("timestamp", "infinity"),
        ("timestamptz", "2024-02-29 12:34:56.1+02"),
        ("timestamptz", "-infinity"),
        ("timestamptz", "0001-12-31 00:00:00+00 BC"),
        ("bytea", "\\x00ff"),
        ("inet", "10.0.0.1/24"),
        ("mood", "sad"),
        ("positive", "3"),
    ],
)
async def test_a_key_as_the_connector_delivers_it_finds_its_row(database: str, type_: str, literal: str) -> None:
    """The way back: PostgreSQL agrees that the delivered value is the row's own."""
    _execute(
        database,
        "create type mood as enum ('sad')",
        "create domain positive as integer",
        f"create table t (k {type_} primary key)",
        f"insert into t values ('{literal}')",
        "create table all_of_it (id integer primary key, like t)",
        "insert into all_of_it select 1, k from t",
    )
    source = PostgresSource(database)
    [whole] = await source.rows("public.all_of_it", ["id"], [{"id": 1}])
    assert whole is not None
    assert await source.rows("public.t", ["k"], [{"k": whole["k"]}]) == [{"k": whole["k"]}]
    await source.close()


async def test_a_key_that_does_not_fit_is_one_records_fault(database: str) -> None:
    """The key's type changed since the event: it is told apart from a database that is down, and the source goes on."""
    _execute(database, "create table t (id integer primary key, u uuid unique)", "insert into t values (1, null)")
    source = PostgresSource(database)
    for column, value in (("id", "one"), ("id", 2**40), ("u", "no uuid")):
        with pytest.raises(DecodeError):
            await source.rows("public.t", [column], [{column: value}])
    assert await source.rows("public.t", ["id"], [{"id": 1}]) == [{"id": 1, "u": None}]
    await source.close()


async def test_key_columns_that_are_not_unique_are_refused(database: str) -> None:
    """Any of the rows would be as wrong as the other."""
    _execute(database, "create table t (id integer)", "insert into t values (1), (1)")
    source = PostgresSource(database)
    with pytest.raises(ConfigurationError, match="do not identify one row"):
        await source.rows("public.t", ["id"], [{"id": 1}])
    await source.close()


async def test_a_lost_connection_is_replaced(database: str) -> None:
    """The call that meets it raises SourceUnavailable; the next one works."""
    _execute(database, "create table t (id integer primary key)", "insert into t values (1)")
    source = PostgresSource(database)
    await source.rows("public.t", ["id"], [{"id": 1}])
    _execute(
        database,
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'sync-worker' "
        "and datname = current_database()",
    )
    with pytest.raises(SourceUnavailable):
        await source.rows("public.t", ["id"], [{"id": 1}])
    assert await source.rows("public.t", ["id"], [{"id": 1}]) == [{"id": 1}]
    await source.close()


async def test_the_source_cannot_be_written_through_it(database: str) -> None:
    """Its session is read only whatever the role may do."""
    _execute(database, "create table t (id integer primary key, a text)")
    from sync_worker.adapters.source.session import connect

    async with await connect(database) as connection:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            await connection.execute("insert into t values (1, 'a')")


async def test_a_missing_table_and_a_wrong_password_are_the_operators(database: str) -> None:
    """Waiting mends neither; a server that is not there may come back."""
    with pytest.raises(ConfigurationError, match=r"public\.nothing"):
        await describe_table(database, "public.nothing")
    with pytest.raises(ConfigurationError):
        await describe_table(f"{database}_other", "public.t")
    with pytest.raises(SourceUnavailable):
        await describe_table("postgresql://somebody@127.0.0.1:1/nowhere", "public.t")


async def test_preparing_twice_changes_nothing_and_tells_what_is_new(database: str) -> None:
    """A table added later gets no snapshot from a running connector, so the caller must know of it."""
    _execute(database, "create table a (id integer primary key)", "create table b (id integer primary key)")
    assert await prepare_source(database, ["public.a"], "pub") == Prepared(created=True, added=("public.a",), removed=())
    assert await prepare_source(database, ["public.a"], "pub") == Prepared(created=False, added=(), removed=())
    changed = await prepare_source(database, ["public.b"], "pub")
    assert changed == Prepared(created=False, added=("public.b",), removed=("public.a",))


def test_the_statements_for_an_operator_run_as_they_are(database: str) -> None:
    """What is shown is what `apply` would do."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create table a (id integer primary key)")
        version = connection.info.server_version
        connection.execute(publication_sql(["public.a"], "pub", version).encode())
        connection.execute(publication_sql(["public.a"], "pub", version, exists=True).encode())


async def test_a_sound_table_has_no_problems(database: str) -> None:
    """The check is silent where nothing is wrong, also about columns that no declaration uses."""
    _execute(database, "create table t (id integer primary key, a text, n name)")
    await prepare_source(database, ["public.t"], "pub")
    assert await check_source(database, ["public.t"], "slot", "pub", columns={"public.t": ["id", "a"]}) == []


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (["create table t (id integer)"], "has no primary key"),
        (["create table t (id integer primary key, n name)"], "has type name"),
        (["create table t (id integer primary key, g integer generated always as (id) stored)"], "is generated"),
        (["create table t (id integer primary key, b bit(2)[])"], "stops the connector"),
        (["create table t (id integer primary key, q tsquery)"], "which the stream does not deliver"),
        (["create table t (id integer primary key, a text[])"], "two or more dimensions"),
        (["create unlogged table t (id integer primary key)"], "is unlogged"),
        (["create view t as select 1 as id"], "is a view"),
        (["create table t (id integer primary key)", "alter table t replica identity nothing"], "REPLICA IDENTITY NOTHING"),
        (
            [
                "create table t (id integer primary key, a integer not null unique)",
                "alter table t replica identity using index t_a_key",
            ],
            "replica identity without the primary key",
        ),
        (
            [
                "create table p (id integer primary key) partition by range (id)",
                "create table t partition of p for values from (0) to (9)",
            ],
            "is a partition",
        ),
        (["create table t (id integer primary key)", "create publication pub for table t where (id > 1)"], "row filter"),
        (["create table t (id integer primary key, a text)", "create publication pub for table t (id)"], "column list"),
        (["create table t (id integer primary key)", "create publication pub for table t with (publish = 'insert')"], "delete"),
        (["create table t (id integer primary key)", "create publication pub"], "is not in publication"),
        (["create table t (id integer primary key)"], "does not exist"),
        (
            ["create table t (id integer primary key) partition by range (id)", "create publication pub for table t"],
            "under their own names",
        ),
        (["create table t (id integer primary key)", "create publication pub for all tables"], "every table"),
        ([], "does not exist in this database"),
    ],
)
async def test_each_quiet_loss_is_told_beforehand(database: str, statements: list[str], told: str) -> None:
    """Every case is one that would lose, hide or stop events, with the way to mend it."""
    _execute(database, *statements)
    problems = await check_source(database, ["public.t"], "slot", "pub")
    matching = [problem for problem in problems if told in problem.what]
    assert matching, problems
    assert all(problem.mend for problem in problems)


async def test_a_role_without_rights_is_told_each_of_them(
    database: str, postgres: Stack, fresh_name: Callable[[str], str]
) -> None:
    """REPLICATION and SELECT, at once."""
    role = fresh_name("role")
    _execute(database, "create table t (id integer primary key)", f"create role {role} login password 'secret'")
    try:
        dsn = psycopg.conninfo.make_conninfo(database, user=role, password="secret")
        problems = {problem.what for problem in await check_source(dsn, ["public.t"], "slot", "pub")}
        assert {"lacks REPLICATION", "this role may not read it"} <= problems
    finally:
        _execute(database, f"drop role {role}")


async def test_a_declaration_is_suggested_for_a_real_table(database: str) -> None:
    """Typed fields, coordinates as `_geo`, what can't be indexed as a comment with its reason."""
    _execute(
        database,
        "create type mood as enum ('sad')",
        "create table cities (id integer primary key, name text not null, population bigint, area numeric(10,2), "
        "founded date, seen timestamptz, capital boolean, latitude double precision, longitude double precision, "
        "info jsonb, tags text[], m mood, photo bytea, q tsquery, weird name)",
    )
    table = await describe_table(database, "public.cities")
    assert table.primary_key == ("id",)
    text = suggest_declaration(table)
    for line in (
        'table = "public.cities"',
        'primary_key = ["id"]',
        'name = "text"',
        'population = "integer"',
        'area = "number"',
        'founded = "timestamp"',
        'seen = "timestamp"',
        'capital = "boolean"',
        'info = "json"',
        'tags = "json"',
        'm = "text"',
        '_geo = { type = "geo", lat = "latitude", lng = "longitude" }',
        "# q: has type tsquery, which the stream does not deliver",
        "# weird: has type name: the stream delivers NULL for it",
    ):
        assert line in text.splitlines(), line
    assert not any(problem.severity is Severity.ERROR for problem in await _without_publication(database))


async def _without_publication(database: str) -> list:  # type: ignore[type-arg]
    await prepare_source(database, ["public.cities"], "pub")
    return await check_source(database, ["public.cities"], "slot", "pub", columns={"public.cities": ["id", "name", "tags"]})


async def test_rows_are_read_once_the_transactions_before_are_visible(postgres: Stack, database: str) -> None:
    """PostgreSQL logs a commit before it shows it, here for as long as a synchronous standby is away: what is read meanwhile
    would be older than the log."""
    _execute(database, "create table t (id integer primary key, a text)", "insert into t values (1, 'one'), (2, 'two')")
    source = PostgresSource(database)
    told: list[int] = []

    def move() -> None:
        with psycopg.connect(database) as connection:
            row = connection.execute("update t set id = 11 where id = 1 returning pg_current_xact_id()::text").fetchone()
            assert row is not None
            told.append(int(row[0]) % 2**32)

    def waits() -> bool:
        query = "select from pg_stat_activity where wait_event = 'SyncRep' and datname = current_database()"
        with psycopg.connect(database, autocommit=True) as connection:
            return connection.execute(query).fetchone() is not None

    with _standby_away(postgres):
        moving = asyncio.create_task(asyncio.to_thread(move))
        for attempt in stamina.retry_context(on=AssertionError, timeout=20, wait_initial=0.05, wait_max=0.2):
            with attempt:
                assert await asyncio.to_thread(waits)
        assert await source.rows("public.t", ["id"], [{"id": 1}, {"id": 11}]) == [{"id": 1, "a": "one"}, None]
        with pytest.raises(SourceUnavailable, match=f"transaction {told[0]}"):
            await source.rows("public.t", ["id"], [{"id": 1}], after=told)
        assert await source.rows("public.t", ["id"], [{"id": 2}], after=[told[0] - 1, (told[0] + 1_000_000) % 2**32])
    await moving
    assert await source.rows("public.t", ["id"], [{"id": 1}, {"id": 11}], after=told) == [None, {"id": 11, "a": "one"}]
    await source.close()


@contextmanager
def _standby_away(postgres: Stack) -> Iterator[None]:
    """Commits wait for a standby that does not come, all but this test's own settings."""
    with psycopg.connect(postgres.database_url, autocommit=True) as connection:
        connection.execute("set synchronous_commit = local")
        connection.execute("alter system set synchronous_standby_names = 'nobody'")
        connection.execute("select pg_reload_conf()")
        try:
            yield
        finally:
            connection.execute("alter system reset synchronous_standby_names")
            connection.execute("select pg_reload_conf()")
