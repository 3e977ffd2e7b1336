"""Reports as machines read them: one JSON object with the report's name and `schema_version`, and its JSON Schema.

A report is a frozen dataclass that bears `@report("name")`. `python -m sync_worker.operations.schemas docs/schemas` writes a
schema file for each. Names of fields are stable: a field that changes its meaning, or goes, raises the version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")

REPORTS: dict[str, type] = {}
"""Name → the report's class."""

_VERSIONS: dict[type, tuple[str, int]] = {}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def report(name: str, *, version: int = 1) -> Callable[[type[T]], type[T]]:
    """Register a frozen dataclass as the report of a verb. Put it above `@dataclass`."""

    def register(made: type[T]) -> type[T]:
        REPORTS[name] = made
        _VERSIONS[made] = (name, version)
        return made

    return register


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}


def _adapter(made: type) -> TypeAdapter[Any]:
    if made not in _ADAPTERS:
        _ADAPTERS[made] = TypeAdapter(made)
    return _ADAPTERS[made]


def as_document(value: object) -> dict[str, Any]:
    """What `--json` prints of a report. Raises KeyError for a class that is no report."""
    name, version = _VERSIONS[type(value)]
    content: dict[str, Any] = _adapter(type(value)).dump_python(value, mode="json")
    return {"report": name, "schema_version": version} | content


def schema_of(made: type) -> dict[str, Any]:
    """The JSON Schema of what `as_document` gives: every field is always there, and no other."""
    name, version = _VERSIONS[made]
    schema = _adapter(made).json_schema(mode="serialization")
    for part in [schema, *schema.get("$defs", {}).values()]:
        _close(part)
    own = {"report": {"const": name}, "schema_version": {"const": version}}
    schema["properties"] = own | schema.get("properties", {})
    schema["required"] = [*own, *schema.get("required", [])]
    schema["$defs"] = schema.pop("$defs", {})
    return {"$schema": _DIALECT, "title": name} | {key: value for key, value in schema.items() if key != "title"}


def _close(part: Mapping[str, Any]) -> None:
    if part.get("type") == "object" and "properties" in part and isinstance(part, dict):
        part["required"] = list(part["properties"])
        part["additionalProperties"] = False
        for field in part["properties"].values():
            field.pop("default", None)
