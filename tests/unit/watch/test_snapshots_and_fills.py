"""Snapshots and fills: what proves that an index was filled, and what shows that it no longer is."""

from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest

from sync_worker.change.model import StoredRecord
from sync_worker.document.declaration import IndexDeclaration
from sync_worker.document.fingerprint import declaration_fingerprint
from sync_worker.watch.fill import Fill, FillProof
from sync_worker.watch.fills import Mark, PendingFill, outdated, passed, with_older
from sync_worker.watch.snapshots import completed_scans, unasked

CAPTURED = Path(__file__).parents[2] / "fixtures" / "envelopes" / "notifications.jsonl"
FILL = Fill("things", "things", "2026", FillProof.LAST_ROW, "d1", "c1", "id-1", {0: 10}, 1.0)


def notice(kind: str, **details: object) -> StoredRecord:
    value = {"type": kind, "aggregate_type": "Initial Snapshot", "additional_data": details, "timestamp": 5}
    return StoredRecord("n", 0, 0, 0, None, orjson.dumps(value))


def scan(table: str, rows: str = "3", status: str = "SUCCEEDED") -> StoredRecord:
    return notice("TABLE_SCAN_COMPLETED", scanned_collection=table, total_rows_scanned=rows, status=status)


def test_debeziums_own_notifications_name_every_scanned_table() -> None:
    """Captured from a real connector; the incremental snapshot in it is another matter."""
    lines = [json.loads(line) for line in CAPTURED.read_text(encoding="utf-8").splitlines()]
    records = [StoredRecord("n", 0, at, 0, None, line["value"].encode()) for at, line in enumerate(lines)]
    assert {table: one.rows for table, one in completed_scans(records).items()} == {
        "public.books": 3,
        "public.notes": 1,
        "public.pages": 2,
    }


def test_a_snapshot_that_was_not_completed_proves_nothing() -> None:
    """A restart begins it anew."""
    assert completed_scans([notice("STARTED"), scan("a")]) == {}
    assert completed_scans([notice("STARTED"), scan("a"), notice("ABORTED"), notice("COMPLETED")]) == {}
    assert list(completed_scans([scan("a"), notice("STARTED"), scan("b"), notice("COMPLETED")])) == ["b"]


def test_a_failed_scan_proves_nothing() -> None:
    """It is told in the status alone, and the snapshot goes on without the table."""
    assert completed_scans([scan("a", status="SQL_EXCEPTION"), scan("b", "0", "EMPTY"), notice("COMPLETED")]).keys() == {"b"}


def test_what_is_no_notification_is_passed_over() -> None:
    """Anything may lie in a topic."""
    odd = [StoredRecord("n", 0, 0, 0, None, value) for value in (None, b"{", b"[1]", b'{"type":"COMPLETED"}')]
    assert completed_scans([*odd, scan("a"), notice("COMPLETED")]).keys() == {"a"}


@pytest.mark.parametrize(
    ("offset", "partition", "topic_id", "expected"),
    [(9, 0, "id-1", False), (10, 0, "id-1", True), (0, 1, "id-1", True), (9, 0, "id-2", True)],
)
def test_a_row_behind_the_fill_was_not_asked_for(offset: int, partition: int, topic_id: str, expected: bool) -> None:
    """What is read again after a restart lies before the fill's end."""
    assert unasked(offset, partition, topic_id, known_id="id-1", ends={0: 10}) is expected


def mark(next_offset: int, *indexes: str, topic_id: str = "id-1") -> Mark:
    return Mark(topic_id, next_offset, frozenset(indexes or ("things",)))


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ({0: mark(10), 1: mark(5)}, True),
        ({0: mark(9), 1: mark(5)}, False),
        ({0: mark(10)}, False),
        ({0: mark(10), 1: mark(5, "others")}, False),
        ({0: mark(10), 1: mark(5, topic_id="id-2")}, False),
    ],
)
def test_a_fill_is_proven_when_all_of_it_is_acknowledged_for_the_index(marks: dict[int, Mark], expected: bool) -> None:
    """Every partition, the same topic, and the index among those that were written to."""
    assert passed({0: 10, 1: 5}, "id-1", marks, "things") is expected


def test_a_pending_fill_survives_the_state_database() -> None:
    """It is kept as JSON, whose keys are texts."""
    pending = PendingFill(FillProof.LAST_ROW, "id-1", {0: 10, 11: 2**40})
    assert PendingFill.of_json(json.loads(json.dumps(pending.as_json()))) == pending


@pytest.mark.parametrize(
    ("declared", "last", "expected"),
    [("d1", None, False), ("d2", None, True), ("d2", "d1", True), ("d2", "d2", False), ("d1", "d2", True)],
)
def test_documents_are_counted_once_for_each_change_of_the_declaration(declared: str, last: str | None, expected: bool) -> None:
    """Going back to the fill's declaration leaves those that were made with the other one."""
    assert outdated(FILL, declared, last) is expected


def test_older_documents_are_since_the_first_change() -> None:
    """A second change raises the bound, not the date."""
    first = with_older(FILL, 100, now=5.0)
    second = with_older(first, 120, now=9.0)
    assert (first.older_documents, second.older_documents, second.older_since) == (100, 120, 5.0)


def declared(**changed: object) -> IndexDeclaration:
    given = {"name": "things", "table": "public.things", "primary_key": "id", "fields": {"name": "text", "n": "integer"}}
    return IndexDeclaration.model_validate(given | changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"fields": {"name": "text", "n": "number"}},
        {"fields": {"name": "text"}},
        {"where": "n > 5"},
        {"soft_delete": "gone"},
        {"primary_key": ["id", "n"]},
        {"table": "public.others"},
    ],
)
def test_whatever_shapes_a_document_changes_the_fingerprint(changed: dict[str, object]) -> None:
    """Documents made before and after may differ."""
    assert declaration_fingerprint(declared(**changed)) != declaration_fingerprint(declared())


@pytest.mark.parametrize(
    "changed", [{"settings": {"stopWords": ["a"]}}, {"truncate": "hold"}, {"fields": {"n": "integer", "name": "text"}}]
)
def test_what_shapes_none_leaves_it(changed: dict[str, object]) -> None:
    """Settings are the server's matter, and the order of fields nobody's."""
    assert declaration_fingerprint(declared(**changed)) == declaration_fingerprint(declared())


def test_a_hook_counts_by_its_version_or_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same name may hide another function."""
    import importlib
    import linecache
    import sys

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def of(source: str) -> str:
        (tmp_path / "hook_of_things.py").write_text(source)
        sys.modules.pop("hook_of_things", None)
        importlib.invalidate_caches()
        linecache.clearcache()
        module = importlib.import_module("hook_of_things")
        return declaration_fingerprint(declared(hook="hook_of_things:made"), module.made)

    first = of("def made(document, row):\n    return document\n")
    assert of("def made(document, row):\n    return {**document, 'more': 1}\n") != first
    assert of("def made(document, row):\n    return document\n") == first
    one = of("__version__ = '1'\ndef made(document, row):\n    return document\n")
    assert of("__version__ = '1'\ndef made(document, row):\n    return {**document}\n") == one
    assert of("__version__ = '2'\ndef made(document, row):\n    return document\n") != one
    sys.modules.pop("hook_of_things", None)
