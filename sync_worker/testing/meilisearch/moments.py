"""Time as the server writes it: RFC 3339 with nanoseconds, durations as ISO 8601."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def timestamp(now_ns: int | None = None) -> str:
    now = time.time_ns() if now_ns is None else now_ns
    seconds, fraction = divmod(now, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:09d}".rstrip("0").rstrip(".") + "Z"


def duration(elapsed_ns: int) -> str:
    return f"PT{elapsed_ns / 1_000_000_000:.9f}S"
