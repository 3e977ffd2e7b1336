"""How the worker is: what `/healthz`, `/readyz` and the scraped metrics ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sync_worker.change.model import TopicPartition
from sync_worker.failure.findings import FindingKind, leaves_unready
from sync_worker.failure.model import Finding
from sync_worker.pipeline.holds import Hold, Holds
from sync_worker.pipeline.partition import Partition
from sync_worker.pipeline.tasks import Tasks
from sync_worker.ports import Clock, Membership
from sync_worker.progress.passed import Position


class Health:
    """Answers at once, from what is known; waits for nobody.

    Args:
        partitions: those that the worker has now, kept up to date by whoever owns them.
    """

    def __init__(
        self, partitions: Mapping[TopicPartition, Partition], holds: Holds, tasks: Tasks, *, membership: Membership, clock: Clock
    ) -> None:
        self._partitions = partitions
        self._holds = holds
        self._tasks = tasks
        self._membership = membership
        self._clock = clock
        self._applied_at: float | None = None
        self._findings: Sequence[Finding] = ()

    def applied(self) -> None:
        """A flush was applied just now."""
        self._applied_at = self._clock.monotonic()

    def learned(self, findings: Sequence[Finding]) -> None:
        """The open findings, as the state database has them now."""
        self._findings = findings

    def ready(self) -> bool:
        """Whether every assigned partition is prepared."""
        return bool(self._partitions) and all(
            partition.active and partition.ready.is_set() for partition in self._partitions.values()
        )

    def positions(self) -> dict[TopicPartition, Position]:
        """How far each partition that this worker owns is: everything below is applied, superseded or recorded."""
        found = {}
        for place, partition in self._partitions.items():
            if partition.active and partition.ledger is not None and self._membership.owns(place, partition.generation):
                partition.ledger.advance()
                found[place] = Position(partition.ledger.next_offset, partition.topic_id, partition.generation, "")
        return found

    def holds(self) -> Sequence[Hold]:
        return self._holds.current()

    def holds_index(self, index: str) -> str | None:
        """What the watch saw that forbids to read on for this index; None where nothing does."""
        for finding in self._findings:
            if finding.subject == index and finding.kind == FindingKind.KEY_CHANGED:
                return finding.evidence
        return None

    def unready_findings(self) -> Sequence[Finding]:
        return [finding for finding in self._findings if leaves_unready(finding)]

    def commit_age_s(self) -> dict[TopicPartition, float]:
        """Seconds since the last acknowledgement of each partition that has work left."""
        now = self._clock.monotonic()
        ages = {}
        for place, partition in self._partitions.items():
            behind = partition.ledger is None or partition.ledger.position > partition.saved
            if behind or (self._membership.backlog(place) or 0) > 0:
                ages[place] = now - partition.saved_at
        return ages

    def last_applied_age_s(self) -> float | None:
        return None if self._applied_at is None else self._clock.monotonic() - self._applied_at

    def failed_tasks(self) -> Sequence[str]:
        return self._tasks.ended()
