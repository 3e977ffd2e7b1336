"""The watch's queries on a real PostgreSQL: each way to lose changes there, provoked, is seen by the next look."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from sync_worker.adapters.source.continuity import PostgresContinuity
from sync_worker.adapters.source.prepare import prepare_source
from sync_worker.errors import ConfigurationError, SourceUnavailable
from sync_worker.operations.watch import WatchParts, compare
from sync_worker.testing.stack import Stack, default_home, owned_home, up
from sync_worker.watch.facts import ConnectorSeen, SourceSeen, TopicSeen, Watched, WatchedIndex

TABLES = ("public.things", "public.measures")


class Answer:
    """The parts that are not looked at here: a connector that has read as far as it is told, and no topics."""

    def __init__(self, position: int | None = None) -> None:
        self.position = position

    async def seen(self, topics: object = None) -> Any:
        if topics is not None:
            none: dict[str, TopicSeen] = {}
            return none
        return ConnectorSeen("connector RUNNING, task 0 RUNNING", True, (), self.position, False)


@dataclass
class Site:
    """A database of its own with two tables, a publication and a slot, and what the watch recorded of it."""

    url: str
    slot: str
    publication: str
    recorded: dict[tuple[str, str], Any] = field(default_factory=dict)
    position: int | None = None

    @property
    def watched(self) -> Watched:
        indexes = {
            "things": WatchedIndex("public.things", "t", ("id",), frozenset({"id", "name"}), "d"),
            "measures": WatchedIndex("public.measures", "m", ("id", "at"), frozenset({"id", "at", "value"}), "d"),
        }
        return Watched("app", self.slot, self.publication, retention_ms=1, max_message_bytes=1, indexes=indexes)

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def one(self, query: str) -> Any:
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(query.encode()).fetchone()
            assert row is not None
            return row[0]

    async def seen(self) -> SourceSeen:
        return await PostgresContinuity(self.url, slot=self.slot, publication=self.publication).seen(TABLES)

    async def look(self) -> dict[str, list[str]]:
        """Kind → subjects of what one look notices; what it saw is recorded."""
        source = PostgresContinuity(self.url, slot=self.slot, publication=self.publication)
        parts = WatchParts(source, Answer(self.position), Answer())
        comparison = await compare(parts, self.watched, self.recorded, now=1.0)
        assert comparison.unanswered == {}
        self.recorded.update(comparison.facts)
        kinds: dict[str, list[str]] = {}
        for noticed in comparison.noticed:
            kinds.setdefault(noticed.kind.value, []).append(noticed.subject)
        return {kind: sorted(subjects) for kind, subjects in kinds.items()}


@pytest.fixture(scope="session")
def postgres(stack_home: Path) -> Stack:
    return up(stack_home, parts=["postgres"])


@pytest.fixture
async def site(postgres: Stack, fresh_name: Callable[[str], str]) -> AsyncIterator[Site]:
    async with new_site(postgres, fresh_name("watch")) as made:
        yield made


@asynccontextmanager
async def new_site(postgres: Stack, name: str) -> AsyncIterator[Site]:
    with psycopg.connect(postgres.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    made = Site(f"{postgres.database_url.rpartition('/')[0]}/{name}", slot=name.lower(), publication=f"{name.lower()}_pub")
    made.execute(
        "create table things (id integer primary key, name text)",
        "create table measures (id integer, at date, value numeric(10,2), primary key (id, at)) partition by range (at)",
        "create table measures_1 partition of measures for values from ('2026-01-01') to ('2026-02-01')",
        "create table measures_2 partition of measures for values from ('2026-02-01') to ('2026-03-01')",
        "insert into measures values (1, '2026-01-05', 1.5), (1, '2026-02-05', 2.5)",
        f"select pg_create_logical_replication_slot('{made.slot}', 'pgoutput')",
    )
    await prepare_source(made.url, TABLES, made.publication)
    assert await made.look() == {}
    yield made
    with psycopg.connect(postgres.database_url, autocommit=True) as connection:
        connection.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s", (made.slot,)
        )
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


LOST = ["measures", "things"]


async def test_a_chain_that_goes_on_is_no_news(site: Site) -> None:
    """Rows come and go, the slot is read on: nothing to tell."""
    site.execute("insert into things values (1, 'a')", "delete from things", "vacuum things", "analyze measures")
    assert await site.look() == {}
    assert site.recorded["table public.things", "columns"] == [["id", 23, -1, "", ""], ["name", 25, -1, "", ""]]
    assert site.recorded["table public.measures", "key"] == ["id", "at"]


async def test_a_dropped_slot(site: Site) -> None:
    """It is told while it is gone."""
    site.execute(f"select pg_drop_replication_slot('{site.slot}')")
    assert await site.look() == {"slot-missing": [site.slot], "changes-lost": LOST}
    site.execute(f"select pg_create_logical_replication_slot('{site.slot}', 'pgoutput')")
    assert await site.look() == {}


async def test_a_slot_made_anew_between_two_looks(site: Site) -> None:
    """The new one stands ahead of what Connect has stored: PostgreSQL would go on from there without a word."""
    site.position = (await _confirmed(site)) + 8
    assert await site.look() == {}
    site.execute("insert into things values (1, 'lost')")
    site.execute(f"select pg_drop_replication_slot('{site.slot}')")
    site.execute(f"select pg_create_logical_replication_slot('{site.slot}', 'pgoutput')")
    assert await site.look() == {"changes-lost": LOST}


async def test_a_slot_that_somebody_advanced(site: Site) -> None:
    """`pg_replication_slot_advance` is one line in a console."""
    site.position = await _confirmed(site)
    site.execute("insert into things values (1, 'lost')")
    site.execute(f"select pg_replication_slot_advance('{site.slot}', pg_current_wal_lsn())")
    assert await site.look() == {"changes-lost": LOST}


async def test_a_slot_that_fell_behind_max_slot_wal_keep_size(fresh_name: Callable[[str], str]) -> None:
    """PostgreSQL removes what was not read. On a server of its own: others have slots too."""
    with owned_home(default_home() / "test", "own") as home:
        own = up(home, parts=["postgres"])
        async with new_site(own, fresh_name("watch")) as site:
            site.execute("alter system set max_slot_wal_keep_size = '1MB'", "select pg_reload_conf()")
            for _ in range(4):
                site.execute(
                    "select pg_logical_emit_message(false, 'x', repeat('x', 100))", "select pg_switch_wal()", "checkpoint"
                )
            assert (await site.look()) == {"slot-invalid": [site.slot], "changes-lost": LOST}


async def _confirmed(site: Site) -> int:
    slot = (await site.seen()).slot
    assert slot is not None
    assert slot.confirmed is not None
    return slot.confirmed


async def test_another_server_and_another_timeline(site: Site) -> None:
    """What is recorded differs from what answers: the same as a failover."""
    server = (await site.seen()).server
    assert server.system == site.one("select system_identifier::text from pg_control_system()")
    assert server.timeline == site.one("select timeline_id from pg_control_checkpoint()")
    site.recorded["connector app", "timeline"] = 0
    assert await site.look() == {"changes-lost": LOST}


@pytest.mark.parametrize(
    "statement",
    [
        "alter publication {p} drop table things",
        "alter publication {p} set table things (id), measures",
        "alter publication {p} set table things where (id > 5), measures",
        "drop publication {p}",
    ],
)
async def test_a_narrowed_publication(site: Site, statement: str) -> None:
    """Members, columns, rows, or all of it; and widening it again ends the condition."""
    site.execute(statement.format(p=site.publication))
    found = await site.look()
    assert found["publication-narrowed"] == [site.publication]
    assert "things" in found["changes-lost"]
    await prepare_source(site.url, TABLES, site.publication)
    assert await site.look() == {}


async def test_operations_that_are_not_published(site: Site) -> None:
    """One ALTER silences every delete."""
    site.execute(f"alter publication {site.publication} set (publish = 'insert, update')")
    assert await site.look() == {"publication-narrowed": [site.publication], "changes-lost": LOST}


async def test_partitions_under_their_own_names(site: Site) -> None:
    """The snapshot is complete, the stream is filtered out at TRACE."""
    site.execute(f"alter publication {site.publication} set (publish_via_partition_root = false)")
    assert await site.look() == {"publication-narrowed": [site.publication], "changes-lost": ["measures"]}


@pytest.mark.parametrize(
    "statement",
    [
        "alter table things rename column name to title",
        "alter table things alter column name type varchar(20)",
        "alter table things drop column name",
    ],
)
async def test_a_changed_column(site: Site, statement: str) -> None:
    """Told once, to the index that is made of it."""
    site.execute(statement)
    found = await site.look()
    assert found["rows-changed-unseen"] == ["things"]
    assert "rows-changed-unseen" not in await site.look()


async def test_an_added_column_with_a_default(site: Site) -> None:
    """Only where it is declared: nobody else's documents change."""
    site.execute("alter table things add column other integer default 5")
    assert await site.look() == {}
    site.execute("alter table measures drop column value")
    await site.look()
    site.execute("alter table measures add column value numeric default 5")
    assert (await site.look())["rows-changed-unseen"] == ["measures"]


