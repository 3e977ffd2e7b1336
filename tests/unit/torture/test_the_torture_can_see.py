"""A checker that finds nothing proves nothing unless it would have found something."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from sync_worker.testing.stack import Stack
from sync_worker.testing.torture.checker import Verdict, compare, compare_some
from sync_worker.testing.torture.probe import Probe
from sync_worker.testing.torture.site import Site
from sync_worker.testing.torture.tables import NUMBERS, TABLES, WORDS, Key, Row, Table

ROW: dict[str, Any] = {
    "id": 1, "owner": 0, "v": 7, "n": 600, "name": "näme", "amount": 12.5, "at": datetime(2026, 1, 1, tzinfo=UTC), "big": None,
    "extra": {"x": [1]}, "poison": None,
}  # fmt: skip
DOCUMENT = {"id": 1, "v": 7, "n": 600, "name": "näme", "amount": 12.5, "at": 1767225600, "big": None, "extra": {"x": [1]}}
BAD = {**ROW, "poison": "nan"}


def verdict(rows: list[dict[str, Any]], documents: list[dict[str, Any]], failed: dict[Key, list[int]] | None = None) -> str:
    found = Verdict()
    keyed: dict[Key, Row] = {NUMBERS.key_in(row): row for row in rows}
    compare(found, NUMBERS, keyed, documents, failed or {})
    return " ".join(found.violations)


def test_equal_sides_are_equal() -> None:
    """A row and its document; a bad row with its open failure, and the document of its last good version."""
    assert verdict([ROW], [DOCUMENT]) == ""
    assert verdict([BAD], [{**DOCUMENT, "v": 6}], {(1,): [5, 7]}) == ""
    assert verdict([BAD], [], {(1,): [7]}) == ""


@pytest.mark.parametrize(
    ("rows", "documents", "failed", "told"),
    [
        pytest.param([ROW], [], {}, "rows without a document", id="lost"),
        pytest.param([], [DOCUMENT], {}, "documents without a row", id="ghost"),
        pytest.param([ROW], [{**DOCUMENT, "v": 6}], {}, "is v6, must be v7", id="aged"),
        pytest.param([ROW], [{**DOCUMENT, "extra": None}], {}, "documents that differ: (1,): extra", id="one field"),
        pytest.param([ROW], [{k: v for k, v in DOCUMENT.items() if k != "big"}], {}, "(1,): big", id="an absent field"),
        pytest.param([ROW], [DOCUMENT, DOCUMENT], {}, "2 documents for 1 keys", id="twice"),
        pytest.param([BAD], [], {}, "newest change is no open failure", id="a failure that nobody recorded"),
        pytest.param([BAD], [], {(1,): [6]}, "newest change is no open failure", id="only an older failure"),
        pytest.param([ROW], [DOCUMENT], {(1,): [6]}, "failures open without a bad row", id="a failure that stays open"),
        pytest.param([BAD], [DOCUMENT], {(1,): [7]}, "rows that can't be one", id="what cannot be a document is one"),
    ],
)
def test_every_difference_is_told(
    rows: list[dict[str, Any]], documents: list[dict[str, Any]], failed: dict[Key, list[int]], told: str
) -> None:
    """Each by its own words."""
    assert told in verdict(rows, documents, failed)


def test_an_index_of_some_rows_is_compared_too() -> None:
    """What left it, what should be in it, what is older."""
    found = Verdict()
    compare_some(found, {(1,): ROW, (2,): {**ROW, "id": 2}}, [{"id": 1, "v": 6, "n": 600}, {"id": 3, "v": 1, "n": 500}])
    assert [line.partition(": ")[2].partition(":")[0] for line in found.violations] == [
        "rows without a document",
        "documents without a row",
        "documents that differ",
    ]


@pytest.fixture
def probe(tmp_path: Path) -> Probe:
    class Addresses:
        database_url, connect_url, meili_key = "postgresql://u:p@127.0.0.1:1/x", "http://127.0.0.1:1", "key"

    return Probe(Site(cast("Stack", Addresses()), tmp_path, 16), lambda: "a fault")


def test_a_version_that_goes_backwards_is_seen_and_heals(probe: Probe) -> None:
    """Counted once, open until what had been shown before is shown again."""
    for version in (5, 6, 4, 4):
        probe.see("numbers", {(1,): version})
    (regress,) = probe.regresses
    assert (regress.shown, regress.before, regress.during, regress.ended) == (4, 6, "a fault", None)
    assert probe.shown("numbers", (1,)) == 4
    probe.see("numbers", {(1,): 6})
    assert regress.ended is not None
    assert probe.shown("numbers", (1,)) == 6


def test_a_document_that_comes_back_is_seen(probe: Probe) -> None:
    """Older than it went: a regress. In the version in which it went: told apart. Newer: nothing."""
    for versions in ({(1,): 5, (2,): 5, (3,): 5}, {}, {(1,): 4, (2,): 5, (3,): 6}):
        probe.see("numbers", cast("dict[Key, int]", versions))
    assert [regress.key for regress in probe.regresses] == [(1,)]
    assert probe.came_back == ["numbers after a fault"]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_keys_never_meet(table: Table) -> None:
    """Two numbers of one table that had the same key would be two rows in the plan and one in the database."""
    assert len({table.key_of(number) for number in range(6_000)}) == 6_000


def test_a_key_is_found_again_in_a_document() -> None:
    """By its own columns, whatever id the worker made of it."""
    (key,) = (WORDS.key_of(7),)
    assert WORDS.key_in({"document": "w_C3_B6rd", "word": key[0]}) == key
