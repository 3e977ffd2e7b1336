"""How long to wait before the next attempt."""

from __future__ import annotations

_FIRST_S = 0.25
_LONGEST_S = 10.0


def backoff(attempt: int, jitter: float) -> float:
    """Seconds to wait after failed attempt number `attempt` (1, 2, …); `jitter` is a random number in [0, 1).

    Doubles from 0.25 s to 10 s; the jitter takes away up to half, so that many workers do not come back at once.
    """
    doublings = min(max(attempt, 1) - 1, 16)
    return min(_LONGEST_S, _FIRST_S * float(2**doublings)) * (1.0 - jitter / 2.0)
