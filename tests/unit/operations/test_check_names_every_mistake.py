"""`check` names every mistake at once, each with the way to mend it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from sync_worker.document.declaration import IndexDeclaration
from sync_worker.document.value import FieldType
from sync_worker.errors import ConfigurationError, LogUnavailable, SinkDenied, SinkUnavailable, SourceUnavailable, SyncWorkerError
from sync_worker.failure.findings import FindingKind
from sync_worker.operations.check import Check, CheckReport, Parts, Verdict, check
from sync_worker.operations.check.parts import ColumnFacts, TableFacts, TopicFacts
from sync_worker.operations.connector import ConnectorState, TaskState
from sync_worker.operations.watch import Comparison
from sync_worker.ports import IndexIdentity
from sync_worker.watch.facts import TopicSeen, Watched
from sync_worker.watch.look import Look, Noticed
from sync_worker.watch.topics import look_at_topics

CITIES = IndexDeclaration.model_validate(
    {
        "name": "cities",
        "table": "public.cities",
        "primary_key": "id",
        "fields": {"name": "text", "internal_note": {"omit": True}},
    }
)
TABLE = TableFacts(("id",), ("id", "name", "internal_note"))
RUNNING = ConnectorState("RUNNING", "w", "", (TaskState(0, "RUNNING", "w", ""),))
GOOD_TOPIC = TopicFacts(1)


@dataclass
class World:
    """Everything that `check` asks, answering as a healthy chain until a test changes it."""

    tables: dict[str, TableFacts] = field(default_factory=lambda: {"public.cities": TABLE})
    found_topics: dict[str, TopicFacts] = field(default_factory=lambda: {"shop.public.cities": GOOD_TOPIC, "dead": GOOD_TOPIC})
    live_config: dict[str, str] | None = field(default_factory=lambda: {"name": "shop", "a": "1"})
    connector_state: ConnectorState | None = RUNNING
    refused: list[str] = field(default_factory=list)
    server_version: tuple[int, int, int] | None = (1, 50, 0)
    lacking: list[str] = field(default_factory=list)
    scratch: str | None = None
    identities: dict[str, IndexIdentity] = field(default_factory=lambda: {"cities": IndexIdentity("cities", "2026", "id")})
    live_settings: dict[str, Any] = field(default_factory=dict)
    source_problems: list[Check] = field(default_factory=list)
    letter_problems: list[str] = field(default_factory=list)
    connect_problems: list[str] = field(default_factory=list)
    used_columns: Mapping[str, frozenset[str]] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    max_payload_bytes: int = 50_000_000
    looks: list[Look] = field(default_factory=list)
    held: list[Check] = field(default_factory=list)

    async def comparison(self) -> Comparison:
        return Comparison(tuple(self.looks), {}, None)

    async def positions(self) -> list[Check]:
        return self.held

    async def table(self, table: str) -> TableFacts | None:
        return self.tables.get(table)

    async def problems(self, columns: Mapping[str, frozenset[str]]) -> Sequence[Check]:
        if "source" in self.down:
            raise SourceUnavailable("PostgreSQL does not answer")
        self.used_columns = columns
        return self.source_problems

    async def topics(self, names: Collection[str]) -> Mapping[str, TopicFacts]:
        if "kafka" in self.down:
            raise LogUnavailable("Kafka does not answer")
        return {name: self.found_topics[name] for name in names if name in self.found_topics}

    async def dead_letter_problems(self) -> Sequence[str]:
        return self.letter_problems

    async def config(self, name: str) -> Mapping[str, str] | None:
        return self.live_config

    async def state(self, name: str) -> ConnectorState | None:
        return self.connector_state

    def refusals(self, config: Mapping[str, str]) -> Sequence[str]:
        return self.refused

    async def version(self) -> tuple[int, int, int] | None:
        if "meilisearch" in self.down:
            raise SinkUnavailable("Meilisearch does not answer")
        return self.server_version

    async def missing_actions(self, index_uids: Sequence[str]) -> Sequence[str]:
        return self.lacking

    async def scratch_problem(self) -> str | None:
        return self.scratch

    async def identity(self, index_uid: str) -> IndexIdentity | None:
        return self.identities.get(index_uid)

    async def settings(self, index_uid: str) -> Mapping[str, Any]:
        return self.live_settings


class Connect:
    """Connect's own problems stand beside the source's under the same name, so they need an object of their own."""

    def __init__(self, world: World) -> None:
        self.config = world.config
        self.state = world.state
        self.refusals = world.refusals
        self._world = world

    async def problems(self) -> Sequence[str]:
        return self._world.connect_problems


class Database:
    async def version(self) -> str:
        return "SQLite"


async def checked(world: World, *indexes: IndexDeclaration, wrong: str = "", timeout_s: float = 60) -> CheckReport:
    def render() -> Mapping[str, str]:
        if wrong:
            raise ConfigurationError([wrong])
        return {"a": "1"}

    parts = Parts(
        source=world,
        log=world,
        connect=Connect(world),
        sinks={"default": world},
        state=Database(),
        watch=world,
        render=render,
        connector_name="shop",
        topics=["shop.public.cities"],
        dead_letter_topic="dead",
    )
    return await check(parts, indexes or [CITIES], timeout_s=timeout_s)


def wrong_lines(report: CheckReport) -> list[tuple[Verdict, str]]:
    return [(one.verdict, f"{one.area} {one.subject}: {one.message}") for one in report.checks if one.verdict is not Verdict.OK]


async def test_a_healthy_chain_has_nothing_to_say() -> None:
    """No error, no warning, and a line for each part that was looked at."""
    report = await checked(World())
    assert wrong_lines(report) == []
    assert report.ok
    assert {one.area for one in report.checks} == {"source", "kafka", "connector", "meilisearch", "state", "watch"}


def broken_source(world: World) -> None:
    world.source_problems.append(Check("source", "server", Verdict.ERROR, "wal_level is replica", "ALTER SYSTEM …"))


def other_key(world: World) -> None:
    world.tables["public.cities"] = TableFacts(("id", "country"), (*TABLE.columns, "country"))


def deferrable_key(world: World) -> None:
    world.tables["public.cities"] = replace(TABLE, deferrable_key=True)


def renamed_column(world: World) -> None:
    world.tables["public.cities"] = replace(TABLE, columns=("id", "names", "internal_note"))


def new_column(world: World) -> None:
    world.tables["public.cities"] = replace(TABLE, columns=(*TABLE.columns, "population"))


def lost_omitted_column(world: World) -> None:
    world.tables["public.cities"] = replace(TABLE, columns=TABLE.columns[:2])


def compacted(world: World) -> None:
    seen = TopicSeen("id", 1, "compact,delete", retention_ms=-1, retention_bytes=-1, max_message_bytes=1)
    watched = Watched("shop", "shop", "shop", retention_ms=1, max_message_bytes=1, indexes={})
    world.looks.append(look_at_topics({"shop.public.cities": seen}, watched))


def dropped_slot(world: World) -> None:
    world.looks.append(Look(noticed=(Noticed(FindingKind.CHANGES_LOST, "cities", "the slot is gone"),)))


def changed_columns(world: World) -> None:
    world.looks.append(Look(noticed=(Noticed(FindingKind.ROWS_CHANGED_UNSEEN, "cities", "n is new"),)))


def moved_offset(world: World) -> None:
    world.held.append(Check("watch", "shop.public.cities:0", Verdict.ERROR, "state-lost: somebody moved it", "move it back"))


def many_partitions(world: World) -> None:
    world.found_topics["shop.public.cities"] = replace(GOOD_TOPIC, partitions=3)


def no_topic(world: World) -> None:
    del world.found_topics["shop.public.cities"]


def no_dead_letter_topic(world: World) -> None:
    del world.found_topics["dead"]


def short_lived_dead_letters(world: World) -> None:
    world.letter_problems.append("retention.ms is 7, so letters vanish with time; kafka-configs.sh … retention.ms=-1")


def old_debezium(world: World) -> None:
    world.connect_problems.append("Debezium 3.6.3 loses rows")


def no_connector(world: World) -> None:
    world.live_config = None


def changed_connector(world: World) -> None:
    world.live_config = {"name": "shop", "a": "2"}


def lossy_connector(world: World) -> None:
    world.refused.append("errors.tolerance=all drops the event")


def taskless_connector(world: World) -> None:
    world.connector_state = replace(RUNNING, tasks=())


def failed_task(world: World) -> None:
    world.connector_state = replace(RUNNING, tasks=(TaskState(0, "FAILED", "w", "NullPointerException"),))


def old_server(world: World) -> None:
    world.server_version = (1, 25, 3)


def weak_key(world: World) -> None:
    world.lacking.append("documents.delete")


def no_scratch(world: World) -> None:
    world.scratch = "no scratch key is configured"


def no_index(world: World) -> None:
    world.identities.clear()


def other_document_key(world: World) -> None:
    world.identities["cities"] = IndexIdentity("cities", "2026", "name")


def changed_settings(world: World) -> None:
    world.live_settings = {"filterableAttributes": ["name"]}


def large_payloads(world: World) -> None:
    world.max_payload_bytes = 200_000_000


MISTAKES = [
    (broken_source, Verdict.ERROR, "wal_level"),
    (other_key, Verdict.ERROR, "but that of public.cities is id, country"),
    (deferrable_key, Verdict.ERROR, "is deferrable"),
    (renamed_column, Verdict.ERROR, "column `name` is declared"),
    (new_column, Verdict.WARNING, "neither declared nor omitted, so not indexed: population"),
    (lost_omitted_column, Verdict.ERROR, "`internal_note` is declared"),
    (compacted, Verdict.ERROR, "compaction removes deletes"),
    (dropped_slot, Verdict.ERROR, "changes-lost: the slot is gone"),
    (changed_columns, Verdict.WARNING, "rows-changed-unseen: n is new"),
    (moved_offset, Verdict.ERROR, "state-lost"),
    (many_partitions, Verdict.WARNING, "3 partitions"),
    (no_topic, Verdict.WARNING, "not there yet"),
    (no_dead_letter_topic, Verdict.WARNING, "not there yet"),
    (short_lived_dead_letters, Verdict.ERROR, "letters vanish with time"),
    (old_debezium, Verdict.ERROR, "Debezium 3.6.3"),
    (no_connector, Verdict.ERROR, "does not exist"),
    (changed_connector, Verdict.WARNING, "other options than declared: a"),
    (lossy_connector, Verdict.ERROR, "errors.tolerance=all"),
    (taskless_connector, Verdict.ERROR, "does not run"),
    (failed_task, Verdict.ERROR, "does not run"),
    (old_server, Verdict.ERROR, "customMetadata"),
    (weak_key, Verdict.ERROR, "lacks documents.delete"),
    (no_scratch, Verdict.WARNING, "no scratch key"),
    (no_index, Verdict.ERROR, "does not exist"),
    (other_document_key, Verdict.ERROR, "has the primary key 'name'"),
    (changed_settings, Verdict.WARNING, "filterableAttributes"),
    (large_payloads, Verdict.WARNING, "200000000 bytes"),
]


@pytest.mark.parametrize(("spoil", "verdict", "words"), MISTAKES, ids=[spoil.__name__ for spoil, _, _ in MISTAKES])
async def test_each_mistake_is_named_with_its_remedy(spoil: Any, verdict: Verdict, words: str) -> None:
    """One mistake in a healthy chain: its verdict, its words, something to do, and whether the exit status tells of it."""
    world = World()
    spoil(world)
    report = await checked(world)
    named = [one for one in report.checks if one.verdict is verdict and words in one.message]
    assert len(named) == 1, wrong_lines(report)
    assert named[0].remedy
    assert report.ok is (verdict is Verdict.WARNING)


async def test_all_mistakes_come_at_once() -> None:
    """Nobody mends one mistake only to be told of the next."""
    world = World()
    for spoil in (renamed_column, compacted, lossy_connector, weak_key, changed_settings):
        spoil(world)
    assert len(wrong_lines(await checked(world))) >= 5


async def test_a_part_that_does_not_answer_stops_no_other() -> None:
    """PostgreSQL, Kafka and Meilisearch are down: the connector's mistake is still found."""
    world = World(down={"source", "kafka", "meilisearch"})
    lossy_connector(world)
    report = await checked(world)
    errors = [one for one in report.checks if one.verdict is Verdict.ERROR]
    assert {one.area for one in errors if not one.answered} == {"source", "kafka", "meilisearch"}
    assert any("errors.tolerance" in one.message for one in errors)
    assert not report.unanswered_only


