"""A declaration that can't work is refused whole, with every mistake and the way to mend it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sync_worker.document.declaration import IndexDeclaration, Truncate
from sync_worker.document.field import FieldDeclaration


def declare(**declared: Any) -> IndexDeclaration:
    return IndexDeclaration.model_validate(
        {"name": "cities", "table": "public.cities", "primary_key": "id", "fields": {"name": "text"}, **declared}
    )


def test_what_is_not_said_has_a_sensible_meaning() -> None:
    cities = declare()

    assert (cities.uid, cities.meilisearch, cities.id_field, cities.truncate) == ("cities", "default", "id", Truncate.CLEAR)
    assert declare(primary_key="code").id_field == "code"
    assert declare(primary_key=["a", "b"]).id_field == "id"


def test_the_columns_it_reads_are_known() -> None:
    cities = declare(
        fields={
            "name": "text",
            "people": {"type": "integer", "column": "population"},
            "_geo": {"type": "geo", "lat": "lat", "lng": "lng"},
            "kind": {"constant": 1},
            "note": {"omit": True},
        },
        where="country = 'LV'",
        soft_delete="deleted",
    )

    assert cities.columns == {"name", "population", "lat", "lng", "note", "country", "deleted"}


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"table": "cities"}, "public.cities"),
        ({"uid": "a b"}, "no index uid"),
        ({"primary_key": []}, "at least 1"),
        ({"primary_key": ["a", "a"]}, "twice"),
        ({"hook": "module.function"}, "module:function"),
        ({"where": "lower(name) = 'a'"}, "supported"),
        ({"settings": {"filterableAttribute": []}}, "did you mean `filterableAttributes`"),
        ({"truncate": "drop"}, "clear"),
        ({"fields": {}}, "declares nothing"),
        ({"fields": {"id": {"type": "text", "column": "name"}}}, "document's id"),
        ({"primary_key": ["a", "b"], "fields": {"id": "integer"}}, "document's id"),
        ({"fields": {"place": {"type": "geo", "lat": "a", "lng": "b"}}}, "called `_geo`"),
        ({"fields": {"_geo": "json"}}, "called `_geo`"),
        ({"fields": {"_vectors": "json"}}, "reads itself"),
        ({"fields": {"": "text"}}, "empty name"),
        ({"settings": {"embedders": {"e": {"source": "userProvided"}}}}, "no field makes them"),
        ({"fields": {"v": {"type": "vector", "embedder": "e"}}}, "not in `settings.embedders`"),
        (
            {
                "fields": {"v": {"type": "vector", "embedder": "e"}, "w": {"type": "vector", "embedder": "e"}},
                "settings": {"embedders": {"e": {}}},
            },
            "same embedder",
        ),
    ],
)
def test_mistakes_of_an_index(declared: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        declare(**declared)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ({}, "no `type`"),
        ("integr", "'integer'"),
        ({"type": "geo", "lat": "a"}, "both `lat` and `lng`"),
        ({"type": "geo", "lat": "a", "lng": "b", "column": "c"}, "remove `column`"),
        ({"type": "text", "lat": "a"}, "belong to"),
        ({"type": "vector"}, "set `embedder`"),
        ({"type": "text", "embedder": "e"}, "belongs to"),
        ({"constant": 1, "type": "text"}, "stands alone"),
        ({"constant": float("nan")}, "finite"),
        ({"constant": 2**64}, "64 bits"),
        ({"omit": True, "lat": "a"}, "leaves the column out"),
        ({"type": "text", "colum": "a"}, "extra"),
    ],
    ids=repr,
)
def test_mistakes_of_a_field(field: Any, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        FieldDeclaration.model_validate(field)
    assert says in str(caught.value).lower()


def test_several_mistakes_are_told_together() -> None:
    with pytest.raises(ValidationError) as caught:
        declare(table="cities", where="lower(name) = 'a'", uid="a b", truncate="drop", settings={"x": 1}, feilds={})
    assert caught.value.error_count() == 6


def test_a_declaration_does_not_change() -> None:
    with pytest.raises(ValidationError):
        declare().uid = "other"  # type: ignore[misc]
