"""What `check` and `init` say of field types is what happens to the values that Debezium delivers."""

from __future__ import annotations

import pytest

from sync_worker.adapters.source.fits import fit
from sync_worker.adapters.source.values import ColumnType, decoder
from sync_worker.document.value import CONVERTERS, FieldType, MisfitError

WORD = {"text": ["word", "12", "1.5", "2024-05-01", "[1,2]", '{"a":1}']}
SAMPLES: list[tuple[ColumnType, list[str]]] = [
    *((ColumnType(name, "b", False, -1), WORD["text"]) for name in ("text", "varchar", "citext")),
    (ColumnType("mood", "e", False, -1), WORD["text"]),
    (ColumnType("uuid", "b", False, -1), ["6f6a1f0e-7d0b-5f5c-9a57-0f1c6c0b8a11"]),
    (ColumnType("int4", "b", False, -1), ["12", "-3"]),
    (ColumnType("int8", "b", False, -1), ["9223372036854775807"]),
    (ColumnType("numeric", "b", False, -1), ["12", "12.50"]),
    (ColumnType("float8", "b", False, -1), ["1.5", "12"]),
    (ColumnType("bool", "b", False, -1), ["t", "f"]),
    (ColumnType("bit", "b", False, 1), ["1", "0"]),
    (ColumnType("date", "b", False, -1), ["2024-05-01"]),
    (ColumnType("timestamp", "b", False, -1), ["2024-05-01 12:00:00"]),
    (ColumnType("timestamptz", "b", False, -1), ["2024-05-01 12:00:00+00"]),
    (ColumnType("time", "b", False, -1), ["12:00:00"]),
    (ColumnType("interval", "b", False, -1), ["1 day"]),
    (ColumnType("jsonb", "b", False, -1), ['{"a":1}', "12", "1.5", "[1,2]", '"2024-05-01"', "true"]),
    (ColumnType("hstore", "b", False, -1), ['"a"=>"1"']),
    (ColumnType("point", "b", False, -1), ["(1,2)"]),
    (ColumnType("inet", "b", False, -1), ["127.0.0.1"]),
    (ColumnType("int4range", "b", False, -1), ["[1,10)"]),
    (ColumnType("bytea", "b", False, -1), ["\\x00ff"]),
    (ColumnType("vector", "b", False, 2), ["[1,2]"]),
    (ColumnType("sparsevec", "b", False, 2), ["{1:1}/2"]),
    (ColumnType("text", "b", True, -1), ["{a,b}"]),
    (ColumnType("int4", "b", True, -1), ["{1,2}", "{}"]),
    (ColumnType("numeric", "b", True, -1), ["{1,2}"]),
]


@pytest.mark.parametrize(("column", "texts"), SAMPLES, ids=[f"{one.name}{'[]' * one.array}" for one, _ in SAMPLES])
def test_a_type_fits_always_perhaps_or_never_as_its_converter_does(column: ColumnType, texts: list[str]) -> None:
    """Always: every value converts. Perhaps: some do and some don't. All others: none does."""
    decode, fitting = decoder(column), fit(column)
    assert decode is not None
    assert fitting is not None
    for kind in CONVERTERS:
        converts = [_converts(kind, decode(text)) for text in texts]
        said = "always" if kind in fitting.always else "perhaps" if kind in fitting.perhaps else "never"
        seen = "always" if all(converts) else "perhaps" if any(converts) else "never"
        assert (kind, said) == (kind, seen)


def test_an_unknown_type_is_not_judged() -> None:
    """No finding without knowledge."""
    assert fit(ColumnType("geometry", "b", False, -1)) is None


def _converts(kind: FieldType, value: object) -> bool:
    try:
        CONVERTERS[kind](value)
    except MisfitError:
        return False
    return True
