"""The JSON schema of sync-worker.toml, for editors that complete and check while one types."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from sync_worker.config.model import SECTIONS, MeilisearchSection, secret_keys
from sync_worker.document.declaration import KNOWN_SETTINGS, IndexDeclaration
from sync_worker.document.field import FieldDeclaration
from sync_worker.document.value import FieldType

DIALECT = "http://json-schema.org/draft-07/schema#"
"""The draft that the TOML plugins of editors understand."""


def json_schema() -> dict[str, Any]:
    """The schema of the whole file. What only pydantic checks (SQL, names that depend on each other) is not in it."""
    definitions: dict[str, Any] = {}
    properties = {name: _definition(section, definitions) for name, section in SECTIONS.items()}
    # [meilisearch] holds the default instance's keys beside tables of further instances, so nothing is required in it.
    meilisearch = definitions[MeilisearchSection.__name__]
    instance = {**meilisearch, "properties": dict(meilisearch["properties"])}
    definitions["MeilisearchInstance"] = instance
    meilisearch["additionalProperties"] = {"$ref": "#/definitions/MeilisearchInstance"}
    meilisearch.pop("required", None)
    properties["indexes"] = {
        "type": "object",
        "description": "One table for each index.",
        "additionalProperties": _definition(IndexDeclaration, definitions),
    }
    index = definitions[IndexDeclaration.__name__]
    del index["properties"]["name"]
    index["properties"]["primary_key"] = {
        "description": index["properties"]["primary_key"]["description"],
        "anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
    }
    index["properties"]["fields"]["additionalProperties"] = {
        "anyOf": [
            {"enum": [str(kind) for kind in FieldType], "description": "The field's type."},
            {"$ref": f"#/definitions/{FieldDeclaration.__name__}"},
        ]
    }
    index["properties"]["settings"]["propertyNames"] = {"enum": sorted(KNOWN_SETTINGS)}
    return {
        "$schema": DIALECT,
        "title": "sync-worker.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "definitions": definitions,
    }


def _definition(model: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/definitions/{model}")
    definitions.update(schema.pop("$defs", {}))
    for key in secret_keys(model):
        schema["properties"][f"{key}_file"] = {"type": "string", "description": f"File that holds `{key}`."}
        _texts(schema["properties"][key])
        if key in schema.get("required", ()):
            # Either form will do, and draft 7 says that more clearly than an anyOf in an editor's message would.
            schema["required"].remove(key)
    definitions[model.__name__] = schema
    return {"$ref": f"#/definitions/{model.__name__}"}


def _texts(secret: dict[str, Any]) -> None:
    """A default that is a secret's mask says nothing."""
    secret.pop("default", None)