async def test_silence_alone_is_told_from_a_mistake() -> None:
    """Exit status 1, could not find out, is not exit status 3, found something wrong."""
    assert (await checked(World(down={"kafka"}))).unanswered_only


async def test_a_part_that_hangs_takes_no_other_parts_answer_along() -> None:
    """What was found out within the time is told, and which part was not."""
    world = World()
    lossy_connector(world)

    async def hangs(_table: str) -> TableFacts | None:
        await asyncio.Event().wait()
        return None

    world.table = hangs  # type: ignore[method-assign]
    report = await checked(world, timeout_s=0.05)

    silent = [one for one in report.checks if not one.answered]
    assert [(one.area, one.message) for one in silent] == [("source", "did not answer within 0.05 s")]
    assert any("errors.tolerance" in one.message for one in report.checks)


async def test_a_connector_that_cannot_be_rendered_is_named_with_what_runs() -> None:
    """A mistake in [connector] does not hide that the running connector loses events."""
    world = World()
    lossy_connector(world)
    messages = [message for _, message in wrong_lines(await checked(world, wrong="connector.slot: use lower-case letters"))]
    assert any("connector.slot" in message for message in messages)
    assert any("errors.tolerance" in message for message in messages)


async def test_an_undeclared_generated_column_is_not_forgotten() -> None:
    """It never arrives, so nobody can declare it."""
    world = World()
    world.tables["public.cities"] = replace(TABLE, columns=(*TABLE.columns, "name_lower"), generated=frozenset({"name_lower"}))
    assert wrong_lines(await checked(world)) == []


