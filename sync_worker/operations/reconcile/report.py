"""What `reconcile` says."""

from __future__ import annotations

from dataclasses import dataclass

from sync_worker.operations.failed import FailedCounts
from sync_worker.operations.report import report
from sync_worker.operations.status.report import UNREACHABLE, Unreachable


@dataclass(frozen=True, slots=True)
class Symptom:
    """One thing that is wrong, with what was seen. `kind` is stable, as in `status`, `contract` and `findings`."""

    kind: str
    subject: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do.

    Attributes:
        action: its name, for `reconcile --apply`.
        command: the same, exactly, for a shell.
        why: which symptom it mends.
        cost, risk: in a sentence each.
        applicable: whether `reconcile --apply` does it; the others are for a person to run.
    """

    action: str
    command: str
    why: str
    cost: str
    risk: str
    applicable: bool


@dataclass(frozen=True, slots=True)
class ActionApplied:
    """What `--apply` did. `done` is False where it was begun and did not come to its end."""

    action: str
    command: str
    done: bool
    outcome: str


@report("reconcile")
@dataclass(frozen=True, slots=True)
class ReconcileReport:
    """Everything that was read, and what to do about it, in this order.

    Attributes:
        ok: no symptom, and everything answered.
        failed_work_counts: None where the state database did not answer.
        applied: with `--apply`; the rest of the report is from before it.
    """

    ok: bool
    findings: tuple[Symptom, ...]
    actions: tuple[Action, ...]
    unreachable: tuple[Unreachable, ...]
    failed_work_counts: FailedCounts | None
    applied: ActionApplied | None

    @property
    def only_unanswered(self) -> bool:
        """All that is wrong is that some part did not answer."""
        return not self.ok and all(symptom.kind == UNREACHABLE for symptom in self.findings)
