"""A row's key ↔ a document's id: reversible, injective, always within Meilisearch's alphabet.

Meilisearch takes `[A-Za-z0-9_-]`, 1 to 511 bytes, and stores integers as their text. One key column: integers and texts that
are valid already stay as they are; every other byte of the UTF-8 form becomes `_XX` (uppercase hex), and an underscore that
would read as such an escape becomes `_5F`. Several columns: every underscore is escaped, so that the `__` between components
is unambiguous. An empty text is `_00`: PostgreSQL's texts can't hold that byte.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sync_worker.errors import ProjectionError

MAX_ID_BYTES = 511
_INTEGER_MIN = -(2**63)
_INTEGER_MAX = 2**64 - 1

_PLAIN = re.compile(r"[A-Za-z0-9-]+").fullmatch
_ESCAPE_IN_SINGLE = re.compile(rb"[^A-Za-z0-9_-]|_(?=[0-9A-F]{2})").sub
_ESCAPE_IN_COMPONENT = re.compile(rb"[^A-Za-z0-9-]").sub
_ESCAPED = re.compile(rb"_([0-9A-F]{2})").sub


def encode(values: Sequence[object]) -> str:
    """The document id of a row, from its key columns in their declared order.

    Raises:
        ProjectionError: `id_not_encodable`: a null, a type other than integer and text, or more than 511 bytes.
    """
    if len(values) == 1:
        value = values[0]
        if type(value) is int:
            return _integer(value)
        text = _text(value)
        if _PLAIN(text) is None:
            text = _escape(text, single=True)
    else:
        parts = [_integer(value) if type(value) is int else _escape(_text(value), single=False) for value in values]
        text = "__".join(parts)
    if len(text) > MAX_ID_BYTES:
        raise _not_encodable(f"its id would be {len(text)} bytes long, and Meilisearch takes {MAX_ID_BYTES}")
    return text


def decode(document_id: str, columns: int) -> tuple[str, ...]:
    """The key columns' texts (integers as their digits).

    Args:
        columns: how many columns the key has.

    Raises:
        ValueError: this module never made that id for a key of so many columns.
    """
    texts = tuple(_unescape(part) for part in _components(document_id, columns))
    try:
        ours = len(texts) == columns and encode(texts) == document_id
    except ProjectionError:
        ours = False
    if not ours:
        raise ValueError("not an id of a key with this many columns")
    return texts


def _components(document_id: str, columns: int) -> list[str]:
    if columns == 1:
        return [document_id]
    # Inside a component an underscore is always followed by two digits, so a pair of them is a separator wherever it starts.
    parts, start, at = [], 0, document_id.find("_")
    while at != -1:
        if document_id.startswith("__", at):
            parts.append(document_id[start:at])
            start = at + 2
            at = document_id.find("_", start)
        else:
            at = document_id.find("_", at + 3)
    parts.append(document_id[start:])
    return parts


def _unescape(part: str) -> str:
    if part == "_00":
        return ""
    try:
        return _ESCAPED(lambda match: bytes((int(match[1], 16),)), part.encode()).decode()
    except UnicodeDecodeError as error:
        raise ValueError("an escape in the id is not UTF-8") from error


def _escape(text: str, *, single: bool) -> str:
    if not text:
        return "_00"
    try:
        raw = text.encode()
    except UnicodeEncodeError as error:
        raise _not_encodable("a text in it is not valid Unicode") from error
    if b"\0" in raw:
        raise _not_encodable("a text in it holds a NUL byte")
    escape = _ESCAPE_IN_SINGLE if single else _ESCAPE_IN_COMPONENT
    return escape(lambda match: b"_%02X" % match[0][0], raw).decode()


def _integer(value: int) -> str:
    if not _INTEGER_MIN <= value <= _INTEGER_MAX:
        raise _not_encodable("its integer is beyond 64 bits, which Meilisearch refuses as an id")
    return str(value)


def _text(value: object) -> str:
    if type(value) is str:
        return value
    if value is None:
        raise _not_encodable("a column of it is null")
    raise _not_encodable(f"a column of it is a {type(value).__name__}: only integers and texts identify a document")


def _not_encodable(why: str) -> ProjectionError:
    return ProjectionError(
        f"The row's key can't become a document id: {why}.",
        code="id_not_encodable",
        remedy="Choose another primary key for the table, or leave this row out with `where`.",
    )