async def test_the_source_is_asked_about_the_columns_of_all_indexes_of_a_table() -> None:
    """A column of an odd type matters as soon as one of them uses it."""
    world = World()
    names = IndexDeclaration.model_validate(
        {"name": "names", "table": "public.cities", "primary_key": "id", "fields": {"label": {"type": "text", "column": "alias"}}}
    )
    await checked(world, CITIES, names)
    assert world.used_columns == {"public.cities": {"id", "name", "internal_note", "alias"}}


KINDS = {
    "id": ColumnFacts("bigint", (FieldType.INTEGER,)),
    "name": ColumnFacts("text", (FieldType.TEXT,), (FieldType.NUMBER,)),
    "code": ColumnFacts("uuid", (FieldType.TEXT,)),
    "price": ColumnFacts("numeric(9,2)", (FieldType.NUMBER,)),
    "active": ColumnFacts("boolean", (FieldType.BOOLEAN,)),
    "since": ColumnFacts("date", (FieldType.TIMESTAMP,)),
    "tags": ColumnFacts("text[]", (FieldType.JSON,)),
}


@pytest.mark.parametrize(
    ("where", "verdict"),
    [
        ("name = 'x' AND price > 5 AND active AND NOT (active = FALSE) AND since >= '2024-01-01'", Verdict.OK),
        ("name IS NULL OR price IS NOT NULL OR active IS TRUE OR name = NULL OR tags = 'x'", Verdict.OK),
        ("active = 'yes'", Verdict.ERROR),
        ("1 = active", Verdict.ERROR),
        ("price = 'free'", Verdict.ERROR),
        ("price = '5'", Verdict.WARNING),
        ("name = 5", Verdict.WARNING),
        ("code = 5", Verdict.ERROR),
        ("price IN (1, 'x')", Verdict.ERROR),
        ("since BETWEEN 1 AND 2", Verdict.ERROR),
        ("price LIKE 'x%'", Verdict.ERROR),
        ("name AND price > 1", Verdict.ERROR),
        ("(price) IS TRUE", Verdict.ERROR),
        ("NOT (name)", Verdict.ERROR),
        ("active = name", Verdict.ERROR),
    ],
)
async def test_a_condition_that_compares_unlike_kinds_is_named(where: str, verdict: Verdict) -> None:
    """Every row would be dead-lettered: the check says so before the first one comes."""
    world = World(tables={"public.cities": TableFacts(("id",), tuple(KINDS), types=KINDS)})
    fields = {name: {"omit": True} for name in KINDS if name not in ("id", "name")} | {"name": {"type": "text"}}
    index = IndexDeclaration.model_validate(
        {"name": "cities", "table": "public.cities", "primary_key": "id", "fields": fields, "where": where}
    )
    told = [one for one in (await checked(world, index)).checks if "`where`" in one.message]
    assert max((one.verdict for one in told), default=Verdict.OK, key=[*Verdict].index) is verdict
    assert all("column `" in one.message and one.remedy for one in told)


