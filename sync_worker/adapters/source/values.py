"""A column's text, as PostgreSQL sends it, to the value that Debezium delivers for it under the connector template. Pure.

Proven type by type in tests/integration/test_value_roundtrip.py, with PostgreSQL as the oracle; the known gaps are listed there.
A type without a decoder here is one that Debezium leaves out of its events, or changes beyond recognition: its column is
left out of the row, so that a declaration that names it fails loudly instead of receiving something else.
"""

from __future__ import annotations

import base64
import json
import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sync_worker.adapters.source import temporal
from sync_worker.adapters.source.pgtext import ArrayItem, parse_array, parse_hstore

Decoder = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A column's type with its domains resolved.

    Attributes:
        name: `pg_type.typname` of the type, or of the element where `array`.
        kind: `pg_type.typtype` of the same: "b" base, "e" enum, "r" range, "m" multirange, "c" composite, "d" domain
            (only as an element: Debezium leaves arrays of domains out).
        modifier: `atttypmod`, of the domain where the column's own is -1.
    """

    name: str
    kind: str
    array: bool
    modifier: int


TEXT_TYPES = frozenset({"text", "varchar", "bpchar", "char", "name", "citext", "uuid", "xml", "tsvector", "ltree", "isbn"})
JSON_TYPES = frozenset({"json", "jsonb"})
NETWORK_TYPES = frozenset({"inet", "cidr", "macaddr", "macaddr8"})
RANGE_TYPES = frozenset({"int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange"})
_ABSENT_IN_ARRAYS = frozenset({"interval", "money", "point", "xml", "bit", "varbit", "name"})

_NUMERIC_SPECIAL = {"NaN": "NAN", "Infinity": "POSITIVE_INFINITY", "-Infinity": "NEGATIVE_INFINITY"}
_POINT = re.compile(r"\(([^,]+),([^)]+)\)")
_SPARSE = re.compile(r"\{([^}]*)\}/(\d+)")


def decoder(column: ColumnType) -> Decoder | None:
    """None where Debezium delivers nothing for the type, or nothing that could be compared."""
    if column.array:
        if column.name in _ABSENT_IN_ARRAYS:
            return None
        item = _scalar(column)
        return None if item is None else _array(item)
    return _scalar(column)


def _scalar(column: ColumnType) -> Decoder | None:
    if column.kind == "e" or column.name in TEXT_TYPES | JSON_TYPES | NETWORK_TYPES | RANGE_TYPES:
        return str
    if column.name in ("timestamptz",):
        digits = 6 if column.modifier < 0 else column.modifier
        return lambda text: temporal.timestamptz(text, digits)
    if column.name in ("bit", "varbit"):
        return _bool_bit if column.modifier == 1 else _bits
    return _SCALARS.get(column.name)


def _array(item: Decoder) -> Decoder:
    def decode(value: ArrayItem) -> Any:
        if isinstance(value, list):
            return [decode(inner) for inner in value]
        return None if value is None else item(value)

    return lambda text: [decode(value) for value in parse_array(text)]


def _numeric(text: str) -> str:
    return _NUMERIC_SPECIAL.get(text, text)


def _float(text: str) -> float | str:
    value = float(text)
    return value if math.isfinite(value) else text


def _bytes(text: str) -> str:
    return base64.b64encode(bytes.fromhex(text.removeprefix("\\x"))).decode("ascii")


def _bool_bit(text: str) -> bool | str:
    return "" if text == "" else text == "1"


def _bits(text: str) -> str:
    """The bits as a little-endian number without its leading zeros."""
    number = int(text or "0", 2)
    return base64.b64encode(number.to_bytes((number.bit_length() + 7) // 8, "little")).decode("ascii")


def _point(text: str) -> dict[str, Any]:
    match = _POINT.fullmatch(text)
    if match is None:
        raise ValueError("not a point")
    x, y = float(match[1]), float(match[2])
    wkb = base64.b64encode(struct.pack("<BIdd", 1, 1, x, y)).decode("ascii")
    return {"x": _float(match[1]), "y": _float(match[2]), "wkb": wkb, "srid": None}


def _vector(text: str) -> list[float]:
    return [float(item) for item in text.strip("[]").split(",")]


def _sparse_vector(text: str) -> dict[str, Any]:
    match = _SPARSE.fullmatch(text)
    if match is None:
        raise ValueError("not a sparse vector")
    pairs = [item.split(":") for item in match[1].split(",") if item]
    return {"dimensions": int(match[2]), "vector": [[int(index), float(value)] for index, value in pairs]}


def _hstore(text: str) -> str:
    return json.dumps(parse_hstore(text), ensure_ascii=False, separators=(",", ":"))


_SCALARS: dict[str, Decoder] = {
    "int2": int,
    "int4": int,
    "int8": int,
    "oid": int,
    "numeric": _numeric,
    # Read as numeric: the text of money depends on the server's locale.
    "money": _numeric,
    "float4": _float,
    "float8": _float,
    "bool": lambda text: text == "t",
    "date": temporal.date,
    "time": temporal.time,
    "timetz": temporal.timetz,
    "timestamp": temporal.timestamp,
    "interval": temporal.interval,
    "bytea": _bytes,
    "point": _point,
    "vector": _vector,
    "halfvec": _vector,
    "sparsevec": _sparse_vector,
    "hstore": _hstore,
}
