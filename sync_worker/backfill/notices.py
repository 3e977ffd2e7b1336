"""What Debezium tells of incremental snapshots, from its notification topic. Pure.

A failed scan of a table is told in TABLE_SCAN_COMPLETED's `status` alone: the snapshot goes on to COMPLETED as if nothing were.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from sync_worker.change.model import Record

_INCREMENTAL = "Incremental Snapshot"
_FINE = frozenset({"SUCCEEDED", "EMPTY"})

FAILED_SCANS = {
    "SQL_EXCEPTION": "PostgreSQL refused the query; Connect's log has its words",
    "NO_PRIMARY_KEY": "the table has no primary key, and nothing to read it by in pieces",
    "UNKNOWN_SCHEMA": "the connector does not know the table: it is not in its publication or its table.include.list",
    "SKIPPED": "the connector skipped the table",
}
"""Debezium's word for a failed scan → what it means."""


@dataclass(frozen=True, slots=True)
class ScanSeen:
    """What was told of one snapshot so far.

    Attributes:
        rows: that were read, None until the table's scan was over.
        status: Debezium's word for how the scan ended; empty before.
        last_ms: when it last told anything, milliseconds since 1970; 0 before.
    """

    started: bool = False
    paused: bool = False
    completed: bool = False
    aborted: bool = False
    rows: int | None = None
    status: str = ""
    last_ms: int = 0

    @property
    def failure(self) -> str:
        """Why the table was not read; empty where it was, or is not over."""
        if not self.status or self.status in _FINE:
            return ""
        return f"{self.status}: {FAILED_SCANS.get(self.status, 'a word that this version does not know')}"


def scan_seen(records: Iterable[Record], table: str, signals: Collection[str], before: ScanSeen | None = None) -> ScanSeen:
    """Fold the notification topic's records, in order, into what is known of the snapshot that one of `signals` asked for."""
    seen = before or ScanSeen()
    for record in records:
        notice = _notice(record)
        if notice.get("aggregate_type") != _INCREMENTAL or notice.get("id") not in signals:
            continue
        at_ms = notice.get("timestamp")
        seen = replace(seen, last_ms=at_ms if isinstance(at_ms, int) else record.timestamp)
        details = notice.get("additional_data")
        seen = _after(seen, notice.get("type"), details if isinstance(details, dict) else {}, table)
    return seen


def _after(seen: ScanSeen, kind: object, details: dict[str, Any], table: str) -> ScanSeen:
    if kind == "STARTED":
        return replace(seen, started=True, completed=False, aborted=False, paused=False, rows=None, status="")
    if kind == "PAUSED":
        return replace(seen, paused=True)
    if kind == "RESUMED":
        return replace(seen, paused=False)
    if kind == "ABORTED":
        return replace(seen, aborted=True)
    if kind == "COMPLETED":
        # One that was stopped is COMPLETED too, and ABORTED under an id of nobody's; but its table's scan never was.
        return replace(seen, started=True, completed=bool(seen.status), aborted=not seen.status)
    if kind == "TABLE_SCAN_COMPLETED" and str(details.get("scanned_collection", "")).endswith(table):
        rows = str(details.get("total_rows_scanned", ""))
        return replace(
            seen, started=True, status=str(details.get("status", "")), rows=int(rows) if rows.isdecimal() else seen.rows
        )
    return replace(seen, started=True)


def _notice(record: Record) -> dict[str, Any]:
    try:
        value = orjson.loads(record.value or b"null")
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
