"""A change of a row asks exactly one thing of an index, or fails in a way that an operator can mend."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_worker.change.model import Change, Operation
from sync_worker.document.action import Clear, Remove, Write
from sync_worker.document.declaration import IndexDeclaration
from sync_worker.document.hook import Hook
from sync_worker.document.projection import Projector
from sync_worker.errors import ProjectionError, RecordError, RefusedDocument

SECRET = "a-private-value"


def projector(*, hook: Hook | None = None, max_document_bytes: int = 10_000, **declared: Any) -> Projector:
    raw = {"name": "cities", "table": "public.cities", "primary_key": "id", "fields": {"name": "text"}, **declared}
    if hook is not None:
        raw["hook"] = "module:function"
    return Projector(IndexDeclaration.model_validate(raw), hook=hook, max_document_bytes=max_document_bytes)


def change(row: dict[str, Any] | None, key: dict[str, Any] | None = None, operation: Operation = Operation.UPDATE) -> Change:
    return Change(operation, "public.cities", {"id": 1} if key is None else key, row, None, (), 5, None)


def written(project: Projector, row: dict[str, Any], key: dict[str, Any] | None = None) -> Any:
    action = project.project(change(row, key))
    assert isinstance(action, Write)
    assert project.document(row, {"id": 1} if key is None else key) == orjson.loads(action.line)
    return orjson.loads(action.line)


def failure(project: Projector, row: dict[str, Any], key: dict[str, Any] | None = None) -> RecordError:
    with pytest.raises(RecordError) as caught:
        project.project(change(row, key))
    assert SECRET not in caught.value.message + caught.value.remedy
    return caught.value


def test_a_row_becomes_a_document_of_the_declared_fields() -> None:
    """Renamed, typed, constant; undeclared columns stay out; the key comes as the id; null stays null."""
    cities = projector(
        fields={
            "name": "text",
            "people": {"type": "integer", "column": "population"},
            "founded": "timestamp",
            "tags": "json",
            "kind": {"constant": "city"},
            "note": {"omit": True},
        }
    )
    row = {"id": 1, "name": "Riga", "population": "605802", "founded": None, "tags": '["port"]', "note": SECRET, "other": SECRET}

    assert written(cities, row) == {
        "id": 1,
        "name": "Riga",
        "people": 605802,
        "founded": None,
        "tags": ["port"],
        "kind": "city",
    }


def test_one_column_may_feed_several_fields() -> None:
    both = projector(fields={"name": "text", "title": {"type": "text", "column": "name"}})

    assert written(both, {"name": "Riga"}) == {"id": 1, "name": "Riga", "title": "Riga"}


def test_delete_truncate_and_message() -> None:
    """A delete removes by the key alone; a truncate clears; a message concerns no index."""
    assert projector().project(change(None, operation=Operation.DELETE)) == Remove("1")
    assert projector().project(change(None, {}, Operation.TRUNCATE)) == Clear()
    with pytest.raises(ValueError, match="message"):
        projector().project(change(None, {}, Operation.MESSAGE))


def test_an_integer_key_stays_an_integer_and_a_text_key_is_encoded() -> None:
    """The id in the document and the id that a delete names are the same id."""
    cities = projector()
    assert written(cities, {"name": "a"}, {"id": 7})["id"] == 7
    assert written(cities, {"name": "a"}, {"id": "a b"})["id"] == "a_20b"
    assert cities.project(change(None, {"id": "a b"}, Operation.DELETE)) == Remove("a_20b")


def test_a_composite_key_gets_a_field_of_its_own() -> None:
    lines = projector(primary_key=["order", "line"], id_field="key", fields={"order": "integer"})

    assert written(lines, {"order": 3, "line": 4}, {"order": 3, "line": 4}) == {"key": "3__4", "order": 3}
    # The order of columns is the declaration's, whatever the event's.
    assert lines.document_id({"line": 4, "order": 3}) == "3__4"


@pytest.mark.parametrize("key", [{}, {"other": 1}, {"id": 1, "more": 2}])
def test_a_key_other_than_the_declared_one_is_a_broken_contract(key: dict[str, Any]) -> None:
    """The table's primary key changed: any id made from it could name another row's document."""
    error = failure(projector(), {"name": "a"}, key)
    assert error.code == "key_mismatch"


@pytest.mark.parametrize(
    "declared",
    [
        {"fields": {"gone": "text"}},
        {"fields": {"x": {"type": "text", "column": "gone"}}},
        {"fields": {"_geo": {"type": "geo", "lat": "gone", "lng": "name"}}},
        {"fields": {"v": {"type": "vector", "column": "gone", "embedder": "e"}}, "settings": {"embedders": {"e": {}}}},
        {"where": "gone IS NULL"},
        {"soft_delete": "gone"},
        {"fields": {"gone": {"omit": True}}, "hook": lambda document, row: document},
    ],
    ids=["field", "renamed", "geo", "vector", "where", "soft-delete", "omitted"],
)
def test_a_declared_column_that_is_absent_is_a_broken_contract_and_never_null(declared: dict[str, Any]) -> None:
    """Debezium leaves out columns that it can't convert, and renamed ones are simply absent."""
    error = failure(projector(**declared), {"id": 1, "name": None})

    assert error.code == "field_missing"
    assert "`gone`" in error.message


