"""What of a status is wrong. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sync_worker.operations.status.report import (
    UNREACHABLE,
    ConnectorStatus,
    FindingStatus,
    HoldStatus,
    IndexStatus,
    Problem,
    SlotStatus,
    Unreachable,
    WorkerStatus,
)
from sync_worker.ports import PAUSED


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds.

    Attributes:
        lag_s: age of the oldest unapplied change from which an index counts as behind.
        canary_s: age of the canary from which the chain counts as dead.
    """

    lag_s: float
    canary_s: float


def unreachable_problems(parts: Sequence[Unreachable]) -> Iterator[Problem]:
    for part in parts:
        yield Problem(UNREACHABLE, part.part, f"{part.part} did not answer: {part.cause}", "sync-worker doctor", found=False)


def index_problems(index: IndexStatus, id_field: str, limits: Limits) -> Iterator[Problem]:
    """Args: `id_field` is the declared primary key."""
    name = index.index
    if index.exists is False:
        yield Problem("index-missing", name, f"there is no index {index.uid}", "sync-worker indexes create")
    elif index.exists and index.primary_key != id_field:
        what = f"{index.uid} has the primary key {index.primary_key}, declared is {id_field}"
        yield Problem("primary-key", name, what, f"sync-worker reindex {name}")
    if index.settings_differ:
        what = f"live settings differ from the declared ones: {', '.join(index.settings_differ)}"
        yield Problem("settings", name, what, f"sync-worker settings diff {name}")
    failures = {reason: count for reason, count in (index.open_failures or {}).items() if count}
    if failures:
        counted = ", ".join(f"{count} {reason}" for reason, count in failures.items())
        yield Problem("failed-work", name, f"failed work is open: {counted}", f"sync-worker failed list --index {name}")
    if index.lag_s is not None and index.lag_s > limits.lag_s and not index.paused:
        what = f"{index.lag_messages} changes wait, the oldest for {index.lag_s:.0f} s"
        yield Problem("lag", name, what, "see its holds and the workers; sync-worker status --watch shows whether it falls")


def connector_problems(connector: ConnectorStatus | None) -> Iterator[Problem]:
    if connector is None or connector.running:
        return
    state = connector.state
    if state is None:
        yield Problem("connector-missing", connector.name, "Connect knows no such connector", "sync-worker connector apply")
        return
    traces = [trace for trace in (state.trace, *(task.trace for task in state.tasks)) if trace]
    what = f"{state.state}, tasks: {', '.join(task.state for task in state.tasks) or 'none'}"
    remedy = "sync-worker connector restart" if "FAILED" in what else "sync-worker connector status"
    yield Problem("connector-down", connector.name, ": ".join([what, *traces[:1]]), remedy)


def slot_problems(slot: SlotStatus | None) -> Iterator[Problem]:
    if slot is None:
        return
    if not slot.exists:
        yield Problem("slot-missing", slot.name, "there is no such replication slot", "sync-worker connector apply")
    elif slot.wal_status in ("lost", "unreserved"):
        what = f"PostgreSQL says {slot.wal_status} of the WAL that the connector needs"
        yield Problem("slot-at-risk", slot.name, what, "sync-worker doctor")


def worker_problems(workers: Sequence[WorkerStatus] | None) -> Iterator[Problem]:
    if workers is None:
        return
    if not workers:
        yield Problem("no-worker", "workers", "no worker is alive: nothing is applied", "sync-worker run")
    for worker in workers:
        if not worker.answers:
            what = f"told of itself {worker.seen_s:.0f} s ago, and does not answer at {worker.address or 'any address'}"
            yield Problem("worker-silent", worker.worker, what, "look at its log", found=False)


def other_problems(
    holds: Sequence[HoldStatus] | None, findings: Sequence[FindingStatus] | None, alive: bool | None, canary_age_s: float | None
) -> Iterator[Problem]:
    for hold in holds or ():
        if hold.kind != PAUSED:
            yield Problem("hold", hold.subject, f"{hold.worker} waits: {hold.cause}", hold.remedy)
    for finding in findings or ():
        yield Problem(finding.kind, finding.subject, f"{finding.evidence}; in doubt: {finding.doubt}", finding.remedy)
    if alive is False:
        age = "none came yet" if canary_age_s is None else f"the newest is {canary_age_s:.0f} s old"
        yield Problem("canary", "chain", f"no message comes through from PostgreSQL: {age}", "sync-worker doctor")
