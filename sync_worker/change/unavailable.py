"""Values that Debezium could not give: the placeholder of an unchanged TOAST column, in every form that it takes.

Sources: `unavailable.value.placeholder` in Debezium's documentation and its PostgreSQL connector's placeholder table. A text
gets the placeholder itself, bytea its base64 (or hex), hstore a map of it onto itself (or that map's JSON), a text array a
list of it, an integer array its bytes as numbers, a uuid array the name-based uuid of its bytes.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from typing import Any

from sync_worker.change.model import Row

PLACEHOLDER = "__debezium_unavailable_value"
"""Debezium's default for `unavailable.value.placeholder`; the connector template must not change it."""

_BYTES = PLACEHOLDER.encode()
_BASE64 = base64.b64encode(_BYTES).decode()
_HEX = _BYTES.hex()
_UUID = str(uuid.UUID(bytes=hashlib.md5(_BYTES, usedforsecurity=False).digest(), version=3))
_MAP = {PLACEHOLDER: PLACEHOLDER}

_TEXTS = frozenset((PLACEHOLDER, _BASE64, _HEX, f'{{"{PLACEHOLDER}":"{PLACEHOLDER}"}}'))
_LISTS: tuple[list[Any], ...] = ([PLACEHOLDER], [_BASE64], [_HEX], [_UUID], list(_BYTES))
_LIST_LENGTHS = frozenset(map(len, _LISTS))


def split(row: Row) -> tuple[Row, tuple[str, ...]]:
    """The row without its unavailable columns, and their names.

    A value that merely contains the placeholder is a value. One that is exactly the placeholder can't be told apart from it.
    """
    for value in row.values():
        kind = type(value)
        # Written out, not called: nearly every row of the log goes through here and holds none.
        if kind is str:
            if value in _TEXTS:
                break
        elif kind is list:
            if len(value) in _LIST_LENGTHS and value in _LISTS:
                break
        elif kind is dict and value == _MAP:
            break
    else:
        return row, ()
    missing = tuple(column for column, value in row.items() if _is_placeholder(value))
    return {column: value for column, value in row.items() if column not in missing}, missing


def _is_placeholder(value: Any) -> bool:
    return value in _TEXTS if type(value) is str else value in _LISTS if type(value) is list else value == _MAP
