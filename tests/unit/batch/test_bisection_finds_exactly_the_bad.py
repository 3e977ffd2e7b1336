"""Bisection: whatever is bad is found, whatever is good is acquitted, with few tests."""

from __future__ import annotations

from math import ceil, log2

from hypothesis import given
from hypothesis import strategies as st

from sync_worker.batch.bisection import Bisection


def run(ids: list[str], bad: set[str], *, names: bool = False) -> tuple[Bisection, int]:
    bisection, tests = Bisection(ids), 0
    while (group := bisection.next_group()) is not None:
        tests += 1
        guilty = [document_id for document_id in group if document_id in bad]
        if guilty:
            bisection.failed(guilty[0] if names else None)
        else:
            bisection.passed()
    return bisection, tests


@given(st.integers(1, 300), st.data(), st.booleans())
def test_any_set_of_bad_documents_is_found(count: int, data: st.DataObject, names: bool) -> None:
    """Exactly the bad ones are suspected, with about log2(n) tests for each (invariant 4)."""
    ids = [str(number) for number in range(count)]
    bad = data.draw(st.sets(st.sampled_from(ids), min_size=1))
    bisection, tests = run(ids, bad, names=names)
    assert set(bisection.suspects) == bad
    assert len(bisection.suspects) == len(bad)
    assert set(bisection.acquitted) == set(ids) - bad
    assert tests <= 3 * (len(bad) * ceil(log2(count) + 1) + 1)


def test_one_among_twenty_thousand_takes_about_log2_tests() -> None:
    """What makes isolation affordable on a large index."""
    ids = [str(number) for number in range(20_000)]
    _, tests = run(ids, {"13777"})
    assert tests <= 17


def test_a_name_that_is_not_in_the_group_is_not_believed() -> None:
    """The server may name a neighbour's document."""
    bisection = Bisection(["a", "b", "c", "d"])
    assert bisection.next_group() == ["a", "b"]
    bisection.failed("z")
    assert bisection.suspects == []


def test_nothing_to_look_for() -> None:
    """A pool that was emptied meanwhile asks for no test."""
    assert Bisection([]).next_group() is None
