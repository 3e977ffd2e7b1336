"""What comparing rows with documents rests on: how the server returns what it was sent, value by value, under least rights."""

from __future__ import annotations

import math
import struct
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import orjson
import pytest
from harness import Server

from sync_worker.adapters.meilisearch.documents import MeilisearchDocuments
from sync_worker.adapters.meilisearch.keys import make_worker_keys
from sync_worker.drift.equality import VECTORS, canonical, differing_fields
from sync_worker.drift.expected import Unreadable

SETTINGS = {
    "displayedAttributes": ["id"],
    "searchableAttributes": ["searched"],
    "sortableAttributes": ["_geo"],
    "embedders": {
        "plain": {"source": "userProvided", "dimensions": 3},
        "bits": {"source": "userProvided", "dimensions": 4, "binaryQuantized": True},
    },
}
NO_VECTORS = {"plain": None, "bits": None}

VALUES: dict[str, Any] = {
    "null": None,
    "booleans": [True, False],
    "integers": [0, -1, 2**31, -(2**63), 2**63 - 1, 2**64 - 1, 2**53 + 1],
    "floats": [0.0, -0.0, 1.0, 0.1, 1e16, 1e22, 5e-324, 1.7976931348623157e308, 1700000000.123456],
    "texts": ["", "é", "\x00", "\u2028", "😀", "a" * 70_000, "1", "null", "ﬁ", "e\u0301"],
    "objects": {"": "", "b": 1, "a": {"z": [], "y": {}}, "_geo": 1, "_vectors": {"x": 1}, "$n": "1", "dot.ted": {"x": 1}},
    "lists": [[], [None, [None]], [1, 1.0, "1", True, {}]],
    "dot.ted": "name",
    "name with spaces": 1,
    "ünï": 1,
}


@pytest.fixture
async def documents(server: Server) -> AsyncIterator[tuple[str, MeilisearchDocuments]]:
    """An index with hidden fields and embedders, read with the worker's own key."""
    uid = server.new_index(SETTINGS, prefix="drift")
    reader = MeilisearchDocuments(server.url, make_worker_keys(server.url, server.master_key, ["drift-*"]).worker_key)
    yield uid, reader
    await reader.close()


def write(server: Server, uid: str, *documents: dict[str, Any]) -> None:
    body = b"\n".join(map(orjson.dumps, documents))
    task = server.call("POST", f"/indexes/{uid}/documents", body, content_type="application/x-ndjson").json()["taskUid"]
    [done] = server.finished(task)
    assert done["status"] == "succeeded", done["error"]


async def test_every_value_comes_back_as_it_was_sent(server: Server, documents: tuple[str, MeilisearchDocuments]) -> None:
    """Hidden fields included: types, null beside nothing, signs of zero, 64-bit integers, the order in lists, odd names."""
    uid, reader = documents
    sent = [{"id": number, "value": value, VECTORS: NO_VECTORS} for number, value in enumerate(VALUES.values())]
    sent += [{"id": "all", **VALUES, VECTORS: NO_VECTORS}, {"id": "none", VECTORS: NO_VECTORS}]
    write(server, uid, *sent)
    held = await reader.fetch(uid, "id", [str(one["id"]) for one in sent], vectors=True)
    for one in sent:
        found = held[str(one["id"])]
        assert not isinstance(found, Unreadable)
        assert differing_fields(one, found) == ()
        without = {name: value for name, value in one.items() if name not in (VECTORS, "floats")}
        if one.get("value") is not VALUES["floats"]:
            assert canonical(without) == canonical({n: v for n, v in found.items() if n not in (VECTORS, "floats")})


