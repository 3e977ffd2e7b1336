"""Debezium's snapshots: which rows nobody asked for, and what it tells of the tables that it scanned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from sync_worker.change.model import Record

LAST_ROWS = frozenset({"last", "last_in_data_collection"})
"""`source.snapshot` of a table's last row. A snapshot's very first row is `first`, even where it is the table's only one."""

_INITIAL = "Initial Snapshot"


@dataclass(frozen=True, slots=True)
class Scan:
    """One table that a snapshot has read to its end, as its notification tells. `at_ms` is in milliseconds since 1970."""

    table: str
    rows: int
    at_ms: int


def completed_scans(records: Iterable[Record]) -> dict[str, Scan]:
    """Table → its scan by the last initial snapshot that was completed, from the notification topic's records in order."""
    running: dict[str, Scan] = {}
    completed: dict[str, Scan] = {}
    for record in records:
        notice = _notice(record)
        if notice.get("aggregate_type") != _INITIAL:
            continue
        details = notice.get("additional_data")
        details = details if isinstance(details, dict) else {}
        kind = notice.get("type")
        if kind == "TABLE_SCAN_COMPLETED":
            table, rows, at_ms = details.get("scanned_collection"), details.get("total_rows_scanned"), notice.get("timestamp")
            if details.get("status") in ("SUCCEEDED", "EMPTY") and isinstance(table, str) and str(rows).isdecimal():
                running[table] = Scan(table, int(str(rows)), at_ms if isinstance(at_ms, int) else record.timestamp)
        elif kind == "COMPLETED":
            completed.update(running)
            running = {}
        elif kind in ("STARTED", "ABORTED", "SKIPPED"):
            running = {}
    return completed


def _notice(record: Record) -> dict[str, Any]:
    try:
        value = orjson.loads(record.value or b"null")
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def unasked(offset: int, partition: int, topic_id: str, *, known_id: str, ends: Mapping[int, int]) -> bool:
    """Whether a snapshot's row at this offset comes after a complete fill that ended at `ends`: nobody asked for it.

    A topic that was made anew, or a partition that was added, came after it as a whole.
    """
    return topic_id != known_id or partition not in ends or offset >= ends[partition]
