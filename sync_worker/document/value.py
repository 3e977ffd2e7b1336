"""One value of a row → one value of a document, by declared type. Null is the caller's: no converter sees it.

A converter raises MisfitError, which says what it expected and never what it got.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson

INTEGER_MIN = -(2**63)
INTEGER_MAX = 2**64 - 1
"""Meilisearch keeps integers exact from signed to unsigned 64 bits and makes floats of longer ones (seen on a 1.50 server)."""

INFINITY_SECONDS = 253402300799
"""9999-12-31T23:59:59Z: what a timestamp of `infinity` becomes, so that it sorts last."""
MINUS_INFINITY_SECONDS = -62135596800
"""0001-01-01T00:00:00Z: what a timestamp of `-infinity` becomes, so that it sorts first."""

FLOAT32_MAX = 3.4028234663852886e38

Converter = Callable[[Any], Any]


class FieldType(StrEnum):
    """What a field may be declared as."""

    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TEXT = "text"
    JSON = "json"
    TIMESTAMP = "timestamp"
    GEO = "geo"
    VECTOR = "vector"


class MisfitError(ValueError):
    """A value does not fit its declared type. The message continues the sentence "field `x` …"."""


class TooDeepError(MisfitError):
    """JSON text nested so deeply that it can't even be parsed."""


_INTEGER_TEXT = re.compile(r"([+-]?[0-9]+)(?:\.0*)?").fullmatch
_NUMBER_TEXT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,5})?").fullmatch
_LONG_INTEGER = re.compile(r"[0-9]{19}").search
_DATE_START = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:Z?$|[T ].)").match

_INFINITIES = {
    "infinity": INFINITY_SECONDS,
    "-infinity": MINUS_INFINITY_SECONDS,
    # What Debezium 3.7.0 writes for the infinities of a date (in the stream, then in a snapshot, where the minus is lost) and of
    # a timestamp without zone. Only timestamptz keeps the words.
    "+5877611-06-21Z": INFINITY_SECONDS,
    "-5877611-06-22Z": MINUS_INFINITY_SECONDS,
    "+292278994-08-16Z": INFINITY_SECONDS,
    "+292269055-12-02Z": MINUS_INFINITY_SECONDS,
    "+292278994-08-16T23:00:00Z": INFINITY_SECONDS,
    "-292275055-05-16T23:00:00Z": MINUS_INFINITY_SECONDS,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def integer(value: Any) -> int:
    """An integer of 64 bits, signed or unsigned; also from text such as `12` or `12.00`, as numeric columns give it."""
    if type(value) is str and (digits := _INTEGER_TEXT(value)) is not None:
        # Python itself refuses to parse a text of thousands of digits.
        value = int(digits[1]) if len(digits[1]) < 100 else INTEGER_MAX + 1
    if type(value) is not int:
        raise MisfitError("is not an integer")
    if not INTEGER_MIN <= value <= INTEGER_MAX:
        raise MisfitError("is an integer beyond 64 bits: declare it as text")
    return value


def number(value: Any) -> int | float:
    """A finite number; integers stay exact, other numeric text becomes the nearest double."""
    kind = type(value)
    if kind is float:
        if math.isfinite(value):
            return float(value)
        raise MisfitError("is not a finite number")
    if kind is str and _NUMBER_TEXT(value):
        if not _INTEGER_TEXT(value):
            nearest = float(value)
            if math.isfinite(nearest):
                return nearest
            raise MisfitError("is a number beyond the range of a double: declare it as text")
        return integer(value)
    if kind is int:
        return integer(value)
    raise MisfitError("is not a number")


def boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise MisfitError("is not a boolean")
    return bool(value)


def text(value: Any) -> str:
    """Texts as they are; numbers and booleans as their JSON text."""
    if type(value) is str:
        return value
    kind = type(value)
    if kind is bool or kind is int or kind is float:
        return json.dumps(value)
    raise MisfitError("is not a text")


def json_value(value: Any) -> Any:
    """JSON text (how Debezium gives json and jsonb) is parsed; lists and objects pass. What is inside is checked later."""
    if type(value) is not str:
        return value
    try:
        parsed = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        if "infinity" in error.msg:
            raise MisfitError("holds a number beyond the range of a double") from error
        raise TooDeepError if "depth limit" in error.msg else MisfitError("is not JSON") from error
    if _LONG_INTEGER(value) is None:
        return parsed
    # orjson makes floats of integers beyond 64 bits without a word; the standard library keeps them, so that the check that
    # follows sees and refuses them.
    try:
        return json.loads(value)
    except RecursionError:
        raise TooDeepError from None
    except ValueError:
        raise MisfitError("holds an integer of thousands of digits") from None


def timestamp(value: Any) -> int | float:
    """Unix seconds from ISO text: an int where they are whole. Without a zone it is UTC. Numbers are never guessed at."""
    if type(value) is not str:
        raise MisfitError("is not an ISO timestamp: set time.precision.mode=isostring in the connector")
    infinity = _INFINITIES.get(value)
    if infinity is not None:
        return infinity
    if _DATE_START(value) is None:
        raise MisfitError("is not an ISO timestamp of a year from 0001 to 9999")
    try:
        moment = datetime.fromisoformat(value[:10] if len(value) == 11 else value)
    except ValueError:
        raise MisfitError("is not an ISO timestamp of a year from 0001 to 9999") from None
    passed = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - _EPOCH
    whole = passed.days * 86400 + passed.seconds
    return whole + passed.microseconds / 1e6 if passed.microseconds else whole


def latitude(value: Any) -> int | float:
    return _degrees(value, 90)


def longitude(value: Any) -> int | float:
    return _degrees(value, 180)


def _degrees(value: Any, limit: int) -> int | float:
    if type(value) is float and -limit <= value <= limit:
        return value
    degrees = number(value)
    if not -limit <= degrees <= limit:
        raise MisfitError(f"holds a coordinate outside -{limit} to {limit}")
    return degrees


def vector(value: Any) -> list[int | float]:
    """A list of finite 32-bit floats, or pgvector's text form of one (`[1,2,3]`)."""
    if type(value) is str:
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise MisfitError("is not a vector") from error
    if type(value) is not list or not value:
        raise MisfitError("is not a vector")
    for component in value:
        if type(component) not in (int, float) or not -FLOAT32_MAX <= component <= FLOAT32_MAX:
            raise MisfitError("holds a component that is not a finite 32-bit float")
    return value


CONVERTERS: dict[FieldType, Converter] = {
    FieldType.INTEGER: integer,
    FieldType.NUMBER: number,
    FieldType.BOOLEAN: boolean,
    FieldType.TEXT: text,
    FieldType.JSON: json_value,
    FieldType.TIMESTAMP: timestamp,
    FieldType.VECTOR: vector,
}
"""Types that take one column. Geo takes two."""

_NULL = type(None)
AS_THEY_ARE: dict[FieldType, frozenset[type]] = {
    FieldType.INTEGER: frozenset((_NULL,)),
    FieldType.NUMBER: frozenset((_NULL,)),
    FieldType.BOOLEAN: frozenset((_NULL, bool)),
    FieldType.TEXT: frozenset((_NULL, str)),
    FieldType.JSON: frozenset((_NULL, list, dict)),
    FieldType.TIMESTAMP: frozenset((_NULL,)),
    FieldType.VECTOR: frozenset((_NULL,)),
}
"""Values of these types are what the converter would make of them, so that the hot path need not call it."""