def test_a_misfit_names_field_and_column_and_no_value() -> None:
    cities = projector(fields={"people": {"type": "integer", "column": "population"}})

    error = failure(cities, {"population": SECRET})

    assert error.code == "value_misfit"
    assert "`people`" in error.message
    assert "`population`" in error.message


def test_rows_that_do_not_match_are_removed() -> None:
    """False and unknown both mean: not in the index; it may have been there before."""
    big = projector(fields={"population": "integer"}, where="population >= 1000")

    assert isinstance(big.project(change({"population": 1000})), Write)
    assert big.project(change({"population": 999})) == Remove("1")
    assert big.project(change({"population": None})) == Remove("1")
    assert big.document({"population": 1}, {"id": 1}) is None


@pytest.mark.parametrize(
    ("mark", "gone"), [(None, False), (False, False), (True, True), ("2024-05-01T00:00:00Z", True), (0, True)]
)
def test_soft_deleted_rows_are_removed(mark: Any, gone: bool) -> None:
    """Neither null nor false: deleted."""
    action = projector(soft_delete="deleted").project(change({"name": "a", "deleted": mark}))

    assert isinstance(action, Remove if gone else Write)


GEO = {"_geo": {"type": "geo", "lat": "lat", "lng": "lng"}}


def test_coordinates() -> None:
    """Both, or null; the server would fail a whole batch for half of them."""
    points = projector(fields=GEO)

    assert written(points, {"lat": 1, "lng": "2.5"}) == {"id": 1, "_geo": {"lat": 1, "lng": 2.5}}
    assert written(points, {"lat": None, "lng": 2}) == {"id": 1, "_geo": None}
    assert written(points, {"lat": 1, "lng": None}) == {"id": 1, "_geo": None}


@pytest.mark.parametrize("row", [{"lat": 90.5, "lng": 0}, {"lat": 0, "lng": 181}, {"lat": SECRET, "lng": 0}])
def test_coordinates_outside_the_earth_do_not_fit(row: dict[str, Any]) -> None:
    error = failure(projector(fields=GEO), row)
    assert error.code == "value_misfit"
    assert "`_geo`" in error.message


def vectors(dimensions: int = 2) -> Projector:
    return projector(
        fields={"v": {"type": "vector", "embedder": "e"}},
        settings={"embedders": {"e": {"source": "userProvided", "dimensions": dimensions}}},
    )


def test_a_missing_vector_is_written_as_null() -> None:
    """Left out, a new document fails its whole batch and an old one keeps a vector that is no longer true."""
    assert written(vectors(), {"v": None}) == {"id": 1, "_vectors": {"e": None}}
    assert written(vectors(), {"v": "[1,2]"}) == {"id": 1, "_vectors": {"e": [1, 2]}}


def test_a_vector_of_other_dimensions_is_refused_before_it_fails_its_batch() -> None:
    assert failure(vectors(3), {"v": [1, 2]}).code == "invalid_vector_dimensions"
    assert failure(vectors(), {"v": "x"}).code == "value_misfit"


def test_a_hook_has_to_say_something_about_a_provided_vector() -> None:
    """A new document without it fails together with all that the server merges with it."""
    settings = {"embedders": {"e": {"source": "userProvided", "dimensions": 2}}}

    assert (
        failure(projector(hook=lambda document, row: document, settings=settings), {"name": "a"}).code == "vector_embedding_error"
    )
    silent = projector(hook=lambda document, row: {**document, "_vectors": {"e": None}}, settings=settings)
    assert isinstance(silent.project(change({"name": "a"})), Write)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"d":' * 128 + "1" + "}" * 128, "nested_too_deep"),
        ("[" * 3000 + "]" * 3000, "nested_too_deep"),
        ("18446744073709551616", "number_out_of_range"),
        ('{"a":[18446744073709551616]}', "number_out_of_range"),
        ("1e400", "value_misfit"),
        ("{", "value_misfit"),
    ],
    ids=lambda item: item[:24],
)
def test_json_that_search_would_choke_on_is_refused(text: str, code: str) -> None:
    """One row of a stranger must not take search down."""
    assert failure(projector(fields={"data": "json"}), {"data": text}).code == code


