"""Debezium's envelope → Change. The hottest code of the worker besides the projection."""

from __future__ import annotations

from typing import Any

import orjson

from sync_worker.change.header import promised_key
from sync_worker.change.model import Change, Operation, Record
from sync_worker.change.unavailable import split
from sync_worker.errors import DecodeError

_OPERATIONS = {operation.value: operation for operation in Operation}
_MOMENT_LIMIT = 2**53
"""Milliseconds since 1970 that no clock will show: beyond it the moment is a mistake, and databases can't hold it."""
_WITHOUT_KEY = frozenset((Operation.TRUNCATE, Operation.MESSAGE))
_REMEDY_CONNECTOR = "Look at the topic's producer: only the connector of this project may write to it (sync-worker check)."


def decode(record: Record) -> Change | None:
    """What the record says happened; None where nothing happened: a tombstone.

    Reads events with and without Kafka Connect's schema (`schemas.enable`). For a DELETE only the key means anything.

    Raises:
        DecodeError: `malformed_json`, `not_an_object`, `not_an_envelope`, `unknown_operation`, `null_key`, `malformed_key`,
            `row_missing`. Messages never hold a value.
    """
    raw = record.value
    if raw is None:
        return None
    try:
        envelope = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise DecodeError(
            f"The value is not JSON: {error.msg} at byte {error.pos}.", code="malformed_json", remedy=_REMEDY_CONNECTOR
        ) from error
    if type(envelope) is not dict:
        raise DecodeError("The value is JSON, but not an object.", code="not_an_object", remedy=_REMEDY_CONNECTOR)
    if "op" not in envelope:
        envelope = _without_schema(envelope)
        if envelope is None:
            return None
    source = envelope.get("source")
    if type(source) is not dict:
        raise DecodeError("The value has `op` but no `source` object.", code="not_an_envelope", remedy=_REMEDY_CONNECTOR)
    name = envelope["op"]
    operation = _OPERATIONS.get(name) if type(name) is str else None
    if operation is None:
        raise _unknown_operation()
    milliseconds = source.get("ts_ms")
    if type(milliseconds) is not int or not 0 <= milliseconds < _MOMENT_LIMIT:
        milliseconds = record.timestamp
    if operation in _WITHOUT_KEY:
        table = "" if operation is Operation.MESSAGE else _table(source)
        return Change(operation, table, {}, None, None, (), milliseconds, None)
    key = _key(record.key)
    row = None
    unavailable: tuple[str, ...] = ()
    if operation is not Operation.DELETE:
        row = envelope.get("after")
        if type(row) is not dict:
            raise DecodeError(
                f"The event is a {operation.name.lower()}, but `after` is not an object.",
                code="row_missing",
                remedy=_REMEDY_CONNECTOR,
            )
        row, unavailable = split(row)
    before = envelope.get("before")
    snapshot = source.get("snapshot")
    transaction = source.get("txId")
    return Change(
        operation,
        _table(source),
        key,
        row,
        before if type(before) is dict else None,
        unavailable,
        milliseconds,
        snapshot if type(snapshot) is str and snapshot != "false" else None,
        operation is Operation.DELETE and promised_key(record) is not None,
        transaction if type(transaction) is int else None,
    )


def _without_schema(envelope: dict[str, Any]) -> dict[str, Any] | None:
    """The payload of an event that carries its schema; None for a tombstone wrapped in one."""
    if "payload" in envelope and "schema" in envelope:
        payload = envelope["payload"]
        if payload is None:
            return None
        if type(payload) is dict and "op" in payload:
            return payload
    raise DecodeError(
        "The value is an object, but not a Debezium envelope: it has no `op`.",
        code="not_an_envelope",
        remedy="Remove transforms that unwrap the event (ExtractNewRecordState) from the connector: sync-worker connector apply.",
    )


def _unknown_operation() -> DecodeError:
    return DecodeError(
        "The event's `op` is none of c, u, d, r, t, m.",
        code="unknown_operation",
        remedy="A newer Debezium may have added it: compare its version with the supported one (sync-worker check).",
    )


def _table(source: dict[str, Any]) -> str:
    try:
        return f"{source['schema']}.{source['table']}"
    except KeyError as error:
        raise DecodeError(
            f"The event's `source` has no {error}.", code="not_an_envelope", remedy="Use Debezium's connector for PostgreSQL."
        ) from error


def key_of(record: Record) -> dict[str, Any]:
    """The row's key columns, from the record's key alone. Raises DecodeError: `null_key`, `malformed_key`."""
    return _key(record.key)


def _key(raw: bytes | None) -> dict[str, Any]:
    if raw is None:
        raise _null_key()
    try:
        key = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise DecodeError(
            f"The key is not JSON: {error.msg} at byte {error.pos}.", code="malformed_key", remedy=_REMEDY_CONNECTOR
        ) from error
    # A key column can't hold an object or null, so columns that happen to be named schema and payload are not mistaken here.
    if type(key) is dict and len(key) == 2 and "payload" in key and type(key.get("schema", 0)) in (dict, type(None)):
        key = key["payload"]
    if key is None:
        raise _null_key()
    if type(key) is not dict:
        raise DecodeError("The key is JSON, but not an object of key columns.", code="malformed_key", remedy=_REMEDY_CONNECTOR)
    if not key:
        raise _null_key()
    return key


def _null_key() -> DecodeError:
    return DecodeError(
        "The record has no key: its table has no primary key, so no document can be named.",
        code="null_key",
        remedy="Give the table a primary key, restart the connector and backfill the index.",
    )
