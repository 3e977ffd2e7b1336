"""What the worker noticed and an operator must know: list it, and clear it with a reason."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sync_worker.errors import SyncWorkerError
from sync_worker.failure.findings import Proof, rule_of
from sync_worker.failure.model import Finding
from sync_worker.operations.audit import audited
from sync_worker.operations.report import report
from sync_worker.ports import State


@report("findings-list")
@dataclass(frozen=True, slots=True)
class FindingsReport:
    """Open findings, those that stop writing first."""

    findings: tuple[Finding, ...]


@report("findings-clear")
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


async def clear_finding(
    state: State, *, kind: str, subject: str, reason: str, actor: str, unproven: bool = False
) -> FindingCleared:
    """Declare a finding settled: the worker goes on where it held for it.

    Args:
        unproven: somebody vouches for what the kind's proof would show; needed for kinds that have one.

    Raises SyncWorkerError where no such finding is open, for an empty reason, and for a proof that is missing.
    """
    if not reason.strip():
        raise SyncWorkerError("a reason is needed: it is kept in the audit log", remedy='--reason "why this is settled"')
    # Before the change: a crash in between leaves a line too many rather than a change without one.
    open_one = next((f for f in await state.findings(open_only=True) if f.kind == kind and f.subject == subject), None)
    if open_one is None:
        raise SyncWorkerError(f"no finding {kind!r} about {subject!r} is open", remedy="sync-worker findings list")
    rule = rule_of(kind)
    vouched = rule is not None and rule.proof is not Proof.DECISION
    if rule is not None and vouched and not unproven:
        raise SyncWorkerError(
            f"{kind} about {subject}: the proof is missing ({_MISSING[rule.proof]})",
            remedy=f"{open_one.remedy}; with --unproven you vouch for it yourself",
        )
    async with audited(state, actor, "findings clear", f"{kind} {subject}", {"reason": reason, "unproven": vouched}):
        await state.clear_finding(kind, subject, by=f"{actor}: {reason}")
    return FindingCleared(kind, subject, reason, actor)


async def clear_proven(
    state: State, *, index: str, proof: Proof, began: float, by: str, subjects: Collection[str] = ()
) -> tuple[Finding, ...]:
    """Clear every finding about this index that the proof settles; which ones.

    A fill with ghosts removed shows what a comparison would, and a comparison what one of ids would.

    Args:
        began: when the proof's work began, seconds since 1970. What was seen since then is not proven.
        by: the verb and its run, for instance `backfill 7`.
        subjects: further subjects that the same proof settles: the partitions of the index's topic and the topic itself, where
            every index of the table was proven.

    Raises StateUnavailable.
    """
    about = {index, *subjects}
    cleared = []
    for finding in await state.findings(open_only=True):
        rule = rule_of(finding.kind)
        if rule is None or finding.subject not in about or finding.last_seen > began or rule.proof not in _SHOWN_BY[proof]:
            continue
        await state.audit(by, "findings clear", f"{finding.kind} {finding.subject}", {"proof": proof.value})
        if await state.clear_finding(finding.kind, finding.subject, by=f"{by}: {proof.value}"):
            cleared.append(finding)
    return tuple(cleared)


_SHOWN_BY: Mapping[Proof, frozenset[Proof]] = {
    Proof.FILL: frozenset({Proof.FILL, Proof.COMPARISON, Proof.IDS}),
    Proof.COMPARISON: frozenset({Proof.COMPARISON, Proof.IDS}),
    Proof.IDS: frozenset({Proof.IDS}),
    Proof.DECISION: frozenset(),
    Proof.GONE: frozenset(),
}

_MISSING: Mapping[Proof, str] = {
    Proof.FILL: "a complete fill with ghosts removed",
    Proof.COMPARISON: "a clean comparison of every row with its document, or a complete fill",
    Proof.IDS: "a clean comparison of the ids, or more",
    Proof.GONE: "the watch looks every minute and clears it once it is gone",
}