@pytest.mark.parametrize(
    ("declared", "column", "verdict", "fits"),
    [
        ("integer", ColumnFacts("text", (FieldType.TEXT,), (FieldType.INTEGER,)), Verdict.WARNING, "text: text"),
        ("boolean", ColumnFacts("numeric(9,2)", (FieldType.NUMBER, FieldType.TEXT)), Verdict.ERROR, "numeric(9,2): number, text"),
        ("timestamp", ColumnFacts("boolean", (FieldType.BOOLEAN, FieldType.TEXT)), Verdict.ERROR, "boolean: boolean, text"),
        ("text", ColumnFacts("text", (FieldType.TEXT,)), Verdict.OK, ""),
    ],
)
async def test_a_field_of_a_type_that_its_column_never_has_is_named(
    declared: str, column: ColumnFacts, verdict: Verdict, fits: str
) -> None:
    """Impossible is an error, possible for some values a warning: both name the column, its type and what fits."""
    world = World(tables={"public.cities": replace(TABLE, types={"name": column})})
    index = IndexDeclaration.model_validate(
        {**CITIES.model_dump(), "name": "cities", "fields": {"name": declared, "internal_note": {"omit": True}}}
    )
    (one,) = [check for check in (await checked(world, index)).checks if check.area == "source"]
    assert one.verdict is verdict
    if verdict is not Verdict.OK:
        assert f"declared as {declared}, but column `name` of public.cities is {column.written}" in one.message
        assert one.remedy.endswith(fits)


