"""When a flush is due.

The cost of a server batch is mostly fixed and grows with the index, and the server merges what waits. So: quiet, flush
at once; busy, collect for a part of the time that a task takes; behind, wake the server with a large flush, that it may be
busy until most of the rest is there, and send the rest in smaller ones, which it merges: what was not sent when it takes its
next batch costs a batch more, so the last of a backlog waits for nothing. While an initial snapshot streams in as fast as it
is consumed, collect about as much as keeps the server busy.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one index's flushes; documents and bytes, never tasks."""

    flush_documents: int = 60_000
    flush_bytes: int = 40 * 1024 * 1024
    in_flight_documents: int = 300_000
    in_flight_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Situation:
    """What the decision looks at.

    Attributes:
        documents, size: of what is collected, in documents and bytes.
        in_flight_documents, in_flight_bytes: sent and not settled.
        idle_s: seconds since something arrived.
        since_send_s: seconds since the last flush was sent.
        task_s: seconds that a task took lately, from accepted to finished.
        backlog: records at the broker that were not delivered yet.
        snapshot_rate: documents/s arriving while the connector's snapshot runs, 0 while none does.
        snapshot_ended: its last row is among what is collected.
    """

    documents: int
    size: int
    in_flight_documents: int
    in_flight_bytes: int
    idle_s: float
    since_send_s: float
    task_s: float
    backlog: int
    snapshot_rate: float
    snapshot_ended: bool = False


BEHIND = 5_000
"""Records at the broker from which on the worker is behind."""

_BUSY_SHARE = 0.4
_SNAPSHOT_SECONDS = 5.0
_SNAPSHOT_IDLE_S = 0.4
_BEHIND_IDLE_S = 0.25
_LINGER_SHARE = 0.2
_LINGER_MAX_S = 0.25


def wait_before_flush(now: Situation, limits: Limits) -> float | None:
    """Seconds until a flush is due if nothing else happens: 0 for now, None to wait for something to happen."""
    if now.documents == 0:
        return None
    room = now.in_flight_documents < limits.in_flight_documents and now.in_flight_bytes < limits.in_flight_bytes
    if now.in_flight_documents and not room:
        return None
    share = _BUSY_SHARE if now.in_flight_documents else 1.0
    if now.documents >= share * limits.flush_documents or now.size >= share * limits.flush_bytes:
        return 0.0
    if now.snapshot_ended or (now.backlog == 0 and now.snapshot_rate == 0 and now.documents >= BEHIND):
        return 0.0
    if now.snapshot_rate > 0:
        enough = min(limits.flush_documents, max(2_000.0, now.snapshot_rate * _SNAPSHOT_SECONDS))
        return 0.0 if now.documents >= enough else max(0.0, _SNAPSHOT_IDLE_S - now.idle_s)
    if now.backlog >= BEHIND or (now.backlog and now.documents >= BEHIND):
        return max(0.0, _BEHIND_IDLE_S - now.idle_s)
    if now.in_flight_documents == 0:
        return 0.0
    return max(0.0, min(_LINGER_MAX_S, now.task_s * _LINGER_SHARE) - now.since_send_s)
