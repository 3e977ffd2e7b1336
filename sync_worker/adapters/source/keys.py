"""A key's value, as Debezium delivers it, to the text that PostgreSQL reads as the same value. Pure: the way back of `values`."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from sync_worker.adapters.source import temporal
from sync_worker.adapters.source.values import NETWORK_TYPES, TEXT_TYPES, ColumnType
from sync_worker.errors import ConfigurationError, DecodeError

_NUMERIC_SPECIAL = {"NAN": "NaN", "POSITIVE_INFINITY": "Infinity", "NEGATIVE_INFINITY": "-Infinity"}
_ISO_YEAR = re.compile(r"([+-]?)(\d+)(-\d\d-\d\d)(.*)", re.DOTALL)
_INFINITY = {
    temporal.DATE_INFINITY: "infinity",
    temporal.DATE_MINUS_INFINITY: "-infinity",
    temporal.TIMESTAMP_INFINITY: "infinity",
    temporal.TIMESTAMP_MINUS_INFINITY: "-infinity",
    "infinity": "infinity",
    "-infinity": "-infinity",
}


def key_text(value: Any, column: str, type_: ColumnType) -> str:
    """The text to cast to the key column's type.

    Raises:
        DecodeError: the value does not fit the type (`key-mismatch`): the key's type changed since the event.
        ConfigurationError: no key of this type can be looked up.
    """
    if not type_.array:
        if type_.kind == "e" or type_.name in TEXT_TYPES | NETWORK_TYPES:
            return _text(value, column)
        if type_.name in ("int2", "int4", "int8", "oid"):
            return _integer(value, column)
        if type_.name == "numeric":
            return _NUMERIC_SPECIAL.get(text := _text(value, column), text)
        if type_.name == "bool":
            return _boolean(value, column)
        if type_.name in ("date", "time", "timestamp", "timestamptz"):
            return _temporal(_text(value, column), column)
        if type_.name == "bytea":
            return _bytea(value, column)
    raise ConfigurationError([f"column {column}: rows can't be looked up by a key of type {type_.name}{'[]' * type_.array}"])


def _mismatch(column: str) -> DecodeError:
    return DecodeError(f"key column {column}: the event's value does not fit the column's type of today", code="key-mismatch")


def _text(value: Any, column: str) -> str:
    if not isinstance(value, str):
        raise _mismatch(column)
    return value


def _integer(value: Any, column: str) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _mismatch(column)
    return str(value)


def _boolean(value: Any, column: str) -> str:
    if not isinstance(value, bool):
        raise _mismatch(column)
    return "true" if value else "false"


def _bytea(value: Any, column: str) -> str:
    try:
        return "\\x" + base64.b64decode(_text(value, column), validate=True).hex()
    except binascii.Error as error:
        raise _mismatch(column) from error


def _temporal(text: str, column: str) -> str:
    if text in _INFINITY:
        return _INFINITY[text]
    if not text.endswith("Z"):
        raise _mismatch(column)
    match = _ISO_YEAR.fullmatch(text)
    if match is None:
        return text[:-1]  # a time of day
    sign, digits, month_day, rest = match.groups()
    year = -int(digits) if sign == "-" else int(digits)
    moment = rest[:-1].replace("T", " ")
    zone = "+00" if moment else ""
    era = " BC" if year <= 0 else ""
    return f"{year if year > 0 else 1 - year:04d}{month_day}{moment}{zone}{era}"
