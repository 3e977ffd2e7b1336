"""What the worker tells unasked: its heartbeat in the state database, and the lag of its partitions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import structlog

from sync_worker.change.model import TopicPartition
from sync_worker.errors import EnvironmentFault
from sync_worker.failure.findings import FindingKind
from sync_worker.failure.model import Finding
from sync_worker.pipeline.health import Health
from sync_worker.pipeline.partition import Partition
from sync_worker.ports import Clock, Membership, State, Telemetry

log = structlog.get_logger(__name__)

_ALIVE_S = 10.0
_LAG_S = 1.0


class Reporter:
    """Two loops that only look: a hold stops neither, for then they matter most.

    Args:
        partitions: those that the worker has now, kept up to date by whoever owns them.

    Attributes:
        address: URL of this worker's pages, empty until somebody serves them.
    """

    def __init__(
        self,
        worker_name: str,
        partitions: Mapping[TopicPartition, Partition],
        health: Health,
        *,
        state: State,
        membership: Membership,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self._worker_name = worker_name
        self._partitions = partitions
        self._health = health
        self._state = state
        self._membership = membership
        self._telemetry = telemetry
        self._clock = clock
        self.address = ""

    async def heartbeat(self) -> None:
        """Show this worker in the state database, and read the findings for readiness."""
        while True:
            try:
                await self.tell()
                findings = await self._state.findings()
                self._health.learned(findings)
                self._show_findings(findings)
            except EnvironmentFault as fault:
                log.warning("heartbeat not stored", cause=fault.message)
            await self._clock.sleep(_ALIVE_S)

    async def tell(self) -> None:
        """This worker lives: whoever waits for all of them waits for it from now on. Raises StateUnavailable."""
        holds = {hold.subject: hold.cause for hold in self._health.holds()}
        await self._state.worker_alive(self._worker_name, list(self._partitions), holds, self.address)

    def _show_findings(self, findings: Sequence[Finding]) -> None:
        # Every kind that this version knows, so that a gauge of one that was cleared falls to 0.
        counts = {**{kind.value: 0 for kind in FindingKind}, **Counter(finding.kind for finding in findings)}
        for kind, count in counts.items():
            self._telemetry.gauge("findings", count, kind=kind)

    async def lag(self) -> None:
        while True:
            for partition in self._partitions.values():
                self._show_lag(partition)
            await self._clock.sleep(_LAG_S)

    def _show_lag(self, partition: Partition) -> None:
        if partition.ledger is None:
            return
        place = partition.place
        lag = (self._membership.backlog(place) or 0) + partition.ledger.position - partition.ledger.next_offset
        since_ms = partition.ledger.since_ms
        age_s = max(0.0, self._clock.now() - since_ms / 1000) if since_ms is not None else 0.0
        self._telemetry.gauge("lag_messages", lag, topic=place.topic, partition=str(place.partition))
        self._telemetry.gauge("lag_seconds", age_s, topic=place.topic, partition=str(place.partition))
