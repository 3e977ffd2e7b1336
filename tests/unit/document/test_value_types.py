"""What each declared type takes from PostgreSQL through Debezium, what it gives, and what does not fit."""

from __future__ import annotations

from typing import Any

import pytest

from sync_worker.document import value
from sync_worker.document.value import CONVERTERS, FieldType, MisfitError


@pytest.mark.parametrize(
    ("kind", "given", "document"),
    [
        ("integer", 12, 12),
        ("integer", -(2**63), -(2**63)),
        ("integer", 2**64 - 1, 2**64 - 1),
        ("integer", "12", 12),
        ("integer", "-7.00", -7),
        ("number", 12, 12),
        ("number", 0.1, 0.1),
        ("number", "12", 12),
        ("number", "12.50", 12.5),
        ("number", "1e3", 1000.0),
        ("number", ".5", 0.5),
        ("boolean", True, True),
        ("boolean", False, False),
        ("text", "x", "x"),
        ("text", "", ""),
        ("text", 12, "12"),
        ("text", 1.5, "1.5"),
        ("text", True, "true"),
        ("json", '{"a":[1,null]}', {"a": [1, None]}),
        ("json", '"text"', "text"),
        ("json", "null", None),
        ("json", ["a", None], ["a", None]),
        ("json", {"a": 1}, {"a": 1}),
        ("json", "18446744073709551615", 2**64 - 1),
        ("json", '"digits 123456789012345678901234"', "digits 123456789012345678901234"),
        ("timestamp", "1970-01-01T00:00:00Z", 0),
        ("timestamp", "2024-05-01T12:00:00.5Z", 1714564800.5),
        ("timestamp", "2024-05-01T12:00:00.123456Z", 1714564800.123456),
        ("timestamp", "2024-05-01T12:00:00", 1714564800),
        ("timestamp", "2024-05-01T14:00:00+02:00", 1714564800),
        ("timestamp", "2024-05-01", 1714521600),
        ("timestamp", "2024-05-01Z", 1714521600),
        ("timestamp", "1969-12-31T23:59:59.5Z", -0.5),
        ("timestamp", "0001-01-01T00:00:00Z", -62135596800),
        ("timestamp", "9999-12-31T23:59:59Z", 253402300799),
        ("timestamp", "infinity", 253402300799),
        ("timestamp", "-infinity", -62135596800),
        ("timestamp", "+5877611-06-21Z", 253402300799),
        ("timestamp", "-5877611-06-22Z", -62135596800),
        ("timestamp", "+292278994-08-16Z", 253402300799),
        ("timestamp", "+292269055-12-02Z", -62135596800),
        ("timestamp", "+292278994-08-16T23:00:00Z", 253402300799),
        ("timestamp", "-292275055-05-16T23:00:00Z", -62135596800),
        ("vector", [1, 2.5], [1, 2.5]),
        ("vector", "[1,2.5]", [1, 2.5]),
    ],
)
def test_a_value_that_fits(kind: str, given: Any, document: Any) -> None:
    converted = CONVERTERS[FieldType(kind)](given)

    assert converted == document
    assert type(converted) is type(document)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("integer", "12.5"),
        ("integer", 12.0),
        ("integer", True),
        ("integer", "AfQ="),
        ("integer", ""),
        ("integer", " 12"),
        ("integer", "١٢"),
        ("integer", 2**64),
        ("integer", "18446744073709551616"),
        ("integer", "9" * 5000),
        ("integer", [1]),
        ("number", float("nan")),
        ("number", float("inf")),
        ("number", "NaN"),
        ("number", "NAN"),
        ("number", "Infinity"),
        ("number", "1e400"),
        ("number", "1_000"),
        ("number", "9" * 5000),
        ("number", "AfQ="),
        ("number", True),
        ("number", 2**64),
        ("boolean", 1),
        ("boolean", "true"),
        ("text", ["a"]),
        ("text", {"a": 1}),
        ("json", "{"),
        ("json", "NaN"),
        ("json", "1e400"),
        ("json", '"\\ud800"'),
        ("json", "9" * 5000),
        ("json", "[" * 5000 + "]" * 5000),
        ("timestamp", 1714564800),
        ("timestamp", 1714564800000000),
        ("timestamp", "20240501"),
        ("timestamp", "2024-W01-1"),
        ("timestamp", "2024-13-01"),
        ("timestamp", "12:00:00Z"),
        ("timestamp", "+292278994-08-17T07:12:55.807Z"),
        ("timestamp", "10000-01-01T00:00:00Z"),
        ("timestamp", "-0044-03-15Z"),
        ("timestamp", "0000-01-01Z"),
        ("timestamp", ""),
        ("vector", []),
        ("vector", "[]"),
        ("vector", "(1,2)"),
        ("vector", [1, None]),
        ("vector", [1, "2"]),
        ("vector", [True]),
        ("vector", [1e39]),
        ("vector", [float("nan")]),
        ("vector", {"a": 1}),
    ],
    ids=lambda item: repr(item)[:30],
)
def test_a_value_that_does_not_fit_is_never_guessed_at(kind: str, given: Any) -> None:
    """Base64 decimals, epoch numbers, NaN: a wrong document is worse than a dead letter."""
    with pytest.raises(MisfitError):
        CONVERTERS[FieldType(kind)](given)


@pytest.mark.parametrize(
    ("degrees", "fits"), [(90, True), (-90.0, True), ("12.5", True), (90.0001, False), ("x", False), (None, False)]
)
def test_latitudes_are_of_this_earth(degrees: Any, fits: bool) -> None:
    """The server takes 91 without a word."""
    if fits:
        assert value.latitude(degrees) == float(degrees)
    else:
        with pytest.raises(MisfitError):
            value.latitude(degrees)


def test_longitudes_reach_180() -> None:
    assert value.longitude(-180) == -180
    with pytest.raises(MisfitError):
        value.longitude(180.5)
