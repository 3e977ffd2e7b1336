"""Logical messages of the source as they come through Kafka: the canary's heartbeats and the tokens of barriers.

Both are written in a transaction of their own, so each comes after everything that was committed before it.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

import orjson

from sync_worker.change.header import run_id
from sync_worker.change.model import Record

BARRIER_PREFIX = "sync-worker.barrier"


@dataclass(frozen=True, slots=True)
class Message:
    """One transactional logical message.

    Attributes:
        order: (commit LSN of the transaction before it, its own LSN), Debezium's `source.sequence`. Unlike the LSN alone
            it rises from record to record of one connector.
        source_ms: when it was committed, by PostgreSQL's clock, milliseconds since 1970.
        run_id: of the connector's task that sent it; None before Debezium 3.7.
    """

    prefix: str
    content: str
    order: tuple[int, int]
    source_ms: int
    run_id: str | None

    @property
    def lsn(self) -> int:
        """Every transaction whose commit ended at or below it was sent before this message."""
        return self.order[1]


def logical_message(record: Record) -> Message | None:
    """The message that a record of the topic of messages holds; None for anything else that somebody put there."""
    try:
        event = orjson.loads(record.value or b"null")
        if "op" not in event and "payload" in event:
            event = event["payload"]
        source, message = event["source"], event["message"]
        if event["op"] != "m":
            return None
        content = base64.b64decode(message.get("content") or "", validate=True).decode("utf-8", errors="replace")
        return Message(str(message["prefix"]), content, _order(source), int(source["ts_ms"]), run_id(record))
    except (orjson.JSONDecodeError, TypeError, KeyError, ValueError, AttributeError, binascii.Error):
        return None


def _order(source: dict[str, Any]) -> tuple[int, int]:
    before, _ = orjson.loads(source.get("sequence") or "[null,null]")
    return int(before or 0), int(source["lsn"])


def parse_lsn(text: str) -> int:
    """PostgreSQL's `16/B374D848`, or the same as a decimal number. Raises ValueError."""
    high, slash, low = text.strip().partition("/")
    if not slash:
        return int(high)
    if not (0 < len(high) <= 8 and 0 < len(low) <= 8):
        raise ValueError(f"{text!r} is no LSN such as 16/B374D848")
    return (int(high, 16) << 32) | int(low, 16)


def shown_lsn(lsn: int) -> str:
    """As PostgreSQL writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
