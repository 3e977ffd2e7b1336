"""What a real Meilisearch is known to refuse or to choke on, found before it is sent.

Each rule was seen on a 1.50 server or read in its source. A document that fails here would fail all documents that the server
merges with it; one that is nested too deeply may even be *accepted*, and every search that finds it fails from then on.
Codes are Meilisearch's own where its answer has one that fits; where it only says `internal`, they are ours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sync_worker.document.geojson import is_geojson
from sync_worker.document.ids import MAX_ID_BYTES
from sync_worker.document.value import FLOAT32_MAX, INTEGER_MAX, INTEGER_MIN
from sync_worker.errors import RefusedDocument

MAX_NESTING = 127
"""Arrays and objects inside one another in a field. A field with 128 can be stored by an update and never be read again."""
MAX_FIELDS = 65_535
"""Field names an index can hold; they are numbered with 16 bits, nested ones included."""
MAX_VECTORS = 256
"""Embeddings of one document for one embedder; a 1.50 server takes more and drops them without a word."""


@dataclass(frozen=True, slots=True)
class VectorRules:
    """What the index's settings say about vectors.

    Attributes:
        dimensions: embedder → length of its embeddings, where it is declared.
        provided: embedders with `source: userProvided`. A new document that says nothing about one of them fails its batch.
    """

    dimensions: Mapping[str, int]
    provided: frozenset[str]


_VALID_ID = re.compile(r"[A-Za-z0-9_-]+").fullmatch
_RUST_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?").fullmatch
_CHECKED_BY_SHAPE = frozenset(("_geo", "_vectors"))
_ABSENT = object()
_ONLY_TEXTS = frozenset((str,))
_REMEDY_SOURCE = "Correct the value in the source; its next change brings the document in."


def check(document: Mapping[str, Any], id_field: str, rules: VectorRules) -> None:
    """Walk through the whole document. Needed only where a hook made it.

    Raises:
        RefusedDocument: messages name the field, never the value.
    """
    check_id(document, id_field)
    fields = 0
    for field, value in document.items():
        fields += 1
        if type(field) is not str:
            raise _not_json(str(type(field)))
        if field not in _CHECKED_BY_SHAPE:
            fields += check_value(field, value)
    if fields > MAX_FIELDS:
        raise RefusedDocument(
            f"The document has more than {MAX_FIELDS} fields, and an index can't hold more.",
            code="max_fields_limit_exceeded",
            remedy="Leave out the json field that holds data as names, or turn it into a list in a hook.",
        )
    if "_geo" in document:
        check_geo(document["_geo"])
    if "_geojson" in document:
        check_geojson(document["_geojson"])
    if "_vectors" in document or rules.provided:
        check_vectors(document.get("_vectors", {}), rules)


def check_id(document: Mapping[str, Any], id_field: str) -> None:
    """The document's id is there and within Meilisearch's alphabet."""
    value = document.get(id_field)
    if value is None and id_field not in document:
        raise RefusedDocument(f"The document has no field `{id_field}`, which is its id.", code="missing_document_id")
    valid = (
        INTEGER_MIN <= value <= INTEGER_MAX
        if type(value) is int
        else type(value) is str and len(value) <= MAX_ID_BYTES and _VALID_ID(value) is not None
    )
    if not valid:
        raise RefusedDocument(
            f"The document's id (`{id_field}`) is neither an integer of 64 bits nor 1 to {MAX_ID_BYTES} of A-Z a-z 0-9 _ -.",
            code="invalid_document_id",
        )


def check_value(field: str, value: Any) -> int:
    """Depth and scalars of one field's value; returns how many field names are inside."""
    if type(value) is not dict and type(value) is not list:
        _check_scalar(field, value)
        return 0
    names = 0
    level: list[Any] = [value]
    depth = 0
    # Level by level instead of by recursion: a hostile value must not reach Python's own limit.
    while level:
        depth += 1
        inner: list[Any] = []
        for container in level:
            if type(container) is dict:
                names += len(container)
                if not _ONLY_TEXTS.issuperset(map(type, container)):
                    raise _not_json(field)
                _check_texts(field, container)
                values = container.values()
            else:
                values = container
            if _ONLY_TEXTS.issuperset(map(type, values)):
                _check_texts(field, values)
                continue
            for item in values:
                kind = type(item)
                if kind is dict or kind is list:
                    inner.append(item)
                elif kind is not str or not item.isascii():
                    _check_scalar(field, item)
        if depth > MAX_NESTING:
            raise too_deep(field)
        level = inner
    return names


def too_deep(field: str) -> RefusedDocument:
    return RefusedDocument(
        f"Field `{field}` is nested deeper than {MAX_NESTING}: "
        "Meilisearch may store it and then fails every search that finds it.",
        code="nested_too_deep",
        remedy=_REMEDY_SOURCE,
    )


def _check_texts(field: str, texts: Iterable[str]) -> None:
    try:
        "\n".join(texts).encode()
    except UnicodeEncodeError:
        raise RefusedDocument(
            f"Field `{field}` holds half of a surrogate pair, which is no valid text.",
            code="invalid_text",
            remedy=_REMEDY_SOURCE,
        ) from None


