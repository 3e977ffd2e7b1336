"""`sync-worker init`: from a table's description to TOML that is valid as it stands."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest

from sync_worker.adapters.source.catalogue import TableDescription
from sync_worker.adapters.source.columns import Column
from sync_worker.adapters.source.suggest import suggest_declaration
from sync_worker.adapters.source.values import ColumnType
from sync_worker.document.declaration import IndexDeclaration


def _column(name: str, type_: str, *, array: bool = False, kind: str = "b", generated: str = "", modifier: int = -1) -> Column:
    return Column(name, type_, type_, True, generated, ColumnType(type_, kind, array, modifier))


def _table(*columns: Column, primary_key: tuple[str, ...] = ("id",)) -> TableDescription:
    return TableDescription(
        table="public.cities",
        oid=1,
        kind="table",
        persistence="permanent",
        replica_identity="default",
        is_partition=False,
        estimated_rows=0,
        readable=True,
        columns=columns,
        primary_key=primary_key,
        unique_keys=(),
        identity_index=(),
        publications=(),
    )


def test_what_is_suggested_is_a_valid_declaration() -> None:
    """It can be run unedited, odd names included."""
    table = _table(
        _column("id", "int4"),
        _column('na"me', "text"),
        _column("größe", "numeric"),
        _column("lat", "float8"),
        _column("lng", "float8"),
        _column("tags", "text", array=True),
        _column("embedding", "vector", modifier=3),
        _column("_vectors", "jsonb"),
    )
    text = suggest_declaration(table)
    declared = tomllib.loads(text)["indexes"]["cities"]
    index = IndexDeclaration.model_validate({**declared, "name": "cities"})
    assert set(index.fields) == {"id", 'na"me', "größe", "lat", "lng", "tags", "_geo"}
    assert declared["settings"]["sortableAttributes"] == ["id", "größe", "lat", "lng", "_geo"]
    assert declared["settings"]["searchableAttributes"] == ['na"me', "tags"]


def test_arrays_can_be_filtered_by() -> None:
    """Tags are what people filter by; of texts they are searched as well."""
    settings = tomllib.loads(suggest_declaration(_table(_column("id", "int4"), _column("tags", "text", array=True))))["indexes"][
        "cities"
    ]["settings"]
    assert settings["filterableAttributes"] == ["id", "tags"]
    assert settings["searchableAttributes"] == ["tags"]


@pytest.mark.parametrize(
    ("name", "type_", "told"),
    [
        ("deleted_at", "timestamptz", True),
        ("is_deleted", "bool", True),
        ("Deleted", "bool", True),
        ("removed_on", "date", True),
        ("deleted_by", "int4", False),
        ("deleted", "text", False),
        ("undeleted_at", "timestamptz", False),
    ],
)
def test_a_column_that_may_mark_rows_as_deleted_is_pointed_at(name: str, type_: str, told: bool) -> None:
    """As a comment, because only its owner knows; uncommented as it stands, it is part of a valid declaration."""
    text = suggest_declaration(_table(_column("id", "int4"), _column(name, type_)))
    line = next((line for line in text.splitlines() if line.startswith("# soft_delete")), None)
    assert (line is not None) == told
    assert "soft_delete" not in tomllib.loads(text)["indexes"]["cities"]
    if line is not None:
        declared = tomllib.loads(text.replace(line, line.removeprefix("# ")))["indexes"]["cities"]
        assert IndexDeclaration.model_validate({**declared, "name": "cities"}).soft_delete == name


def test_a_deferrable_key_is_declared() -> None:
    """A worker that does not know of it loses rows, so nobody has to remember it."""
    text = suggest_declaration(replace(_table(_column("id", "int4")), deferrable_key=True))
    assert tomllib.loads(text)["indexes"]["cities"]["deferrable_key"] is True


def test_what_cannot_be_indexed_says_why() -> None:
    """A comment with the reason in place of the field."""
    lines = suggest_declaration(
        _table(_column("id", "int4"), _column("n", "name"), _column("v", "int4", generated="v"), _column("b", "bytea"))
    ).splitlines()
    assert any(line.startswith("# n: has type name") for line in lines)
    assert any(line.startswith("# v: is generated") for line in lines)
    assert any(line.startswith("# b = { omit = true }") for line in lines)


def test_a_table_without_a_primary_key_is_told() -> None:
    """The declaration can't be used before there is one."""
    assert "has no primary key" in suggest_declaration(_table(_column("a", "text"), primary_key=()))
