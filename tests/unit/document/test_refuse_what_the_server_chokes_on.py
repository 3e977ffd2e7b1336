"""Held to what a real server answered: what it failed we refuse, what it took we let through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from sync_worker.document.refuse import MAX_FIELDS, VectorRules, check, check_size, check_value, check_vectors
from sync_worker.errors import RefusedDocument

NO_EMBEDDER = VectorRules({}, frozenset())
TWO_DIMENSIONS = VectorRules({"e": 2}, frozenset())
RECORDINGS = Path(__file__).parents[2] / "fixtures" / "meilisearch-1.50"


def exchanges(scenario: str) -> Iterator[tuple[dict[str, Any], bool, str | None, str]]:
    """(document, taken, error code, note) for each write of a single document, as the real server judged it."""
    waiting: tuple[dict[str, Any], str] | None = None
    for line in (RECORDINGS / f"{scenario}.jsonl").read_text().splitlines():
        exchange = json.loads(line)
        body = exchange.get("body")
        if exchange.get("method") == "POST" and exchange.get("path", "").endswith("/documents"):
            if isinstance(body, str):
                try:
                    body = [json.loads(body)]
                except ValueError:
                    body = None
            single = isinstance(body, list) and len(body) == 1
            note = exchange.get("note") or json.dumps(body)[:40]
            waiting = (body[0], note) if single and body is not None else None
            if waiting is not None and exchange["status"] >= 400:
                yield body[0], False, exchange["answer"]["code"], note
                waiting = None
        elif "task" in exchange and waiting is not None:
            error = exchange["task"]["error"]
            yield waiting[0], error is None, error and error["code"], waiting[1]
            waiting = None


def verdict(document: dict[str, Any], rules: VectorRules) -> str | None:
    try:
        check(document, "id", rules)
    except RefusedDocument as refusal:
        return refusal.code
    return None


def judged() -> list[Any]:
    cases = []
    for scenario in ("values", "geo-enabled", "document-ids", "stored-poison", "poison-in-a-merged-batch"):
        for document, taken, code, note in exchanges(scenario):
            if code == "vector_embedding_error":
                continue  # a document without vectors, on an index with an embedder: the declaration's business, tested there
            if note == "replacing it fails":
                continue  # its predecessor is the culprit: what the update stored can't be replaced any more
            cases.append(pytest.param(scenario, document, taken, code, id=f"{scenario}: {note[:50]}"))
    return cases


ACCEPTED_BUT_REFUSED = {
    # Integers beyond 64 bits come back as rounded floats: taken, and wrong.
    ("values", "number_out_of_range"),
    # Stored by an update, and then neither readable nor replaceable nor deletable.
    ("stored-poison", "nested_too_deep"),
}

OWN_CODES = {"internal": {"nested_too_deep", "invalid_vectors_type", "invalid_text"}}


@pytest.mark.parametrize(("scenario", "document", "taken", "code"), judged())
def test_our_verdict_is_the_server_s(scenario: str, document: dict[str, Any], taken: bool, code: str | None) -> None:
    """Codes are the server's own, but where it only says `internal`."""
    rules = TWO_DIMENSIONS if scenario == "poison-in-a-merged-batch" else NO_EMBEDDER
    ours = verdict(document, rules)

    if taken:
        assert ours is None or (scenario, ours) in ACCEPTED_BUT_REFUSED
    else:
        assert ours in OWN_CODES.get(code or "", {code})


def test_the_recordings_judge_both_ways() -> None:
    """The test above would prove nothing on an empty list."""
    verdicts = [case.values[2] for case in judged()]
    assert verdicts.count(False) >= 20
    assert verdicts.count(True) >= 15


def nested(depth: int, inner: Any = 1) -> Any:
    for _ in range(depth):
        inner = {"d": inner}
    return inner


@pytest.mark.parametrize("make", [nested, lambda depth: json.loads("[" * depth + "]" * depth)], ids=["objects", "arrays"])
def test_127_levels_inside_a_field_are_the_last_that_can_be_read_again(make: Any) -> None:
    check_value("x", make(127))
    with pytest.raises(RefusedDocument) as caught:
        check_value("x", make(128))
    assert caught.value.code == "nested_too_deep"