async def test_a_float_comes_back_as_itself_or_as_its_neighbour(
    server: Server, documents: tuple[str, MeilisearchDocuments]
) -> None:
    """On a real server about one in six is off by a bit or two: further off would be reported as drift that nobody made."""
    uid, reader = documents
    random = Random(7)
    floats = [float(struct.unpack("<d", random.randbytes(8))[0]) for _ in range(8000)]
    floats += [random.uniform(-180, 180) for _ in range(8000)]
    floats += [round(random.uniform(-1e6, 1e6), random.randint(0, 8)) for _ in range(8000)]
    floats = [one for one in floats if math.isfinite(one)]
    lines = [floats[start : start + 1000] for start in range(0, len(floats), 1000)]
    write(server, uid, *({"id": number, "floats": line, VECTORS: NO_VECTORS} for number, line in enumerate(lines)))
    held = await reader.fetch(uid, "id", [str(number) for number in range(len(lines))], vectors=False)
    worst = 0
    for number, line in enumerate(lines):
        found = held[str(number)]
        assert not isinstance(found, Unreadable)
        assert differing_fields({"id": number, "floats": line}, found) == ()
        bits = [struct.unpack("<2q", struct.pack("<2d", one, other)) for one, other in zip(line, found["floats"], strict=True)]
        worst = max(worst, *(abs(one - other) for one, other in bits))
    assert worst <= 4


@pytest.mark.parametrize(
    "geo", [None, {"lat": 1, "lng": -0.0}, {"lat": 89.99999999999999, "lng": -179.1}, {"lat": "1.50", "lng": "2"}]
)
async def test_coordinates_come_back_as_they_were_sent(
    server: Server, documents: tuple[str, MeilisearchDocuments], geo: Any
) -> None:
    """The server keeps what it was given, whatever it makes of it for sorting."""
    uid, reader = documents
    write(server, uid, {"id": 1, "_geo": geo, VECTORS: NO_VECTORS})
    found = (await reader.fetch(uid, "id", ["1"], vectors=False))["1"]
    assert not isinstance(found, Unreadable)
    assert differing_fields({"id": 1, "_geo": geo}, found) == ()


@pytest.mark.parametrize(
    "vectors",
    [
        {"plain": [0.1, -2, 3e38], "bits": [0.5, -0.5, 0.0, -0.0]},
        {"plain": [[0.1, 0.2, 0.3], [1, 2, 3]], "bits": None},
        {"plain": {"regenerate": False, "embeddings": [1, 2, 3]}, "bits": {"regenerate": False, "embeddings": [[1, -1, 1, -1]]}},
        {"plain": [], "bits": None},
        NO_VECTORS,
        {**NO_VECTORS, "undeclared": [1.5, 2]},
    ],
)
async def test_vectors_of_every_form_are_the_same_when_they_come_back(
    server: Server, documents: tuple[str, MeilisearchDocuments], vectors: Any
) -> None:
    """As 32-bit floats, or as one bit each; and another vector is another vector."""
    uid, reader = documents
    sent = {"id": 1, VECTORS: vectors}
    write(server, uid, sent)
    found = (await reader.fetch(uid, "id", ["1"], vectors=True))["1"]
    assert not isinstance(found, Unreadable)
    assert differing_fields(sent, found, quantized={"bits"}) == ()
    assert differing_fields({"id": 1, VECTORS: {**vectors, "plain": [9, 9, 9]}}, found, quantized={"bits"}) == (VECTORS,)


async def test_one_unreadable_document_costs_one(server: Server, documents: tuple[str, MeilisearchDocuments]) -> None:
    """Every answer that contains it is a 500; its neighbours are read all the same, and it is named."""
    uid, reader = documents
    deep: Any = 1
    for _ in range(128):
        deep = [deep]
    write(server, uid, *({"id": number, "extra": 1, VECTORS: NO_VECTORS} for number in range(20)))
    write(server, uid, {"id": 7, "extra": deep, VECTORS: NO_VECTORS})
    ids = [str(number) for number in range(22)]
    held = await reader.fetch(uid, "id", ids, vectors=False)
    assert [one for one in ids if isinstance(held.get(one), Unreadable)] == ["7"]
    assert len(held) == 20
    assert await reader.present(uid, "id", ids) == set(ids[:20])


async def test_ids_come_page_by_page(server: Server, documents: tuple[str, MeilisearchDocuments]) -> None:
    """In an order that does not change while nothing does; the last page is short."""
    uid, reader = documents
    write(server, uid, *({"id": number, VECTORS: NO_VECTORS} for number in range(95)))
    pages = [await reader.ids(uid, "id", offset=start, limit=40) for start in (0, 40, 80)]
    assert [len(page) for page in pages] == [40, 40, 15]
    assert sorted(int(one) for page in pages for one in page) == list(range(95))
    assert await reader.count(uid) == 95
