"""PostgreSQL's text to Debezium's values. The truth of each form is tests/integration/test_value_roundtrip.py."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_worker.adapters.source.keys import key_text
from sync_worker.adapters.source.pgtext import parse_array, parse_hstore
from sync_worker.adapters.source.values import ColumnType, decoder
from sync_worker.errors import ConfigurationError, DecodeError


def _decoded(name: str, text: str, *, modifier: int = -1, array: bool = False, kind: str = "b") -> Any:
    decode = decoder(ColumnType(name=name, kind=kind, array=array, modifier=modifier))
    assert decode is not None
    return decode(text)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("int8", "9223372036854775807", 9223372036854775807),
        ("numeric", "12.50", "12.50"),
        ("numeric", "NaN", "NAN"),
        ("float4", "NaN", "NaN"),
        ("float8", "1e+300", 1e300),
        ("bool", "t", True),
        ("date", "0044-03-15 BC", "-0043-03-15Z"),
        ("date", "20000-01-01", "+20000-01-01Z"),
        ("time", "24:00:00", "00:00:00Z"),
        ("timetz", "00:00:00-15:59", "15:59:00Z"),
        ("timestamp", "2024-02-29 12:34:56.12", "2024-02-29T12:34:56.12Z"),
        ("timestamptz", "2024-02-29 12:34:56+00", "2024-02-29T12:34:56.000000Z"),
        ("timestamptz", "infinity", "infinity"),
        ("interval", "-1 days -00:00:00.000001", "P0Y0M-1DT0H0M-0.000001S"),
        ("bytea", "\\xdeadbeef", "3q2+7w=="),
        ("varbit", "11111111000000001111", "D/AP"),
        ("hstore", '"a"=>"1", "b c"=>NULL', '{"a":"1","b c":null}'),
        ("sparsevec", "{1:1.5}/3", {"dimensions": 3, "vector": [[1, 1.5]]}),
    ],
)
def test_a_scalar_reads_as_the_connector_writes_it(name: str, text: str, value: Any) -> None:
    """One line for each rule of the formats."""
    got = _decoded(name, text)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize("name", ["tsquery", "pg_lsn", "jsonpath", "int4multirange", "oidvector", "regclass", "nobody_knows"])
def test_what_the_stream_leaves_out_is_left_out(name: str) -> None:
    """A type without a decoder is absent, never something else."""
    assert decoder(ColumnType(name=name, kind="b", array=False, modifier=-1)) is None


@pytest.mark.parametrize("name", ["interval", "money", "point", "xml", "bit", "varbit", "name"])
def test_arrays_that_the_stream_leaves_out_are_left_out(name: str) -> None:
    """Their scalars are delivered, their arrays are not."""
    assert decoder(ColumnType(name=name, kind="b", array=False, modifier=-1)) is not None
    assert decoder(ColumnType(name=name, kind="b", array=True, modifier=-1)) is None


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"))


@given(st.lists(st.none() | _TEXTS))
def test_arrays_of_any_text_come_back(items: list[str | None]) -> None:
    """Quotes, backslashes, commas, braces, line ends, and the text NULL."""
    assert parse_array("{" + ",".join("NULL" if item is None else _quoted(item) for item in items) + "}") == items


@given(st.dictionaries(_TEXTS, st.none() | _TEXTS))
def test_hstores_of_any_text_come_back(pairs: dict[str, str | None]) -> None:
    """The same for hstore's own format."""
    text = ", ".join(f"{_quoted(key)}=>{'NULL' if value is None else _quoted(value)}" for key, value in pairs.items())
    assert parse_hstore(text) == pairs


@pytest.mark.parametrize("text", ["", "1", "{1", "{1}}", '{"a}'])
def test_what_is_no_array_is_refused(text: str) -> None:
    """Rejected, never half read."""
    with pytest.raises(ValueError, match="not an array"):
        parse_array(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [("int4", "1"), ("int4", True), ("uuid", 1), ("bool", "true"), ("bytea", "!"), ("date", "2024"), ("text", None)],
)
def test_a_key_of_another_type_is_told_apart(name: str, value: Any) -> None:
    """The key's type changed since the event: one record's fault, not the database's."""
    with pytest.raises(DecodeError):
        key_text(value, "k", ColumnType(name=name, kind="b", array=False, modifier=-1))


def test_a_key_type_that_cannot_be_looked_up_is_refused() -> None:
    """By name, instead of finding nothing and calling the row gone."""
    with pytest.raises(ConfigurationError, match="tsrange"):
        key_text("[,)", "k", ColumnType(name="tsrange", kind="r", array=False, modifier=-1))