def _check_scalar(field: str, value: Any) -> None:
    kind = type(value)
    if kind is str:
        if not value.isascii():
            _check_texts(field, (value,))
    elif kind is float:
        if not math.isfinite(value):
            raise RefusedDocument(
                f"Field `{field}` holds a number that is not finite.", code="malformed_payload", remedy=_REMEDY_SOURCE
            )
    elif kind is int:
        if not INTEGER_MIN <= value <= INTEGER_MAX:
            raise RefusedDocument(
                f"Field `{field}` holds an integer beyond 64 bits, of which Meilisearch would make a rounded float.",
                code="number_out_of_range",
                remedy="Store it as text.",
            )
    elif kind is not bool and value is not None:
        raise _not_json(field)


def check_geo(value: Any) -> None:
    """`_geo` is null or an object of just `lat` and `lng`, finite numbers or their text."""
    if value is None:
        return
    if type(value) is not dict:
        raise _geo("is not an object")
    if set(value) != {"lat", "lng"}:
        raise _geo("must hold exactly `lat` and `lng`")
    for name, degrees in value.items():
        kind = type(degrees)
        finite = (
            math.isfinite(float(degrees)) if kind in (int, float) or (kind is str and _RUST_FLOAT(degrees) is not None) else False
        )
        if not finite:
            raise _geo(f"has a `{name}` that is not a finite number")


def check_geojson(value: Any) -> None:
    """`_geojson` is a GeoJSON object; the server refuses even null."""
    if not is_geojson(value):
        raise RefusedDocument(
            "`_geojson` is no GeoJSON that Meilisearch takes; where there is none, the field must be left out.",
            code="invalid_document_geo_field",
            remedy=_REMEDY_SOURCE,
        )


def check_vectors(value: Any, rules: VectorRules) -> None:
    """`_vectors` is an object of embedder → null, an embedding, a list of embeddings, or {regenerate, embeddings}."""
    if type(value) is not dict:
        raise _vectors("is not an object of embedders")
    for embedder in rules.provided:
        vectors = value.get(embedder, _ABSENT)
        if vectors is _ABSENT or (type(vectors) is dict and vectors.get("regenerate") is True):
            raise RefusedDocument(
                f"`_vectors.{embedder}` has to be provided: without it a new document fails together with its whole batch.",
                code="vector_embedding_error",
                remedy="Write None where there is no vector.",
            )
    for embedder, vectors in value.items():
        if type(embedder) is not str:
            raise _vectors("has a name that is not a text")
        if type(vectors) is dict:
            if set(vectors) - {"regenerate", "embeddings"}:
                raise _vectors(f".{embedder} may only hold `regenerate` and `embeddings`")
            if type(vectors.get("regenerate")) is not bool:
                raise _vectors(f".{embedder} needs a boolean `regenerate`")
            vectors = vectors.get("embeddings")
        if vectors is None:
            continue
        if type(vectors) is not list:
            raise _vectors(f".{embedder} is not a list of numbers")
        embeddings = vectors if vectors and type(vectors[0]) is list else [vectors] if vectors else []
        if len(embeddings) > MAX_VECTORS:
            raise RefusedDocument(
                f"`_vectors.{embedder}` holds more than {MAX_VECTORS} embeddings.", code="too_many_vectors", remedy=_REMEDY_SOURCE
            )
        expected = rules.dimensions.get(embedder)
        for embedding in embeddings:
            if type(embedding) is not list or not all(
                type(number) in (int, float) and -FLOAT32_MAX <= number <= FLOAT32_MAX for number in embedding
            ):
                raise _vectors(f".{embedder} is not a list of finite 32-bit floats")
            if expected is not None and len(embedding) != expected:
                raise RefusedDocument(
                    f"`_vectors.{embedder}` has {len(embedding)} dimensions, and the embedder takes {expected}.",
                    code="invalid_vector_dimensions",
                    remedy="Embed the row again with the model that the index's settings name.",
                )


def check_size(line: bytes, max_bytes: int) -> None:
    """The document alone fits into a payload."""
    if len(line) > max_bytes:
        raise RefusedDocument(
            f"The document is {len(line)} bytes of JSON, above the payload limit of {max_bytes}.",
            code="payload_too_large",
            remedy="Omit the large field, or raise meilisearch.max_payload_bytes and the server's --http-payload-size-limit.",
        )


def _geo(what: str) -> RefusedDocument:
    return RefusedDocument(f"`_geo` {what}.", code="invalid_document_geo_field", remedy=_REMEDY_SOURCE)


def _vectors(what: str) -> RefusedDocument:
    joint = "" if what.startswith(".") else " "
    return RefusedDocument(f"`_vectors`{joint}{what}.", code="invalid_vectors_type", remedy=_REMEDY_SOURCE)


def _not_json(field: str) -> RefusedDocument:
    return RefusedDocument(
        f"Field `{field}` holds something that JSON has no form for.",
        code="malformed_payload",
        remedy="Return only dicts with text keys, lists, texts, numbers, booleans and None from the hook.",
    )
