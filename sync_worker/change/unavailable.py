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


def split(row: Row) -> tuple[Row, tuple[str, ...]]:
    """The row without its unavailable columns, and their names.

    A value that merely contains the placeholder is a value. One that is exactly the placeholder can't be told apart from it.
    """
    try:
        # One call of C for rows without arrays and maps: searching the raw bytes for every form costs five times as much.
        if _TEXTS.isdisjoint(row.values()):
            return row, ()
    except TypeError:  # a list or a dict is not hashable
        pass
    missing = tuple(
        column
        for column, value in row.items()
        if ((kind := type(value)) is str and value in _TEXTS)
        or (kind is list and value in _LISTS)
        or (kind is dict and value == _MAP)
    )
    if not missing:
        return row, ()
    return {column: value for column, value in row.items() if column not in missing}, missing