def test_json_at_the_limit_is_written() -> None:
    deep = '{"d":' * 127 + "1" + "}" * 127
    assert isinstance(projector(fields={"data": "json"}).project(change({"data": deep})), Write)


def test_a_document_above_the_payload_limit_is_refused() -> None:
    error = failure(projector(max_document_bytes=100), {"name": "x" * 100})
    assert (type(error), error.code) == (RefusedDocument, "payload_too_large")


def test_text_that_is_no_unicode_is_refused() -> None:
    assert failure(projector(), {"name": "\ud800"}).code == "malformed_payload"


def test_a_hook_sees_the_declared_columns_and_decides_last() -> None:
    """It gets the document after the declared fields, and the row with the key and the columns that are only read."""
    seen: list[Any] = []

    def hook(document: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
        seen.append(dict(row))
        document["label"] = f"{document['name']} ({row['country']})"
        return document

    cities = projector(fields={"name": "text", "country": {"omit": True}}, hook=hook)

    assert written(cities, {"name": "Riga", "country": "LV", "other": SECRET}) == {"id": 1, "name": "Riga", "label": "Riga (LV)"}
    assert seen[0] == {"id": 1, "name": "Riga", "country": "LV"}


def test_a_hook_that_returns_none_removes_the_document() -> None:
    assert projector(hook=lambda document, row: None).project(change({"name": "a"})) == Remove("1")


def test_a_hook_can_spoil_nobody_else_s_row() -> None:
    """Another index projects the same change after it."""

    def hook(document: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
        document["tags"].append("x")
        row["tags"].append("y")
        return document

    row = {"tags": ["a"]}
    projector(fields={"tags": "json"}, hook=hook).project(change(row))

    assert row == {"tags": ["a"]}


def _raise(document: Any, row: Any) -> Any:
    raise KeyError(SECRET)


@pytest.mark.parametrize(
    ("hook", "code"),
    [
        (_raise, "hook_failed"),
        (lambda document, row: 5, "hook_invalid"),
        (lambda document, row: [document], "hook_invalid"),
        (lambda document, row: {}, "hook_invalid"),
        (lambda document, row: {**document, "id": 2}, "hook_invalid"),
        (lambda document, row: {**document, "x": {1, 2}}, "malformed_payload"),
        (lambda document, row: {**document, 5: 1}, "malformed_payload"),
        (lambda document, row: {**document, "x": float("nan")}, "malformed_payload"),
        (lambda document, row: {**document, "_geo": {"lat": 1}}, "invalid_document_geo_field"),
        (lambda document, row: {**document, "_vectors": 4}, "invalid_vectors_type"),
    ],
)
def test_a_hook_that_raises_or_returns_nonsense_fails_that_one_document(hook: Hook, code: str) -> None:
    """Nothing of the exception's own text is repeated: it may quote the row."""
    assert failure(projector(hook=hook), {"name": SECRET}).code == code


def test_the_hook_and_its_declaration_belong_together() -> None:
    """A declared hook that is forgotten at construction would silently index something else."""
    declaration = IndexDeclaration.model_validate({"name": "a", "table": "p.t", "primary_key": "id", "hook": "m:f"})
    with pytest.raises(ValueError, match="hook"):
        Projector(declaration)


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
EVERYTHING = projector(
    fields={
        "i": "integer",
        "n": "number",
        "b": "boolean",
        "t": "text",
        "j": "json",
        "at": "timestamp",
        "v": {"type": "vector", "embedder": "e"},
        "_geo": {"type": "geo", "lat": "lat", "lng": "lng"},
    },
    where="i > 0 OR t LIKE 'a%' OR b",
    settings={"embedders": {"e": {}}},
)


@settings(deadline=None)
@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("i", "n", "b", "t", "j", "at", "v", "lat", "lng"), VALUE)),
    st.dictionaries(st.sampled_from(["id", "x"]), VALUE, max_size=2),
)
def test_no_row_escapes_as_another_error(row: dict[str, Any], key: dict[str, Any]) -> None:
    """Whatever a stranger's row holds, it is one document or one dead letter."""
    try:
        action = EVERYTHING.project(change(row, key))
    except (ProjectionError, RefusedDocument):
        return
    assert isinstance(action, Write | Remove)
