"""A column that Debezium could not give never looks like a value."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from debezium_event import event, record

from sync_worker.change.decode import decode

TEXT = "__debezium_unavailable_value"


@pytest.mark.parametrize(
    "placeholder",
    [
        TEXT,
        base64.b64encode(TEXT.encode()).decode(),
        TEXT.encode().hex(),
        [TEXT],
        [base64.b64encode(TEXT.encode()).decode()],
        list(TEXT.encode()),
        {TEXT: TEXT},
        f'{{"{TEXT}":"{TEXT}"}}',
    ],
    ids=["text", "bytea", "bytea-hex", "text-array", "bytea-array", "integer-array", "hstore-map", "hstore-json"],
)
def test_every_form_of_the_placeholder_is_taken_out_and_named(placeholder: Any) -> None:
    """The row lacks the column, `unavailable` names it, and the other columns are untouched."""
    change = decode(record(event("u", {"id": 1, "body": placeholder, "tags": ["a"], "map": {"a": "b"}})))

    assert change is not None
    assert change.row == {"id": 1, "tags": ["a"], "map": {"a": "b"}}
    assert change.unavailable == ("body",)


@pytest.mark.parametrize("value", [f"see {TEXT}", [TEXT, "x"], [1, 2], {TEXT: "x"}, None, "", [[TEXT]]], ids=str)
def test_a_value_that_only_contains_the_placeholder_is_a_value(value: Any) -> None:
    """Somebody may write about the placeholder."""
    change = decode(record(event("u", {"id": 1, "body": value})))

    assert change is not None
    assert (change.row, change.unavailable) == ({"id": 1, "body": value}, ())
