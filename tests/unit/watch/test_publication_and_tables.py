"""Publication, tables, columns, partitions: what changes rows without an event is told to the indexes that it concerns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sync_worker.watch.columns import fingerprint, look_at_columns
from sync_worker.watch.facts import ServerSeen, SourceSeen, TableSeen
from sync_worker.watch.look import Look
from sync_worker.watch.partitions import look_at_partitions
from sync_worker.watch.publication import look_at_publication
from sync_worker.watch.tables import look_at_table

from .chain import ID, MEMBER, NAME, SLOT, TABLE, THINGS, WATCHED, N, table

BOTH = ["things", "numbers"]


def told(look: Look) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {}
    for noticed in look.noticed:
        kinds.setdefault(noticed.kind.value, []).append(noticed.subject)
    return kinds


def source(seen: TableSeen | None = THINGS, *, publication: bool = True) -> SourceSeen:
    return SourceSeen(ServerSeen("1", 1), SLOT, publication, {TABLE: seen})


def member(**changed: Any) -> TableSeen:
    return table(member=replace(MEMBER, **changed))


def test_a_publication_that_sends_everything_is_no_news() -> None:
    """Column lists that name all columns that are declared are enough."""
    assert told(look_at_publication({}, source(), WATCHED)) == {}


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (table(member=None), "does not send public.things"),
        (member(operations=frozenset({"insert", "update", "truncate"})), "does not send delete of public.things"),
        (member(row_filter="(id > 5)"), "sends only some rows"),
        (replace(member(via_root=False), kind="partitioned table"), "under their own names"),
    ],
)
def test_whatever_a_publication_leaves_out_loses_changes(seen: TableSeen, words: str) -> None:
    """`ALTER PUBLICATION` by somebody else, or by another connector's `filtered` mode."""
    look = look_at_publication({}, source(seen), WATCHED)
    assert told(look) == {"publication-narrowed": ["app_publication"], "changes-lost": BOTH}
    assert words in look.noticed[0].evidence


def test_a_column_list_concerns_only_what_is_declared() -> None:
    """Columns that no document is made of may stay out. A column that the table lacks is no narrowing."""
    only = replace(WATCHED, indexes={"things": WATCHED.indexes["things"]})
    assert told(look_at_publication({}, source(member(columns=frozenset({"id", "name"}))), only)) == {}
    assert "changes-lost" in told(look_at_publication({}, source(member(columns=frozenset({"id"}))), only))


def test_a_publication_is_missed_once_it_was_there() -> None:
    """Before the connector was applied for the first time there is none."""
    assert told(look_at_publication({}, source(publication=False), WATCHED)) == {}
    seen = look_at_publication({}, source(), WATCHED).facts
    assert "publication-narrowed" in told(look_at_publication(seen, source(publication=False), WATCHED))


def test_a_table_as_it_was_is_no_news() -> None:
    """The first look records, the second compares."""
    first = look_at_table({}, TABLE, THINGS, WATCHED)
    assert told(first) == {}
    assert told(look_at_table(first.facts, TABLE, THINGS, WATCHED)) == {}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (None, {"table-not-streamed": [TABLE], "changes-lost": BOTH}),
        (table(oid=8), {"changes-lost": BOTH}),
        (table(persistence="unlogged"), {"table-not-streamed": [TABLE], "changes-lost": BOTH}),
        (table(replica_identity="nothing"), {"replica-identity-changed": BOTH}),
        (table(replica_identity="full"), {}),
        (table(key=("id", "n")), {"key-changed": BOTH}),
    ],
)
def test_a_table_that_is_another_one_is_told(seen: TableSeen | None, expected: dict[str, list[str]]) -> None:
    """Membership follows the oid, an unlogged table has no WAL, a key is read from the catalogue of today."""
    recorded = look_at_table({}, TABLE, THINGS, WATCHED).facts
    assert told(look_at_table(recorded, TABLE, seen, WATCHED)) == expected