async def test_a_changed_key(site: Site) -> None:
    """A lagging connector gives yesterday's rows today's key: it stops the index."""
    site.execute("alter table things drop constraint things_pkey, add column k integer default 1, add primary key (id, k)")
    assert (await site.look())["key-changed"] == ["things"]


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (["alter table measures detach partition measures_2"], True),
        (["drop table measures_2"], True),
        (["create table measures_3 partition of measures for values from ('2026-03-01') to ('2026-04-01')"], False),
        (
            [
                "create table loose (id integer not null, at date not null, value numeric(10,2))",
                "insert into loose values (1, '2026-03-05', 3.5)",
                "alter table measures attach partition loose for values from ('2026-03-01') to ('2026-04-01')",
            ],
            True,
        ),
    ],
)
async def test_partitions_that_come_and_go(site: Site, statements: list[str], told: bool) -> None:
    """DETACH, DROP and ATTACH emit nothing; next month's empty partition is no news."""
    site.execute(*statements)
    assert await site.look() == ({"rows-changed-unseen": ["measures"]} if told else {})


async def test_a_table_dropped_and_created_again(site: Site) -> None:
    """Membership follows the oid: the new table is streamed by nobody."""
    site.execute("drop table things", "create table things (id integer primary key, name text)")
    found = await site.look()
    assert found["publication-narrowed"] == [site.publication]
    assert found["changes-lost"] == ["things"]


