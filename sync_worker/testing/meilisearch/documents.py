"""Documents on their way in: payloads of three formats to documents, documents to ids."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import Any

import orjson

from sync_worker.testing.meilisearch.errors import ApiError
from sync_worker.testing.meilisearch.json_text import (
    MAX_DEPTH,
    JsonError,
    compact,
    elements,
    end_of_value,
    members,
    read_field,
    skip_space,
    wrong_type,
)

Document = dict[str, Any]
"""Field to value; a value that the server could not read back is an Unreadable."""

MAX_ID_BYTES = 511
_ID = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Incoming:
    """One document of a payload with its text, which alone shows a repeated key."""

    fields: Document
    text: bytes | None


def read_ndjson(body: bytes) -> list[Incoming]:
    """Raises ApiError `malformed_payload`, or `internal` for lines that are not objects (seen on a 1.50 server)."""
    found: list[Incoming] = []
    start = 0
    while start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        line = body[start:end]
        try:
            fields = orjson.loads(line)
        except orjson.JSONDecodeError:
            return found + _read_stream(body, start)
        if not isinstance(fields, dict) or line.count(b"{") + line.count(b"[") > MAX_DEPTH:
            return found + _read_stream(body, start)
        found.append(Incoming(fields, line))
        start = end + 1
    return found


def _read_stream(body: bytes, at: int) -> list[Incoming]:
    """The rest of the payload, value by value: lines are a convention that the server does not insist on."""
    found = []
    at = skip_space(body, at)
    while at < len(body):
        try:
            end = end_of_value(body, at)
        except JsonError as stop:
            raise _malformed("ndjson", str(stop)) from stop
        found.append(_incoming("ndjson", body, at, end))
        at = skip_space(body, end)
        if not at < len(body):
            break
        line_end = body.find(b"\n", at)
        line = body[at : line_end if line_end >= 0 else len(body)]
        if line.count(b"{") + line.count(b"[") <= MAX_DEPTH:
            try:
                fields = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if isinstance(fields, dict):
                found.append(Incoming(fields, line))
                at = skip_space(body, at + len(line))
    return found


def _incoming(kind: str, body: bytes, start: int, end: int) -> Incoming:
    text = body[start:end]
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise _malformed(kind, str(JsonError("invalid unicode code point", body, end))) from error
    if not text.startswith(b"{"):
        raise ApiError("internal", wrong_type(read_field(text), "a map", text))
    return Incoming({key: read_field(raw) for key, raw in members(text)}, text)


def read_json(body: bytes) -> list[Incoming]:
    """An array of documents, or one document."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _read_json_slowly(body)
    if isinstance(value, dict):
        return _read_json_slowly(body)
    if (
        isinstance(value, list)
        and all(isinstance(item, dict) for item in value)
        and not any(_may_be_deep(item) for item in value)
    ):
        return [Incoming(item, None) for item in value]
    return _read_json_slowly(body)


def _may_be_deep(document: Document) -> bool:
    """A cheap test that errs on the careful side: only nested values are written out again and counted."""
    nested = [value for value in document.values() if isinstance(value, dict | list)]
    if not nested:
        return False
    text = orjson.dumps(nested, option=orjson.OPT_NON_STR_KEYS)
    return text.count(b"{") + text.count(b"[") > MAX_DEPTH


def _read_json_slowly(body: bytes) -> list[Incoming]:
    at = skip_space(body, 0)
    try:
        end = end_of_value(body, at)
        if skip_space(body, end) < len(body):
            raise JsonError("trailing characters", body, skip_space(body, end) + 1)
    except JsonError as stop:
        # The outermost array is read by another parser of the server's, with its own word for a missing comma.
        raise _malformed("json", str(stop).replace("expected `,` or `]`", "trailing characters")) from stop
    text = body[at:end]
    if not text.startswith((b"[", b"{")):
        raise _malformed("json", "data are neither an object nor a list of objects")
    parts = elements(text) if text.startswith(b"[") else [text]
    return [_incoming("json", part, 0, len(part)) for part in parts]


def read_csv(body: bytes, delimiter: str) -> list[Incoming]:
    """Header cells may carry a type (`price:number`); everything else is text; an empty number is null."""
    rows = csv.reader(io.StringIO(body.decode()), delimiter=delimiter)
    try:
        header = [_csv_column(cell) for cell in next(rows)]
    except StopIteration:
        return []
    found = []
    for row in rows:
        if len(row) != len(header):
            raise _malformed(
                "csv", f"CSV error: found record with {len(row)} fields, but the previous record has {len(header)} fields"
            )
        fields = {name: _csv_value(kind, cell) for (name, kind), cell in zip(header, row, strict=True)}
        found.append(Incoming(fields, None))
    return found


def _csv_column(cell: str) -> tuple[str, str]:
    name, colon, kind = cell.rpartition(":")
    return (name, kind) if colon and kind in {"number", "boolean", "string"} else (cell, "string")


def _csv_value(kind: str, cell: str) -> Any:
    if kind == "string":
        return cell
    if not cell.strip():
        return None
    try:
        return cell.strip() == "true" if kind == "boolean" else orjson.loads(cell.strip())
    except orjson.JSONDecodeError as error:
        raise _malformed("csv", f"Error parsing number {cell!r}") from error


def _malformed(kind: str, problem: str) -> ApiError:
    return ApiError(
        "malformed_payload", f"The `{kind}` payload provided is malformed. `Couldn't serialize document value: {problem}`."
    )


def document_id(document: Incoming, primary_key: str) -> str:
    """The id as the server stores it: text. Raises ApiError `missing_document_id` or `invalid_document_id`."""
    if primary_key not in document.fields:
        raise ApiError("missing_document_id", f"Document doesn't have a `{primary_key}` attribute: `{compact(document.fields)}`.")
    if document.text is not None and document.text.count(b'"' + primary_key.encode() + b'"') > 1:
        twice = [key for key, _ in members(document.text) if key == primary_key]
        if len(twice) > 1:
            raise ApiError(
                "invalid_document_id",
                f"Document have too many matching `{primary_key}` attribute: `{compact(document.fields)}`.",
            )
    return id_text(document.fields[primary_key])


def id_text(value: Any) -> str:
    """An id as text. Raises ApiError `invalid_document_id`."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and _ID.fullmatch(value) and len(value) <= MAX_ID_BYTES:
        return value
    raise ApiError(
        "invalid_document_id",
        f"Document identifier `{compact(value)}` is invalid. A document identifier can be of type integer or string, "
        "only composed "
        "of alphanumeric characters (a-z A-Z 0-9), hyphens (-) and underscores (_), and can not be more than 511 bytes.",
    )
