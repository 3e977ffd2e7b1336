"""What the server changes on the way is no difference; everything else is."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_worker.drift.condition import sql_condition
from sync_worker.drift.equality import differing_fields
from sync_worker.drift.ids import IdSet

_scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
_documents = st.dictionaries(st.text().filter(lambda name: name != "_vectors"), _values, max_size=6)


def as_returned(value: Any, direction: float) -> Any:
    """As Meilisearch gives it back: each float may be one of its neighbours."""
    if isinstance(value, float) and value != 0.0 and math.isfinite(moved := math.nextafter(value, direction)):
        return moved
    if isinstance(value, list):
        return [as_returned(inner, direction) for inner in value]
    return {name: as_returned(inner, direction) for name, inner in value.items()} if isinstance(value, dict) else value


@given(_documents, st.sampled_from([math.inf, -math.inf]))
def test_what_the_server_returns_is_what_was_sent(document: dict[str, Any], direction: float) -> None:
    """No document is reported for the last bit of a float, or for the order of its fields."""
    returned = as_returned(document, direction)
    assert differing_fields(document, dict(reversed(list(returned.items())))) == ()


@given(_documents, st.text().filter(lambda name: name != "_vectors"), _scalars, _scalars)
def test_a_field_that_differs_is_named_and_no_other(document: dict[str, Any], name: str, one: Any, other: Any) -> None:
    """Types count: true is not 1, 1 is not 1.0, null is not nothing."""
    same = type(one) is type(other) and (one == other or (isinstance(one, float) and math.isclose(one, other, rel_tol=1e-15)))
    if not same:
        assert differing_fields(document | {name: one}, document | {name: other}) == (name,)
    assert differing_fields({**document, name: one}, {key: value for key, value in document.items() if key != name}) == (name,)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (True, 1),
        (1, 1.0),
        (0.0, -0.0),
        (None, ""),
        ("1", 1),
        ([1], [1, 2]),
        ({"a": 1}, {"a": 1, "b": None}),
        (1.0, 1.000000000001),
    ],
)
def test_what_looks_alike_is_not_the_same(one: Any, other: Any) -> None:
    """Python takes some of these for equal; a reader of the index does not."""
    assert differing_fields({"f": one}, {"f": other}) == ("f",)
    assert differing_fields({"f": [{"x": one}]}, {"f": [{"x": other}]}) == ("f",)


def f32(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


@pytest.mark.parametrize(
    ("sent", "returned", "same"),
    [
        ([0.1, 2], {"embeddings": [[f32(0.1), 2.0]], "regenerate": False}, True),
        ([[0.1, 2], [3, 4]], {"embeddings": [[f32(0.1), 2.0], [3.0, 4.0]], "regenerate": False}, True),
        (None, {"embeddings": [], "regenerate": False}, True),
        (None, None, True),
        ({"regenerate": False, "embeddings": [1, 2]}, {"embeddings": [[1.0, 2.0]], "regenerate": False}, True),
        ({"regenerate": True, "embeddings": [1, 2]}, {"embeddings": [[5.0, 6.0]], "regenerate": True}, True),
        ([0.1, 2], {"embeddings": [[f32(0.1), 2.5]], "regenerate": False}, False),
        ([0.1, 2], {"embeddings": [], "regenerate": False}, False),
        (None, {"embeddings": [[1.0]], "regenerate": False}, False),
        ([0.1, 2], None, False),
    ],
)
def test_vectors_are_compared_as_the_server_keeps_them(sent: Any, returned: Any, same: bool) -> None:
    """As 32-bit floats in an object of the server's; what it makes by itself is not judged."""
    held = {"id": 1, "_vectors": {} if returned is None else {"e": returned}}
    assert differing_fields({"id": 1, "_vectors": {"e": sent}}, held) == (() if same else ("_vectors",))


def test_one_bit_of_each_component_is_all_that_quantization_keeps() -> None:
    """The server returns 0 and 1 (or -1 and 1) for it."""
    held = {"_vectors": {"e": {"embeddings": [[0.0, 1.0]], "regenerate": False}}}
    assert differing_fields({"_vectors": {"e": [-0.5, 0.25]}}, held, quantized={"e"}) == ()
    assert differing_fields({"_vectors": {"e": [0.5, 0.25]}}, held, quantized={"e"}) == ("_vectors",)


@given(st.sets(st.text()), st.sets(st.text()))
def test_an_id_is_known_where_it_was_added(added: set[str], others: set[str]) -> None:
    """No ghost is invented, and none of these is hidden."""
    known = IdSet()
    for document_id in added:
        known.add(document_id)
    assert all(document_id in known for document_id in added)
    assert not any(document_id in known for document_id in others - added)
    assert len(known) == len(added)


@pytest.mark.parametrize("where", ["n > 1; DROP TABLE t", "n > 1) OR (1=1", "pg_sleep(1) > 0", "n > (SELECT 1)", "", "true"])
def test_a_condition_is_nothing_but_a_condition(where: str) -> None:
    """What an operator types goes into a query: only what a declaration's `where` may say."""
    with pytest.raises(ValueError, match=r"supported|names no column|compare"):
        sql_condition(where)


def test_a_comment_does_not_reach_the_query() -> None:
    """It would hide the closing parenthesis behind it."""
    assert sql_condition("n > 1 -- and so on") == "n > 1"
    assert sql_condition("name LIKE 'a%' AND NOT gone") == "name LIKE 'a%' AND NOT gone"
