"""Reading documents: fetch, single documents, and a search that matches words and prefixes. Ranking is not modelled."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sync_worker.testing.meilisearch import poison
from sync_worker.testing.meilisearch.documents import Document
from sync_worker.testing.meilisearch.errors import ApiError
from sync_worker.testing.meilisearch.filters import compile_filter, field_values
from sync_worker.testing.meilisearch.index import Index, Stored
from sync_worker.testing.meilisearch.json_text import Unreadable, found_text
from sync_worker.testing.meilisearch.settings import filterable_patterns

_FETCH_FIELDS = ("offset", "limit", "fields", "retrieveVectors", "ids", "filter", "sort", "useNetwork")
_SEARCH_FIELDS = (
    "q",
    "offset",
    "limit",
    "page",
    "hitsPerPage",
    "attributesToRetrieve",
    "attributesToCrop",
    "cropLength",
    "cropMarker",
    "attributesToHighlight",
    "highlightPreTag",
    "highlightPostTag",
    "showMatchesPosition",
    "filter",
    "sort",
    "distinct",
    "facets",
    "matchingStrategy",
    "attributesToSearchOn",
    "rankingScoreThreshold",
    "locales",
    "hybrid",
    "vector",
    "retrieveVectors",
    "media",
    "personalize",
    "useNetwork",
    "showRankingScore",
    "showRankingScoreDetails",
    "showPerformanceDetails",
)
_WORD = re.compile(r"\w+")

Row = tuple[str, Stored]


def fetch(index: Index, body: Mapping[str, Any]) -> dict[str, Any]:
    """`documents/fetch`: order is internal unless sorted. Raises ApiError."""
    for name in body:
        if name not in _FETCH_FIELDS:
            raise ApiError("bad_request", f"Unknown field `{name}`: expected one of {_names(_FETCH_FIELDS)}")
    _check_types(body)
    offset, limit = body.get("offset") or 0, 20 if body.get("limit") is None else body["limit"]
    rows: Iterable[Row] = index.ordered()
    if body.get("ids") is not None:
        wanted = {str(uid) for uid in body["ids"]}
        rows = [(uid, stored) for uid, stored in rows if uid in wanted]
    if body.get("filter") is not None:
        test = compile_filter(body["filter"], filterable_patterns(index.settings), "invalid_document_filter")
        rows = [row for row in rows if test(row[1].fields)]
    rows = _sorted(list(rows), body.get("sort"), index, "invalid_document_sort")
    page = rows[offset : offset + limit]
    with_vectors = body.get("retrieveVectors") is True
    return {
        "results": [shown(index, stored.fields, body.get("fields"), with_vectors) for _, stored in page],
        "offset": offset,
        "limit": limit,
        "total": len(rows),
    }


def _check_types(body: Mapping[str, Any]) -> None:
    for name, word in (
        ("offset", "a positive integer"),
        ("limit", "a positive integer"),
        ("fields", "an array"),
        ("ids", "an array"),
    ):
        value = body.get(name)
        fits = value is None or (isinstance(value, list) if word == "an array" else isinstance(value, int) and value >= 0)
        if not fits:
            raise ApiError(
                f"invalid_document_{name}", f"Invalid value type at `.{name}`: expected {word}, but found {found_text(value)}"
            )


def one(index: Index, uid: str, fields: Sequence[str] | None, with_vectors: bool) -> Document:
    """Raises ApiError `document_not_found`, or `internal` for a document that cannot be read."""
    if uid not in index.documents:
        raise ApiError("document_not_found", f"Document `{uid}` not found.")
    return shown(index, index.documents[uid].fields, fields, with_vectors)


def shown(index: Index, document: Document, fields: Sequence[str] | None, with_vectors: bool) -> Document:
    """The chosen fields. Raises ApiError `internal` when one of them is stored poison."""
    every = fields is None or "*" in fields
    chosen = {name: value for name, value in document.items() if (every or name in (fields or ())) and name != "_vectors"}
    for value in chosen.values():
        if isinstance(value, Unreadable):
            raise poison.unreadable(value)
    if with_vectors and (every or "_vectors" in (fields or ())):
        chosen["_vectors"] = {
            name: {"embeddings": poison.embeddings(value), "regenerate": False}
            if name in index.settings["embedders"]
            else value or []
            for name, value in document.get("_vectors", {}).items()
        }
    return chosen


def search(index: Index, body: Mapping[str, Any]) -> dict[str, Any]:
    """Documents in which every word of the query begins a word of a searchable field. Raises ApiError."""
    for name in body:
        if name not in _SEARCH_FIELDS:
            raise ApiError("bad_request", f"Unknown field `{name}`: expected one of {_names(_SEARCH_FIELDS)}")
    query = body.get("q") or ""
    words = [word.lower() for word in _WORD.findall(query)]
    searched = index.settings["searchableAttributes"]
    rows = [row for row in index.ordered() if _matches(row[1].fields, words, searched)]
    if body.get("filter") is not None:
        test = compile_filter(body["filter"], filterable_patterns(index.settings), "invalid_search_filter")
        rows = [row for row in rows if test(row[1].fields)]
    rows = _sorted(rows, body.get("sort"), index, "invalid_search_sort")
    answer: dict[str, Any]
    rows, answer = _page(rows, body, index.settings["pagination"]["maxTotalHits"])
    displayed = index.settings["displayedAttributes"]
    wanted = body.get("attributesToRetrieve") or ["*"]
    if "*" not in displayed:
        wanted = [name for name in displayed if "*" in wanted or name in wanted]
    hits = [shown(index, stored.fields, wanted, body.get("retrieveVectors") is True) for _, stored in rows]
    return {"hits": hits, "query": query, "processingTimeMs": 0, **answer, "requestUid": str(uuid.uuid4())}


def _page(rows: list[Row], body: Mapping[str, Any], most: int) -> tuple[list[Row], dict[str, Any]]:
    total = len(rows)
    rows = rows[:most]
    if body.get("page") is not None or body.get("hitsPerPage") is not None:
        size, page = body.get("hitsPerPage", 20), body.get("page", 1)
        start = size * max(page - 1, 0)
        pages = -(-total // size) if size else 0
        return rows[start : start + size] if page else [], {
            "hitsPerPage": size,
            "page": page,
            "totalPages": pages,
            "totalHits": total,
        }
    offset, limit = body.get("offset") or 0, 20 if body.get("limit") is None else body["limit"]
    return rows[offset : offset + limit], {"limit": limit, "offset": offset, "estimatedTotalHits": total}


def _matches(document: Document, words: Sequence[str], searched: Sequence[str]) -> bool:
    if not words:
        return True
    names = document.keys() if "*" in searched else searched
    text = [word for name in names for value in field_values(document, name) for word in _words(value)]
    return all(any(candidate.startswith(word) for candidate in text) for word in words)


def _words(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [word for inner in value.values() for word in _words(inner)]
    if isinstance(value, list):
        return [word for inner in value for word in _words(inner)]
    if value is None or isinstance(value, bool | Unreadable):
        return []
    return _WORD.findall(str(value).lower())


def _sorted(rows: list[Row], sort: Any, index: Index, code: str) -> list[Row]:
    """By each criterion in turn: numbers before text, absent last, as the server does."""
    criteria = sort if isinstance(sort, list) else [sort] if sort else []
    for criterion in reversed(criteria):
        name, _, direction = str(criterion).rpartition(":")
        if direction not in {"asc", "desc"}:
            raise ApiError(
                code,
                f"Invalid syntax for the sort parameter: expected expression ending by `:asc` or `:desc`, found `{criterion}`.",
            )
        if name not in index.settings["sortableAttributes"]:
            raise ApiError(code, _not_sortable(name, index.settings["sortableAttributes"]))
        rows = _by_field(rows, name, direction == "desc")
    return rows


def _by_field(rows: list[Row], name: str, descending: bool) -> list[Row]:
    numbers, texts, rest = [], [], []
    for row in rows:
        values = field_values(row[1].fields, name)
        value = values[0] if values else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            numbers.append((value, row))
        elif isinstance(value, str):
            texts.append((value.lower(), row))
        else:
            rest.append(row)
    numbers.sort(key=lambda pair: pair[0], reverse=descending)
    texts.sort(key=lambda pair: pair[0], reverse=descending)
    return [row for _, row in numbers] + [row for _, row in texts] + rest


def _not_sortable(name: str, sortable: Sequence[str]) -> str:
    if not sortable:
        return f"Attribute `{name}` is not sortable. This index does not have configured sortable attributes."
    return f"Attribute `{name}` is not sortable. Available sortable attributes are: {_names(sortable)}."


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