async def test_a_table_renamed_away(site: Site) -> None:
    """The old name is nobody's."""
    site.execute("alter table things rename to old_things")
    assert await site.look() == {"table-not-streamed": ["public.things"], "changes-lost": ["things"]}


@pytest.mark.parametrize("identity", ["nothing", "full"])
async def test_a_changed_replica_identity(site: Site, identity: str) -> None:
    """Less than the key is told, the whole row is no loss."""
    site.execute(f"alter table things replica identity {identity}")
    assert await site.look() == ({"replica-identity-changed": ["things"]} if identity == "nothing" else {})


async def test_an_unlogged_table(site: Site) -> None:
    """PostgreSQL refuses it for a member of a publication, and takes it for one that left."""
    site.execute(f"alter publication {site.publication} drop table things", "alter table things set unlogged")
    found = await site.look()
    assert found["table-not-streamed"] == ["public.things"]


async def test_silence_is_told_apart_from_a_mistake(postgres: Stack) -> None:
    """What waiting mends is no verdict about the source."""
    with pytest.raises(SourceUnavailable):
        await PostgresContinuity("postgresql://u:p@127.0.0.1:1/x", slot="s", publication="p").seen(TABLES)
    absent = f"{postgres.database_url.rpartition('/')[0]}/there_is_no_such_database"
    with pytest.raises(ConfigurationError):
        await PostgresContinuity(absent, slot="s", publication="p").seen(TABLES)