async def test_a_point_needs_columns_of_numbers() -> None:
    """Latitude from a boolean can't become one."""
    facts = {"lat": ColumnFacts("boolean", (FieldType.BOOLEAN,)), "lng": ColumnFacts("real", (FieldType.NUMBER,))}
    world = World(tables={"public.cities": TableFacts(("id",), ("id", "lat", "lng"), types=facts)})
    index = IndexDeclaration.model_validate(
        {
            "name": "cities",
            "table": "public.cities",
            "primary_key": "id",
            "fields": {"_geo": {"type": "geo", "lat": "lat", "lng": "lng"}},
        }
    )
    lines = wrong_lines(await checked(world, index))
    assert [verdict for verdict, _ in lines] == [Verdict.ERROR]
    assert "column `lat` of public.cities is boolean" in lines[0][1]


async def test_a_text_in_double_quotes_is_taken_for_a_column() -> None:
    """As SQL does; the remedy shows the quotes that were meant."""
    declared = {**CITIES.model_dump(exclude_unset=True), "name": "cities", "where": '"name" = "Ulm"'}
    index = IndexDeclaration.model_validate(declared)
    (wrong,) = [one for one in (await checked(World(), index)).checks if one.verdict is Verdict.ERROR]
    assert "column `Ulm` is declared" in wrong.message
    assert "write 'Ulm': double quotes name a column" in wrong.remedy


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SourceUnavailable("PostgreSQL does not answer"), "unanswered"),
        (ConfigurationError(["password authentication failed"]), "found"),
        (SinkDenied("403", code="invalid_api_key"), "found"),
    ],
)
async def test_a_part_that_refuses_the_credentials_has_answered(error: SyncWorkerError, status: str) -> None:
    """That is a finding about the configuration, unlike a part that is away."""

    class Refusing(World):
        async def problems(self, columns: Mapping[str, frozenset[str]]) -> Sequence[Check]:
            raise error

    report = await checked(Refusing())
    assert (report.ok, report.unanswered_only) == (False, status == "unanswered")
    assert all(one.remedy for one in report.checks if one.verdict is Verdict.ERROR)
