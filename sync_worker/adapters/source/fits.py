"""Which field types a column's values become: `init` suggests the first, `check` refuses the others. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from sync_worker.adapters.source.values import JSON_TYPES, NETWORK_TYPES, RANGE_TYPES, TEXT_TYPES, ColumnType
from sync_worker.document.value import FieldType

T = FieldType
_FORMATTED = frozenset({"uuid", "xml", "tsvector", "time", "timetz", "interval", "bytea"}) | NETWORK_TYPES | RANGE_TYPES
"""Delivered as text of a form that is neither a number, nor a date, nor JSON."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The field types for one column.

    Attributes:
        always: fit every value (but for NaN and the like); the most exact one first.
        perhaps: fit only values of a certain form, as an integer does in a text column.
    """

    always: tuple[FieldType, ...]
    perhaps: tuple[FieldType, ...] = ()


def fit(column: ColumnType) -> Fit | None:
    """None for a type of which nothing is known here.

    tests/unit/source/test_field_types_fit.py holds this against the values that Debezium delivers and the fields' converters.
    """
    name = column.name
    if column.array:
        numbers = name in ("int2", "int4", "int8", "float4", "float8")
        return Fit((T.JSON,), (T.VECTOR,) if numbers else ())
    if name in _FORMATTED:
        return Fit((T.TEXT,))
    if column.kind == "e" or name in TEXT_TYPES:
        return Fit((T.TEXT,), (T.INTEGER, T.NUMBER, T.TIMESTAMP, T.JSON, T.VECTOR))
    if name in ("bit", "varbit"):
        return Fit((T.BOOLEAN, T.TEXT, T.JSON) if column.modifier == 1 else (T.TEXT,))
    return _BY_NAME.get(name)


_INTEGER = Fit((T.INTEGER, T.NUMBER, T.TEXT, T.JSON))
_DECIMAL = Fit((T.NUMBER, T.TEXT, T.JSON), (T.INTEGER,))
_FLOAT = Fit((T.NUMBER, T.TEXT, T.JSON))
_MOMENT = Fit((T.TIMESTAMP, T.TEXT))
_BY_NAME: dict[str, Fit] = {
    **dict.fromkeys(("int2", "int4", "int8", "oid"), _INTEGER),
    **dict.fromkeys(("numeric", "money"), _DECIMAL),
    **dict.fromkeys(("float4", "float8"), _FLOAT),
    **dict.fromkeys(("date", "timestamp", "timestamptz"), _MOMENT),
    **dict.fromkeys(JSON_TYPES, Fit((T.JSON, T.TEXT), (T.INTEGER, T.NUMBER, T.VECTOR))),
    **dict.fromkeys(("vector", "halfvec"), Fit((T.VECTOR, T.JSON))),
    "bool": Fit((T.BOOLEAN, T.TEXT, T.JSON)),
    "hstore": Fit((T.JSON, T.TEXT)),
    "point": Fit((T.JSON,)),
    "sparsevec": Fit((T.JSON,)),
}
