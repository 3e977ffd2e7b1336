"""docs/configuration.md, from the models: a key that is not described here does not exist."""

from __future__ import annotations

import types
from enum import StrEnum
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from sync_worker.config.model import SECTIONS, FloodGuardSection, secret_keys
from sync_worker.document.declaration import IndexDeclaration
from sync_worker.document.field import FieldDeclaration

_HEAD = """<!-- Made by `python -m sync_worker.config`. Change the models, not this file. -->

# Configuration

One TOML file, `sync-worker.toml` (`--config` names another). `sync-worker.example.toml` is a start, `sync-worker init --table
public.cities` writes a declaration from the database's catalogue, and `sync-worker check` tries everything against the real
services. Every mistake is named at once, with its place and the way to mend it; the worker exits with status 2 before it has
consumed anything.

**Environment.** `SYNC_WORKER_<SECTION>__<KEY>` overrides the file: `SYNC_WORKER_KAFKA__BOOTSTRAP_SERVERS`,
`SYNC_WORKER_MEILISEARCH__ARCHIVE__URL`, `SYNC_WORKER_INDEXES__CITIES__UID`. Names match whatever their case, a hyphen is an
underscore, and lists and tables are written as JSON.

**Secrets** may stand in the file, come from the environment, or from a file of their own: for each key marked *secret* there is
`<key>_file`, relative to the configuration file. They are never printed.

**Editors** complete and check the file with `docs/schemas/sync-worker.schema.json`.
"""

_INSTANCES = """Further instances are tables inside it, `[meilisearch.NAME]` with the same keys; an index picks one with
`meilisearch = "NAME"`.
"""

_FIELDS = """A field is a type alone, `population = "integer"`, or a table:

```toml
title = { type = "text", column = "title_en" }         # renamed
kind = { constant = "city" }                           # the same in every document
internal_note = { omit = true }                        # only the hook sees it
_geo = { type = "geo", lat = "latitude", lng = "longitude" }
embedding = { type = "vector", embedder = "products" }
```

The primary key needs no field: it is there as the id.
"""

_TYPES = """### Types

Null stays null. A value that does not fit goes to the dead letters as `value_misfit`, naming field and column, never the value.
A declared column that is absent from the event is `field_missing`, never null.

| type | takes | gives |
|---|---|---|
| `integer` | integers, integral numeric text (`12`, `12.00`) | an integer from -2^63 to 2^64-1; longer ones do not fit |
| `number` | integers, floats, numeric text | the same, text as the nearest double; finite, integers of 64 bits |
| `boolean` | booleans | the same |
| `text` | text, numbers, booleans | text; numbers and booleans as in JSON. Right for long integers and exact decimals |
| `json` | JSON text, lists, objects | the parsed value; nested at most 127 deep, its numbers finite and its integers of 64 bits |
| `timestamp` | ISO text with or without zone (then UTC), dates | Unix seconds: an integer where whole, else a float |
| `geo` | two columns of numbers | `{"lat": …, "lng": …}`; null where either is null |
| `vector` | a list of numbers, pgvector's text | the list under `_vectors.<embedder>`; null is written explicitly |

A timestamp of `infinity` becomes 253402300799 (the end of the year 9999) and `-infinity` -62135596800 (the start of the year 1),
so that both sort where they belong. PostgreSQL's other dates outside the years 1 to 9999 (it goes from 4713 BC to 294276) do not
fit: index such a column as `text`. Numbers are never taken for timestamps: which unit they count can't be known.

### Ids

Meilisearch takes ids of `A-Z a-z 0-9 _ -`, 1 to 511 bytes. Integers, and texts that are valid already, stay as they are. Other
bytes of a text become `_XX` (UTF-8, uppercase hex), an underscore that would read as such becomes `_5F`, and an empty text is
`_00`. With several columns the components are joined by `__`, and every underscore inside one is `_5F`. The encoding is
reversible, and two keys never get the same id. An integer key stays an integer in the document.

### Conditions

`where` takes a part of SQL: columns, text, numbers, TRUE, FALSE, NULL, `= <> < <= > >=`, AND, OR, NOT, IS [NOT] NULL/TRUE/FALSE,
[NOT] IN, [NOT] BETWEEN, [NOT] LIKE, [NOT] ILIKE, with SQL's three-valued logic. Texts compare by code point, as under
the collation "C"; timestamps are ISO text (`updated >= '2024-05-01T00:00:00Z'`); write numbers without quotes, also for numeric
columns. What can't be compared sends the row to the dead letters as `where_misfit`; `sync-worker check` names what never can.

### Hooks

```python
def add_initial(document: dict, row: dict) -> dict | None:
    document["initial"] = row["name"][:1]
    return document  # None removes it from the index
```

`row` holds the primary key and the declared columns, those with `omit` and those of `where` and `soft_delete` too. The hook may
not change the id. It should be a pure function of its arguments: replays, retries and the drift report call it again.
"""


def configuration_page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for name, section in SECTIONS.items():
        parts.append(f"## [{name}]\n\n{section.__doc__}\n")
        if name == "meilisearch":
            parts.append(_INSTANCES)
        parts.append(_table(section))
        if name == "worker":
            parts.append(f"### [worker.flood_guard]\n\n{FloodGuardSection.__doc__}\n")
            parts.append(_table(FloodGuardSection))
    parts.append(f"## [indexes.NAME]\n\n{IndexDeclaration.__doc__}\n")
    parts.append(_table(IndexDeclaration))
    parts.append("## [indexes.NAME.fields]\n\n" + _FIELDS)
    parts.append(_table(FieldDeclaration))
    parts.append(_TYPES)
    return "\n".join(parts)


def _table(model: type[BaseModel]) -> str:
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("internal"):
            continue
        kind = _kind(field.annotation) + (" *secret*" if name in secret_keys(model) else "")
        lines.append(f"| `{name}` | {kind} | {_default(field)} | {(field.description or '').replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    default = field.default
    if default is PydanticUndefined or default is None or default == "":
        return ""
    if isinstance(default, SecretStr):
        return f"`{default.get_secret_value()}`"  # a default is published in the source: no secret
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:_}`" if isinstance(default, int) and default >= 10_000 else f"`{default}`"


def _kind(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return _kind(next(part for part in get_args(annotation) if part is not type(None)))
    if origin is dict:
        return "table"
    if origin is tuple:
        return "text or list"
    if get_args(annotation):
        return _kind(get_args(annotation)[0])
    if annotation in (str, SecretStr):
        return "text"
    if annotation is bool:
        return "boolean"
    if annotation is int:
        return "integer"
    if annotation is float:
        return "number"
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return " ".join(f"`{member}`" for member in annotation)
    return "table" if isinstance(annotation, type) and issubclass(annotation, BaseModel) else "any"
