"""What the worker noticed and an operator must know: list it, and clear it with a reason."""

from __future__ import annotations

from dataclasses import dataclass

from sync_worker.errors import SyncWorkerError
from sync_worker.failure.model import Finding
from sync_worker.ports import State


@dataclass(frozen=True, slots=True)
class FindingsReport:
    """Open findings, those that stop writing first."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class FindingCleared:
    kind: str
    subject: str
    reason: str
    by: str


async def list_findings(state: State) -> FindingsReport:
    """Raises StateUnavailable."""
    found = await state.findings(open_only=True)
    return FindingsReport(tuple(sorted(found, key=lambda f: (not f.blocking, f.kind, f.subject))))


async def clear_finding(state: State, *, kind: str, subject: str, reason: str, actor: str) -> FindingCleared:
    """Declare a finding settled: the worker goes on where it held for it.

    Raises SyncWorkerError where no such finding is open, and for an empty reason.
    """
    if not reason.strip():
        raise SyncWorkerError("a reason is needed: it is kept in the audit log", remedy='--reason "why this is settled"')
    # Before the change: a crash in between leaves a line too many rather than a change without one.
    if not any(f.kind == kind and f.subject == subject for f in await state.findings(open_only=True)):
        raise SyncWorkerError(f"no finding {kind!r} about {subject!r} is open", remedy="sync-worker findings list")
    await state.audit(actor, "findings clear", f"{kind} {subject}", {"reason": reason})
    await state.clear_finding(kind, subject, by=f"{actor}: {reason}")
    return FindingCleared(kind, subject, reason, actor)
