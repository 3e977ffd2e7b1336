"""Whether a document that the server returns is the one that was sent.

The server keeps each field's JSON as it came and parses it when it answers, so that texts, integers, null, the order of lists
and the difference between a missing field and null come back as they were. Two things do not: a float may come back as one of
its neighbours (Meilisearch's JSON parser trades the last bits for speed), and vectors come back as 32-bit floats inside an
object of the server's own. tests/conformance/test_stored_is_returned.py holds all of it to a real server.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Collection
from typing import Any

import orjson

from sync_worker.drift.model import Document

VECTORS = "_vectors"
_MISSING = object()
_NEIGHBOURS = 8
"""How many doubles a float may be off. Two were seen, among 24,000 random ones, where one in six was off at all."""


def canonical(document: Document) -> bytes:
    """The same bytes for the same document, whatever the order of its fields. Raises TypeError for what is no JSON."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def differing_fields(expected: Document, indexed: Document, *, quantized: Collection[str] = ()) -> tuple[str, ...]:
    """Names of the top-level fields that differ, sorted; empty where the documents are the same.

    Args:
        quantized: embedders that keep one bit of each component.
    """
    if VECTORS not in expected and VECTORS not in indexed and canonical(expected) == canonical(indexed):
        return ()
    names = (expected.keys() | indexed.keys()) - {VECTORS}
    found = [name for name in names if not _same(expected.get(name, _MISSING), indexed.get(name, _MISSING))]
    if not _same_vectors(expected.get(VECTORS), indexed.get(VECTORS), quantized):
        found.append(VECTORS)
    return tuple(sorted(found))


def _same(one: Any, other: Any) -> bool:
    kind = type(one)
    if kind is not type(other):
        return False
    if kind is dict:
        return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())
    if kind is list:
        return len(one) == len(other) and all(map(_same, one, other))
    if kind is float:
        return _near(one, other)
    return bool(one == other)


def _near(one: float, other: float) -> bool:
    if math.copysign(1.0, one) != math.copysign(1.0, other):
        return False
    return one == other or abs(one - other) <= _NEIGHBOURS * math.ulp(max(abs(one), abs(other)))


def _same_vectors(expected: Any, indexed: Any, quantized: Collection[str]) -> bool:
    """Only embedders that the expected document speaks of: what it leaves out, a write leaves as it is."""
    if not isinstance(expected, dict):
        return True
    held = indexed if isinstance(indexed, dict) else {}
    for name, value in expected.items():
        wanted, present = _vectors(value), _vectors(held.get(name))
        if wanted is None:
            continue  # the server makes it
        if present is None:
            return False
        same = _same_bits(wanted, present) if name in quantized else _rounded(wanted) == _rounded(present)
        if not same:
            return False
    return True


def _vectors(value: Any) -> list[list[float]] | None:
    """Of all the forms in which vectors are written and returned; None where the server makes them by itself."""
    if isinstance(value, dict):
        if value.get("regenerate") is True:
            return None
        value = value.get("embeddings")
    if not value:
        return []
    return value if isinstance(value[0], list) else [value]


def _rounded(vectors: list[list[float]]) -> list[tuple[float, ...]]:
    return [struct.unpack(f"<{len(vector)}f", struct.pack(f"<{len(vector)}f", *vector)) for vector in vectors]


def _same_bits(sent: list[list[float]], returned: list[list[float]]) -> bool:
    """One bit of each component is kept, and comes back as 1 beside 0 or -1. What becomes of a zero depends on the distance."""
    if [len(vector) for vector in sent] != [len(vector) for vector in returned]:
        return False
    pairs = [pair for one, other in zip(sent, returned, strict=True) for pair in zip(one, other, strict=True)]
    return all((component > 0) == (kept > 0) for component, kept in pairs if component != 0)
