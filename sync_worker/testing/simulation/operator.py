"""The operator: does what a finding says, and clears it. A finding without a cause is a false alarm, and that is a violation."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sync_worker.failure.model import Finding
from sync_worker.testing.simulation import engine

if TYPE_CHECKING:
    from sync_worker.testing.simulation.world import World

CAUSES: dict[str, tuple[str, ...]] = {
    "sink-lost-memory": ("restored", "tasks forgotten by a crash", "late clear"),
    "log-replaced": ("retention", "topic made anew"),
    "state-lost": ("state lost",),
    "failure-flood": ("poison",),
    "foreign-write": ("foreign write",),
    "late-write-not-undone": ("retention", "topic made anew"),
    "tasks-unseen": ("history pruned",),
    "truncate-over-partitions": ("truncate over partitions",),
    "never-filled": ("state lost",),
    "partition-count-changed": ("state lost",),
}
"""Finding → what must have happened for it to be true."""

_FILLS = (
    "sink-lost-memory", "log-replaced", "state-lost", "foreign-write", "late-write-not-undone", "tasks-unseen",
    "truncate-over-partitions",
)  # fmt: skip


class Operator:
    """Looks every few seconds."""

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def busy(self) -> bool:
        return any(finding.cleared_by is None for finding in self._world.state.found)

    async def work(self) -> None:
        while True:
            await asyncio.sleep(1.0 + engine.choose(3))
            for finding in list(self._world.state.found):
                if finding.cleared_by is None:
                    await self._mend(finding)

    async def _mend(self, finding: Finding) -> None:
        world = self._world
        world.checks.sometimes[f"finding: {finding.kind}"] += 1
        causes = CAUSES.get(finding.kind, ())
        if finding.kind == "failure-flood":
            causes = ("poison",) if world.profile.poison or world.struck["server is sick"] else ()
            world.checks.causes.add("poison")
        if "cleared the index behind" in finding.evidence:
            causes = ("clear",)  # one of ours, answered after a rebalance: by the rule it counts as late
        if world.checks.causes.isdisjoint(causes):
            world.checks.fail(f"false alarm: {finding.kind} {finding.subject}: {finding.evidence}")
        if finding.kind in _FILLS:
            # The fill is not bounded by this: its rows come through the log as any others. Ghosts stay until pruning is there.
            world.checks.forget()
            for table in world.tables:
                world.connector.snapshot(table)
        await world.state.clear_finding(finding.kind, finding.subject, by="the operator")
