"""A first declaration for a table, as TOML, ready to edit: what `sync-worker init` writes. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from sync_worker.adapters.source.catalogue import TableDescription
from sync_worker.adapters.source.columns import Column
from sync_worker.adapters.source.fits import fit
from sync_worker.adapters.source.soundness import Severity, column_problems
from sync_worker.adapters.source.values import ColumnType
from sync_worker.document.value import FieldType

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_LATITUDE = ("latitude", "lat")
_LONGITUDE = ("longitude", "lng", "lon", "long")
_SOFT_DELETE = re.compile(r"(is_?|soft_?)?(deleted|removed|discarded)(_?(at|on|time|ts))?|date_(deleted|removed)", re.IGNORECASE)
_SOFT_DELETE_TYPES = ("bool", "date", "timestamp", "timestamptz")
_COORDINATES = ("numeric", "float4", "float8")


def suggest_declaration(table: TableDescription, *, server_version: int = 180000) -> str:
    """`[indexes.NAME]` with one typed field per column, and settings to start from.

    Columns that can't be indexed are there as comments that say why, and so are those that look as if they marked rows as
    deleted. Latitude and longitude become `_geo`.
    """
    geo = _coordinates(table)
    name = re.sub(r"[^A-Za-z0-9_-]", "_", table.table.partition(".")[2])
    lines = [f"[indexes.{name}]", f"table = {_quoted(table.table)}"]
    if table.primary_key:
        lines.append(f"primary_key = {_list(table.primary_key)}")
        if table.deferrable_key:
            lines.append("deferrable_key = true")
    else:
        lines.append(f"# {table.table} has no primary key: it can't be indexed before it has one.")
        lines.append('primary_key = ["…"]')
    lines += [
        f"# soft_delete = {_quoted(column)}  # uncomment it, and rows where it is neither null nor false leave the index"
        for column in _soft_deletes(table)
    ]
    lines += ["", f"[indexes.{name}.fields]"]
    kinds: dict[str, str] = {}
    for column in table.columns:
        field, kind = _field(table, column, server_version)
        lines += field
        if kind is not None:
            kinds[column.name] = kind
    if geo is not None:
        lines.append(f'_geo = {{ type = "geo", lat = {_quoted(geo[0])}, lng = {_quoted(geo[1])} }}')
    lines += ["", f"[indexes.{name}.settings]", *_settings(table, kinds, geo is not None)]
    return "\n".join(lines) + "\n"


def _field(table: TableDescription, column: Column, server_version: int) -> tuple[list[str], str | None]:
    key = _key(column.name)
    problems = column_problems(
        table.table,
        column,
        used=True,
        sent=not column.generated or _publishable(column, server_version),
        server_version=server_version,
    )
    refused = next((problem for problem in problems if problem.severity is Severity.ERROR), None)
    if refused is not None:
        return [f"# {key}: {refused.what}"], None
    kind, reason = _kind(column.type)
    if kind is None:
        return [f"# {key} = {{ omit = true }}  # {column.written}: {reason}"], None
    notes = [f"# {key}: {problem.what}" for problem in problems]
    if column.name in ("_geo", "_geojson", "_vectors"):
        return [f"# {key}: Meilisearch reads this name itself; index it under another one, with column = {key}"], None
    return [*notes, f"{key} = {_quoted(kind)}"], kind


def _publishable(column: Column, server_version: int) -> bool:
    return column.generated == "s" and server_version >= 180000


def _kind(column: ColumnType) -> tuple[str | None, str]:
    if not column.array and (column.name == "bytea" or (column.name in ("bit", "varbit") and column.modifier != 1)):
        return None, "arrives as base64, which nobody searches"
    if not column.array and column.name == "sparsevec":
        return None, "Meilisearch takes no sparse vectors"
    fitting = fit(column)
    kind = fitting.always[0] if fitting is not None else FieldType.TEXT
    if kind is FieldType.VECTOR:
        return None, 'name its embedder: { type = "vector", embedder = "…" }'
    return str(kind), ""


def _coordinates(table: TableDescription) -> tuple[str, str] | None:
    names = {
        column.name.lower(): column.name for column in table.columns if column.type.name in _COORDINATES and not column.type.array
    }
    latitude = next((names[name] for name in _LATITUDE if name in names), None)
    longitude = next((names[name] for name in _LONGITUDE if name in names), None)
    return (latitude, longitude) if latitude is not None and longitude is not None else None


def _soft_deletes(table: TableDescription) -> list[str]:
    """Columns that look as if they marked a row as deleted. Only their owner knows, so they are told of and not taken."""
    return [
        column.name
        for column in table.columns
        if _SOFT_DELETE.fullmatch(column.name) and column.type.name in _SOFT_DELETE_TYPES and not column.type.array
    ]


def _settings(table: TableDescription, kinds: dict[str, str], has_geo: bool) -> list[str]:
    def of(*wanted: str) -> list[str]:
        return [name for name, kind in kinds.items() if kind in wanted]

    geo = ["_geo"] if has_geo else []
    keys = [name for name in table.primary_key if name in kinds]
    searchable = [name for name in of("text") if name not in keys] + of("json")
    # Their elements are filtered by one by one, as tags and categories are.
    arrays = [column.name for column in table.columns if column.type.array and column.name in kinds]
    filterable = list(dict.fromkeys([*keys, *of("integer", "number", "boolean", "timestamp"), *arrays, *geo]))
    sortable = [*of("integer", "number", "timestamp"), *geo]
    return [
        f"searchableAttributes = {_list(searchable or ['*'])}",
        f"filterableAttributes = {_list(filterable)}",
        f"sortableAttributes = {_list(sortable)}",
    ]


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _quoted(name)


def _list(names: Iterable[str]) -> str:
    return f"[{', '.join(_quoted(name) for name in names)}]"


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's escapes are a subset of TOML's, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
