"""Debezium events as the tests of this room write them down."""

from __future__ import annotations

from typing import Any

import orjson

from sync_worker.change.model import StoredRecord

SOURCE = {
    "version": "3.7.0.Final",
    "connector": "postgresql",
    "name": "sync",
    "ts_ms": 1_760_000_000_000,
    "snapshot": "false",
    "db": "demo",
    "sequence": '[null,"23456789"]',
    "schema": "public",
    "table": "cities",
    "txId": 756,
    "lsn": 23_456_789,
    "xmin": None,
}


def event(op: str, after: Any = None, *, before: Any = None, **source: Any) -> dict[str, Any]:
    return {"before": before, "after": after, "source": {**SOURCE, **source}, "transaction": None, "op": op, "ts_ms": 1}


def record(value: Any, key: Any = b'{"id":1}', *, topic: str = "sync.public.cities", headers: Any = ()) -> StoredRecord:
    raw_value = value if value is None or isinstance(value, bytes) else orjson.dumps(value)
    raw_key = key if key is None or isinstance(key, bytes) else orjson.dumps(key)
    return StoredRecord(topic, 0, 7, 1_759_999_999_000, raw_key, raw_value, headers)