def test_a_declared_key_that_the_table_does_not_have_is_told_at_the_first_look() -> None:
    """The worker must not write one document under it."""
    assert told(look_at_table({}, TABLE, table(key=("n",)), WATCHED)) == {"key-changed": BOTH}


def test_a_table_that_was_never_there_is_the_declarations_mistake() -> None:
    """`check` names it; nothing was lost."""
    assert told(look_at_table({}, TABLE, None, WATCHED)) == {}


def columns(*changed: Any) -> Look:
    recorded = look_at_columns({}, TABLE, THINGS, WATCHED).facts
    return look_at_columns(recorded, TABLE, table(columns=changed), WATCHED)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (NAME._replace(type_oid=1043), "name has another type"),
        (NAME._replace(modifier=20), "name has another type"),
        (NAME._replace(generated="s", default="upper('a')"), "name is generated otherwise"),
        (NAME._replace(name="title"), "name is gone: dropped or renamed"),
    ],
)
def test_a_changed_column_concerns_the_indexes_made_of_it(changed: Any, words: str) -> None:
    """ALTER TYPE … USING and generated expressions rewrite rows without events; a rename is told by no event."""
    look = columns(ID, changed, N)
    assert told(look) == {"rows-changed-unseen": ["things"]}
    assert words in look.noticed[0].evidence


def test_a_declared_column_that_is_added_with_a_default_changes_every_row() -> None:
    """PostgreSQL fills old rows without writing them."""
    recorded = look_at_columns({}, TABLE, table(columns=(ID, N)), WATCHED).facts
    look = look_at_columns(recorded, TABLE, table(columns=(ID, NAME._replace(default="'x'::text"), N)), WATCHED)
    assert told(look) == {"rows-changed-unseen": ["things"]}
    assert "with the default 'x'::text in old rows" in look.noticed[0].evidence


@pytest.mark.parametrize(
    "changed",
    [
        (ID, NAME, N, NAME._replace(name="undeclared", default="'x'::text")),
        (N, NAME, ID),
        (ID, NAME._replace(default="'new rows only'::text"), N),
    ],
)
def test_what_changes_no_document_is_no_news(changed: tuple[Any, ...]) -> None:
    """A column that nobody declared, another order, a default for rows to come."""
    assert told(columns(*changed)) == {}


def test_a_change_of_columns_is_told_once() -> None:
    """The next look compares with what is there now: the finding stays open until it is proven."""
    first = columns(ID, NAME._replace(type_oid=1043), N)
    again = look_at_columns(first.facts, TABLE, table(columns=(ID, NAME._replace(type_oid=1043), N)), WATCHED)
    assert told(again) == {}


def test_a_fingerprint_follows_content_and_not_order() -> None:
    """It is kept with a fill, and compared as text."""
    assert fingerprint((ID, NAME, N)) == fingerprint((N, ID, NAME))
    assert fingerprint((ID, NAME)) != fingerprint((ID, NAME, N))


PARTS = {11: "public.things_1", 12: "public.things_2"}


@pytest.mark.parametrize(
    ("parts", "empty", "news"),
    [
        (PARTS, {12}, False),
        ({11: "public.things_1"}, set(), True),
        ({**PARTS, 13: "public.things_3"}, set(), True),
        ({**PARTS, 13: "public.things_3"}, {13}, False),
        ({11: "public.things_1", 14: "public.things_2"}, set(), True),
    ],
)
def test_partitions_that_come_with_rows_or_leave_are_told(parts: dict[int, str], empty: set[int], news: bool) -> None:
    """ATTACH, DETACH and DROP emit nothing. A new month's empty partition is what every installation makes."""
    recorded = look_at_partitions({}, TABLE, table(partitions=PARTS), WATCHED).facts
    look = look_at_partitions(recorded, TABLE, table(partitions=parts, empty_partitions=frozenset(empty)), WATCHED)
    assert told(look) == ({"rows-changed-unseen": BOTH} if news else {})
