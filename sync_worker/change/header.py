"""What Debezium says in a record's headers about key changes and its own restarts.

A primary-key change is a delete and a create with one position in the log; a restart between them can lose the create
(seen with Debezium 3.7.0). The delete names the key to come, the create the key that was, and every record the connector's run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from sync_worker.change.model import Record


def promised_key(record: Record) -> Mapping[str, Any] | None:
    """On the delete of a key change: the key that a create has to follow with."""
    return _key(_header(record, "__debezium.newkey"))


def answered_key(record: Record) -> Mapping[str, Any] | None:
    """On the create of a key change: the key that the row had before."""
    return _key(_header(record, "__debezium.oldkey"))


def run_id(record: Record) -> str | None:
    """Which run of the connector's task wrote the record; changes with each restart (Debezium 3.7 and later)."""
    raw = _header(record, "__debezium.context.runId")
    return None if raw is None else raw.decode().strip('"')


def _header(record: Record, name: str) -> bytes | None:
    for header, value in record.headers:
        if header == name:
            return value
    return None


def _key(raw: bytes | None) -> Mapping[str, Any] | None:
    if raw is None:
        return None
    try:
        key = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    if isinstance(key, dict) and isinstance(key.get("schema"), dict) and "payload" in key:
        key = key["payload"]
    return key if isinstance(key, dict) else None