def test_a_hostile_depth_does_not_reach_python_s_own_limit() -> None:
    with pytest.raises(RefusedDocument):
        check_value("x", nested(100_000))


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (float("inf"), "malformed_payload"),
        (float("nan"), "malformed_payload"),
        ([[float("-inf")]], "malformed_payload"),
        ({"a": 2**64}, "number_out_of_range"),
        ([-(2**63) - 1], "number_out_of_range"),
        ("\ud800", "invalid_text"),
        ({"\udfff": 1}, "invalid_text"),
        ({1: 1}, "malformed_payload"),
        ({"a": (1, 2)}, "malformed_payload"),
        ({"a": {1, 2}}, "malformed_payload"),
        (b"bytes", "malformed_payload"),
    ],
    ids=ascii,
)
def test_what_json_can_t_carry_is_refused_wherever_it_lies(value: Any, code: str) -> None:
    """The messages name the field and never the value."""
    with pytest.raises(RefusedDocument) as caught:
        check({"id": 1, "field": value}, "id", NO_EMBEDDER)
    assert caught.value.code == code
    assert "field" in caught.value.message


@pytest.mark.parametrize(
    "vectors",
    [
        {"e": None},
        {"e": [1, 2]},
        {"e": []},
        {"e": [[1, 2], [3, 4]]},
        {"e": {"regenerate": True}},
        {"e": {"regenerate": False, "embeddings": None}},
        {"e": {"regenerate": False, "embeddings": [1, 2]}},
        {},
    ],
    ids=repr,
)
def test_vectors_of_every_allowed_form(vectors: Any) -> None:
    check_vectors(vectors, TWO_DIMENSIONS)


@pytest.mark.parametrize(
    ("vectors", "code"),
    [
        (None, "invalid_vectors_type"),
        ([1, 2], "invalid_vectors_type"),
        ({"e": 4}, "invalid_vectors_type"),
        ({"e": "x"}, "invalid_vectors_type"),
        ({"e": ["x", 1]}, "invalid_vectors_type"),
        ({"e": [[1, 2], 3]}, "invalid_vectors_type"),
        ({"e": {"embeddings": [1, 2]}}, "invalid_vectors_type"),
        ({"e": {"regenerate": False, "more": 1}}, "invalid_vectors_type"),
        ({"e": [1, 2, 3]}, "invalid_vector_dimensions"),
        ({"e": [[1, 2]] * 257}, "too_many_vectors"),
    ],
    ids=lambda item: repr(item)[:40],
)
def test_vectors_of_any_other_form_would_fail_their_whole_batch(vectors: Any, code: str) -> None:
    with pytest.raises(RefusedDocument) as caught:
        check_vectors(vectors, TWO_DIMENSIONS)
    assert caught.value.code == code


def test_more_fields_than_an_index_can_number() -> None:
    with pytest.raises(RefusedDocument) as caught:
        check({"id": 1, "x": {str(number): 1 for number in range(MAX_FIELDS)}}, "id", NO_EMBEDDER)
    assert caught.value.code == "max_fields_limit_exceeded"


def more_verdicts() -> list[Any]:
    lines = (Path(__file__).parent / "verdicts-of-a-1.50-server.jsonl").read_text().splitlines()[1:]
    return [pytest.param(case["document"], case["code"], id=line[13:90]) for line in lines for case in [json.loads(line)]]


TAKEN_BUT_REFUSED: dict[str, list[Any]] = {
    # Components beyond a 32-bit float are stored as infinity and come back as null.
    "invalid_vectors_type": [{"e": [1e39, 1]}, {"e": [1e308, 1]}],
    # From the 257th on, embeddings are dropped without a word.
    "too_many_vectors": [{"e": [[1, 2]] * 257}],
    # Rings that are a line back and forth: others as short fail with `internal`.
    "invalid_document_geo_field": [
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]},
    ],
}


@pytest.mark.parametrize(("document", "code"), more_verdicts())
def test_our_verdict_on_new_documents_is_the_server_s(document: dict[str, Any], code: str | None) -> None:
    """Vectors, coordinates, GeoJSON and odd names, on an index that reads them all; each refusal would fail a whole batch."""
    ours = verdict(document, VectorRules({"e": 2}, frozenset("e")))

    if code is None:
        suspect = document.get("_geojson", document["_vectors"])
        assert ours is None or suspect in TAKEN_BUT_REFUSED[ours]
    elif code == "internal":
        assert ours in ("invalid_vectors_type", "invalid_document_geo_field")
    else:
        assert ours == code


def test_the_more_verdicts_judge_both_ways() -> None:
    codes = [case.values[1] for case in more_verdicts()]
    assert codes.count(None) >= 50
    assert sum(code is not None for code in codes) >= 40


def test_a_document_above_the_payload_limit_can_t_be_split() -> None:
    line = orjson.dumps({"id": 1, "x": "y" * 100})
    check_size(line, len(line))
    with pytest.raises(RefusedDocument) as caught:
        check_size(line, len(line) - 1)
    assert caught.value.code == "payload_too_large"
