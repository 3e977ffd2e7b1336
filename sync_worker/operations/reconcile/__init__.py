"""`reconcile`: read everything, name what is wrong, recommend what to do. It changes nothing but by the one action named."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from sync_worker.errors import ConfigurationError
from sync_worker.operations.failed import FailedCounts
from sync_worker.operations.reconcile.plan import Read, plan
from sync_worker.operations.reconcile.report import Action, ActionApplied, ReconcileReport

Do = Callable[[Action], Awaitable[tuple[bool, str]]]
"""Does an action: whether it came to its end, and what came of it."""


def reconciled(read: Read, counts: FailedCounts | None) -> ReconcileReport:
    """The report of what was read."""
    symptoms, actions = plan(read)
    return ReconcileReport(not symptoms, symptoms, actions, (*read.status.unreachable, *read.unanswered), counts, None)


async def apply_action(report: ReconcileReport, name: str, do: Do) -> ReconcileReport:
    """Do exactly the action with this name. Raises ConfigurationError where the report does not recommend it, or it is for a
    person to run; the errors of the operation."""
    chosen = next((action for action in report.actions if action.action == name), None)
    if chosen is None:
        names = ", ".join(action.action for action in report.actions if action.applicable) or "none"
        raise ConfigurationError([f"--apply {name}: is not recommended now, so nothing was done"], remedy=f"recommended: {names}")
    if not chosen.applicable:
        raise ConfigurationError([f"--apply {name}: is run by itself, so nothing was done"], remedy=chosen.command)
    done, outcome = await do(chosen)
    return replace(report, applied=ActionApplied(name, chosen.command, done, outcome))


__all__ = ["Read", "ReconcileReport", "apply_action", "reconciled"]
