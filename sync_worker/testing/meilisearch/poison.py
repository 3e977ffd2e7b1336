"""What the server finds wrong with a document only while it indexes, and then fails a whole batch for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sync_worker.testing.meilisearch.documents import Document
from sync_worker.testing.meilisearch.errors import ApiError
from sync_worker.testing.meilisearch.json_text import Unreadable, compact, found_text, wrong_type


def unreadable(field: Unreadable) -> ApiError:
    return ApiError("internal", f"internal: {field.problem}.")


def check_geo(document_id: str, document: Document) -> None:
    """Raises ApiError `invalid_document_geo_field` unless `_geo` is absent, null, or exactly two finite numbers (as text too)."""
    geo = document.get("_geo")
    if geo is None:
        return
    where = f"the document with the id: `{compact(document_id)}`"
    if not isinstance(geo, dict):
        raise _geo(
            f"The `_geo` field in {where} is not an object. Was expecting an object with the `_geo.lat` and `_geo.lng` fields "
            f"but instead got `{compact(geo)}`."
        )
    absent = [name for name in ("lat", "lng") if name not in geo]
    if len(absent) == 2:
        raise _geo(f"Could not find latitude nor longitude in {where}. Was expecting `_geo.lat` and `_geo.lng` fields.")
    if absent:
        word = "latitude" if absent == ["lat"] else "longitude"
        raise _geo(f"Could not find {word} in {where}. Was expecting a `_geo.{absent[0]}` field.")
    bad = [name for name in ("lat", "lng") if not _is_finite(geo[name])]
    if len(bad) == 2:
        got = f"`{compact(geo['lat'])}` and `{compact(geo['lng'])}`"
        raise _geo(f"Could not parse latitude nor longitude in {where}. Was expecting finite numbers but instead got {got}.")
    if bad:
        word = "latitude" if bad == ["lat"] else "longitude"
        got = compact(geo[bad[0]])
        raise _geo(f"Could not parse {word} in {where}. Was expecting a finite number but instead got `{got}`.")
    extra = {key: value for key, value in geo.items() if key not in {"lat", "lng"}}
    if extra:
        raise _geo(f"The `_geo` field in {where} contains the following unexpected fields: `{compact(extra)}`.")


def _geo(message: str) -> ApiError:
    return ApiError("invalid_document_geo_field", message)


def _is_finite(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


def check_vectors(document_id: str, vectors: Any, embedders: Mapping[str, Any]) -> None:
    """Shape and dimensions. Raises ApiError `internal`, `invalid_vectors_type` or `invalid_vector_dimensions`."""
    if not isinstance(vectors, dict):
        raise ApiError("internal", wrong_type(vectors, "a map", compact(vectors).encode()))
    for name, value in vectors.items():
        _check_shape(document_id, name, value)
        dimensions = (embedders.get(name) or {}).get("dimensions")
        for number, embedding in enumerate(embeddings(value) if dimensions is not None else ()):
            if len(embedding) != dimensions:
                raise ApiError(
                    "invalid_vector_dimensions",
                    f"Invalid vector dimensions in document with id `{document_id}` in `._vectors.{name}`.\n"
                    f"  - note: embedding #{number} has dimensions {len(embedding)}\n"
                    f"  - note: embedder `{name}` requires {dimensions}",
                )


def embeddings(value: Any) -> list[Any]:
    """The embeddings of one `_vectors` entry, whichever of the four ways it was written."""
    given = value.get("embeddings") if isinstance(value, dict) else value
    if not given:
        return []
    return list(given) if isinstance(given[0], list) else [given]


def _check_shape(document_id: str, name: str, value: Any) -> None:
    where = f"Bad embedder configuration in the document with id: `{document_id}`. "
    if value is not None and not isinstance(value, list | dict):
        kind = "boolean" if isinstance(value, bool) else "string" if isinstance(value, str) else "integer"
        kind = "float" if isinstance(value, float) else kind
        raise ApiError(
            "invalid_vectors_type",
            f"{where}Expected `._vectors.{name}` to be an array of floats, an array of arrays of floats, or an object with at "
            f"least the field `regenerate`, but got the {kind} `{value}`",
        )
    for position, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, bool) or not isinstance(item, int | float | list):
            raise ApiError(
                "invalid_vectors_type",
                f"{where}Invalid value type at `._vectors.{name}[{position}]`: expected a number or an array, but found "
                f"{found_text(item)}",
            )


def check_embedded(document_id: str, document: Document, embedders: Mapping[str, Any]) -> None:
    """A new document needs a vector, or an explicit null, for each `userProvided` embedder."""
    given = document.get("_vectors") or {}
    for name, embedder in embedders.items():
        if embedder.get("source") == "userProvided" and name not in given:
            raise ApiError(
                "vector_embedding_error",
                f"While embedding documents for embedder `{name}`: no vectors provided for document `{document_id}`\n"
                f"- Note: `{name}` has `source: userProvided`, so documents must provide embeddings as an array in "
                f"`_vectors.{name}`.\n- Hint: opt-out for a document with `_vectors.{name}: null`",
            )
