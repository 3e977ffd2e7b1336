"""Keys become ids that Meilisearch takes, that never collide, and that lead back to the key."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_worker.document.ids import decode, encode
from sync_worker.errors import ProjectionError

RECORDED = Path(__file__).parents[2] / "fixtures" / "meilisearch-1.50" / "document-ids.jsonl"

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=40) | st.text(
    "_5F0-aé/ ", max_size=20
)
INTEGER = st.integers(-(2**63), 2**64 - 1)
VALID = re.compile(r"[A-Za-z0-9_-]{1,511}")


def texts(values: tuple[object, ...]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


@pytest.mark.parametrize(
    ("key", "document_id"),
    [
        ((7,), "7"),
        ((-5,), "-5"),
        ((2**64 - 1,), "18446744073709551615"),
        (("7f3e-aB_c",), "7f3e-aB_c"),
        (("",), "_00"),
        (("a b",), "a_20b"),
        (("é",), "_C3_A9"),
        (("a_b",), "a_b"),
        (("a_20",), "a_5F20"),
        (("_",), "_"),
        (("__",), "__"),
        ((1, "x"), "1__x"),
        (("a_b", "c"), "a_5Fb__c"),
        (("", ""), "_00___00"),
        (("a", "_b"), "a___5Fb"),
    ],
)
def test_ids_look_like_their_keys(key: tuple[object, ...], document_id: str) -> None:
    """What is valid already stays; the rest is readable; and the way back is exact."""
    assert encode(key) == document_id
    assert decode(document_id, len(key)) == texts(key)


@settings(deadline=None)
@given(st.lists(INTEGER | TEXT, min_size=1, max_size=4).map(tuple))
def test_every_id_is_valid_and_leads_back(key: tuple[object, ...]) -> None:
    if sum(len(text.encode()) for text in texts(key)) * 3 + 3 * len(key) > 511:
        return
    document_id = encode(key)
    assert VALID.fullmatch(document_id)
    assert decode(document_id, len(key)) == texts(key)


@settings(deadline=None)
@given(st.integers(1, 3).flatmap(lambda size: st.tuples(*[st.tuples(*[st.text("_05FA a", max_size=6)] * size)] * 2)))
def test_two_keys_of_one_table_never_share_an_id(keys: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
    """A collision would be one row silently overwriting another, or a delete removing the wrong one."""
    assert (encode(keys[0]) == encode(keys[1])) == (keys[0] == keys[1])


@settings(deadline=None)
@given(st.text("_05FaA é", max_size=12), st.integers(1, 3))
def test_an_id_that_this_encoding_never_makes_is_told(document_id: str, columns: int) -> None:
    """A ghost from elsewhere must not be taken for a row of ours."""
    try:
        key = decode(document_id, columns)
    except ValueError:
        return
    assert encode(key) == document_id


@pytest.mark.parametrize(
    "key",
    [
        (None,),
        (1.5,),
        (True,),
        ([1],),
        ({"a": 1},),
        (2**64,),
        (-(2**63) - 1,),
        ("x" * 512,),
        ("é" * 200,),
        ("\ud800",),
        ("a\0",),
        (1, None),
    ],
    ids=repr,
)
def test_what_can_t_be_an_id_is_refused(key: tuple[object, ...]) -> None:
    with pytest.raises(ProjectionError) as caught:
        encode(key)
    assert caught.value.code == "id_not_encodable"
    assert caught.value.remedy


def recorded_ids() -> list[tuple[object, bool]]:
    """(id, accepted by the server) of every single document in the recording."""
    found, waiting = [], None
    for line in RECORDED.read_text().splitlines():
        exchange = json.loads(line)
        body = exchange.get("body")
        if exchange.get("method") == "POST" and isinstance(body, list):
            waiting = body[0]["id"] if len(body) == 1 and "id" in body[0] else None
        elif "task" in exchange and waiting is not None:
            found.append((waiting, exchange["task"]["status"] == "succeeded"))
            waiting = None
    return found


@pytest.mark.parametrize(("given_id", "accepted"), recorded_ids(), ids=repr)
def test_ids_that_the_real_server_refused_are_encoded_or_refused_here(given_id: object, accepted: bool) -> None:
    """What it took stays as it is; what it refused never leaves as it is."""
    try:
        document_id = encode((given_id,))
    except ProjectionError:
        assert not accepted
        return
    assert (document_id == str(given_id)) == accepted
