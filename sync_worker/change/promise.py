"""Key changes whose create is not there: a restart of the connector between the delete and the create loses the create.

Seen with Debezium 3.7.0. The delete carries the key to come (`__debezium.newkey`): a promise. It is not waited for: where
no change of that key follows in the same run of records, the row is read from the source at once and has its place
where the delete has. If the create comes after all, it lies behind and wins; if it never comes, nothing is missing. So no
promise is ever open across an acknowledgement, and a restart of the worker just makes the same reading again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from sync_worker.change.header import promised_key, run_id
from sync_worker.change.model import Change, Operation, Record


@dataclass(frozen=True, slots=True)
class Promise:
    """A row whose new key a delete has named.

    Attributes:
        position: of the delete, in the list that was looked at.
        offset: of its record.
        run_id: of the connector's task that wrote it.
    """

    position: int
    offset: int
    key: Mapping[str, Any]
    run_id: str | None


def identity(key: Mapping[str, Any]) -> bytes:
    """Equal for equal keys, in whatever order their columns are."""
    return orjson.dumps(key, option=orjson.OPT_SORT_KEYS)


def promises(decoded: Sequence[tuple[Record, Change]]) -> tuple[int, list[Promise]]:
    """How many were kept by a later change of the key in this list, and those that were not."""
    made: dict[bytes, Promise] = {}
    kept = 0
    for position, (record, change) in enumerate(decoded):
        if change.operation is Operation.TRUNCATE:
            made.clear()
            continue
        if made and made.pop(identity(change.key), None) is not None:
            kept += 1
        if change.moved and (key := promised_key(record)) is not None:
            made[identity(key)] = Promise(position, record.offset, key, run_id(record))
    return kept, list(made.values())


class Watched:
    """Promises of one partition whose row was read: did the create come after all? For numbers only; nothing depends on it."""

    def __init__(self) -> None:
        self._open: dict[bytes, str | None] = {}

    def made(self, promise: Promise) -> None:
        self._open[identity(promise.key)] = promise.run_id

    def look(self, records: Sequence[Record]) -> tuple[int, int]:
        """How many these records keep, and how many are broken: records of a later run of the connector came first."""
        kept = broken = 0
        for record in records if self._open else ():
            run = run_id(record)
            for key in [key for key, made_in in self._open.items() if None not in (run, made_in) and made_in != run]:
                del self._open[key]
                broken += 1
            if record.key is not None and self._open.pop(_key(record.key), "none") != "none":
                kept += 1
            if not self._open:
                break
        return kept, broken


def _key(raw: bytes) -> bytes:
    try:
        key = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw
    if isinstance(key, dict) and len(key) == 2 and isinstance(key.get("schema"), dict) and "payload" in key:
        key = key["payload"]
    return orjson.dumps(key, option=orjson.OPT_SORT_KEYS)
