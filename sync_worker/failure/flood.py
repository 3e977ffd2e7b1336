"""The flood guard: a bad release or declaration must not pour a topic into the dead letters.

It stops the index with a typed error before anything is recorded; it never drops.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from sync_worker.failure.findings import FindingKind, needed


@dataclass(frozen=True, slots=True)
class FloodLimits:
    """From which failures on an index holds.

    Attributes:
        run: so many failures with no success between them.
        ratio: this share of failures among the last `window` documents.
    """

    run: int = 500
    ratio: float = 0.5
    window: int = 2_000


@dataclass(slots=True)
class FloodGuard:
    """Counts the outcomes of one index, in the order in which they come."""

    index: str
    limits: FloodLimits
    _run: int = field(default=0, init=False)
    _recent: deque[tuple[int, int]] = field(default_factory=deque, init=False)
    _failed: int = field(default=0, init=False)
    _total: int = field(default=0, init=False)

    @property
    def in_a_row(self) -> int:
        """Failures since the last success."""
        return self._run

    def observe(self, failed: int, passed: int, example: str = "") -> None:
        """Call before failures are recorded. Raises OperatorNeeded when they are too many."""
        self._run = 0 if passed else self._run + failed
        self._recent.append((failed, failed + passed))
        self._failed += failed
        self._total += failed + passed
        while self._recent and self._total - self._recent[0][1] >= self.limits.window:
            old_failed, old_total = self._recent.popleft()
            self._failed -= old_failed
            self._total -= old_total
        if not failed:
            return
        if self._run >= self.limits.run:
            seen = f"{self._run} changes failed with no success between them"
        elif self._total >= self.limits.window and self._failed >= self.limits.ratio * self._total:
            seen = f"{self._failed} of the last {self._total} changes failed"
        else:
            return
        raise needed(FindingKind.FAILURE_FLOOD, self.index, f"{self.index}: {seen}, the last with: {example}")
