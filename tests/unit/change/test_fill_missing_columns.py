"""No partial row reaches a document: missing columns come from the list, else from the source, and never from a wrong base."""

from __future__ import annotations

from typing import Any

import pytest

from sync_worker.change.fill import complete, incomplete, plan
from sync_worker.change.model import Change, Operation

NEEDED = {"name", "body"}


def change(operation: Operation, key: int, row: dict[str, Any] | None = None, *, missing: tuple[str, ...] = ()) -> Change:
    return Change(operation, "public.t", {"id": key}, row, None, missing, 5, None)


def create(key: int, **row: Any) -> Change:
    return change(Operation.CREATE, key, {"id": key, **row})


def update(key: int, *missing: str, **row: Any) -> Change:
    return change(Operation.UPDATE, key, {"id": key, **row}, missing=missing)


def test_a_column_that_nobody_indexes_is_not_missed() -> None:
    """Fetching it would cost a query for nothing."""
    partial = update(1, "blob", name="b", body="x")

    assert not incomplete(partial, NEEDED)
    assert plan([partial], NEEDED).keys == ()


def test_an_earlier_row_of_the_same_key_completes_an_update() -> None:
    """Unchanged means: as it was in the row before."""
    steps = plan([create(1, name="a", body="long"), update(1, "body", name="b")], NEEDED)

    assert steps.keys == ()
    filled = complete(steps, [])
    assert filled[1] is not None
    assert (filled[1].row, filled[1].unavailable) == ({"id": 1, "name": "b", "body": "long"}, ())


def test_columns_are_collected_over_several_partial_rows() -> None:
    """What one update lacks another may have brought; the latest one wins."""
    steps = plan([update(1, "body", name="a"), update(1, "name", body="x"), update(1, "body", name="c")], NEEDED)

    assert steps.keys == ()
    assert [filled and filled.row for filled in complete(steps, [])] == [
        None,
        {"id": 1, "name": "a", "body": "x"},
        {"id": 1, "name": "c", "body": "x"},
    ]


def test_only_the_last_incomplete_change_of_a_key_is_fetched() -> None:
    """An earlier one is superseded in any case; one query per key is enough."""
    steps = plan([update(1, "body", name="a"), update(2, "body", name="z"), update(1, "body", name="b")], NEEDED)

    assert steps.keys == ({"id": 2}, {"id": 1})
    filled = complete(steps, [{"id": 2, "name": "z", "body": "two"}, {"id": 1, "name": "b", "body": "one"}])
    assert [one and one.row for one in filled] == [
        None,
        {"id": 2, "name": "z", "body": "two"},
        {"id": 1, "name": "b", "body": "one"},
    ]


def test_a_later_whole_row_or_delete_makes_the_query_pointless() -> None:
    gone = change(Operation.DELETE, 2)
    steps = plan([update(1, "body", name="a"), update(2, "body", name="a"), create(1, name="c", body="d"), gone], NEEDED)

    assert steps.keys == ()
    assert complete(steps, []) == (None, None, create(1, name="c", body="d"), gone)


def test_a_row_that_is_gone_from_the_source_becomes_a_delete() -> None:
    """Its delete follows in the log; writing a stump until then would show a document that never was."""
    filled = complete(plan([update(1, "body", name="a")], NEEDED), [None])

    assert filled[0] is not None
    assert (filled[0].operation, filled[0].row, filled[0].key) == (Operation.DELETE, None, {"id": 1})


def test_a_changed_key_never_takes_columns_of_the_row_that_bore_the_key_before() -> None:
    """Two rows that swap their keys: the create of a key change lacks its own old columns, not the other row's."""
    steps = plan(
        [
            create(1, name="one", body="of one"),
            create(2, name="two", body="of two"),
            change(Operation.CREATE, 2, {"id": 2, "name": "one"}, missing=("body",)),
        ],
        NEEDED,
    )

    assert steps.keys == ({"id": 2},)


@pytest.mark.parametrize(
    "forget", [change(Operation.DELETE, 1), Change(Operation.TRUNCATE, "public.t", {}, None, None, (), 5, None)]
)
def test_a_delete_or_truncate_leaves_no_base(forget: Change) -> None:
    """What was before it is not the row that comes after it."""
    steps = plan([create(1, name="a", body="old"), forget, update(1, "body", name="b")], NEEDED)

    assert steps.keys == ({"id": 1},)


def test_the_changes_given_are_left_as_they_were() -> None:
    """Several indexes and a dead letter may still look at them."""
    partial = update(1, "body", name="b")
    complete(plan([create(1, name="a", body="x"), partial], NEEDED), [])

    assert partial == update(1, "body", name="b")
