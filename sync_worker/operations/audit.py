"""The audit log: every verb that changes something leaves a line when it starts, and one with what came of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import structlog

from sync_worker.errors import EnvironmentFault, SyncWorkerError
from sync_worker.operations.books import Books
from sync_worker.operations.report import report
from sync_worker.ports import AuditEntry, State

log = structlog.get_logger(__name__)

STARTED = "started"
_RUN, _OUTCOME = "run", "outcome"


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One call of a verb.

    Attributes:
        at, finished_at: seconds since 1970; `finished_at` is None while it runs, and for ever where it was killed.
        outcome: `done`, `failed`, `interrupted`, `started` (no end is known), or `recorded` (of a verb that writes one line).
        details: what the verb says about itself, and what came of it.
    """

    id: int
    at: float
    finished_at: float | None
    actor: str
    verb: str
    subject: str
    outcome: str
    details: Mapping[str, Any]


@report("audit")
@dataclass(frozen=True, slots=True)
class AuditReport:
    """Newest first."""

    lines: tuple[AuditLine, ...]


@asynccontextmanager
async def audited(state: State, actor: str, verb: str, subject: str, details: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Around the work of a verb. What is put into the yielded dict is told with the outcome.

    The start is stored before anything happens: a crash leaves a line too many rather than a change without one.
    Raises StateUnavailable where the start can't be stored.
    """
    run = uuid4().hex[:12]
    await state.audit(actor, verb, subject, {**details, _RUN: run, _OUTCOME: STARTED})
    told: dict[str, Any] = {}
    outcome = "interrupted"
    try:
        yield told
        outcome = "done"
    except SyncWorkerError as error:
        outcome = "failed"
        told["error"] = error.message
        raise
    finally:
        try:
            await state.audit(actor, verb, subject, {**told, _RUN: run, _OUTCOME: outcome})
        except EnvironmentFault as fault:
            log.warning("the outcome is not in the audit log", verb=verb, cause=fault.message)


async def audit_log(
    state: Books,
    *,
    verb: str | None = None,
    actor: str | None = None,
    subject: str | None = None,
    since: float | None = None,
    limit: int = 50,
) -> AuditReport:
    """Who called which verb when, with which outcome.

    Args:
        verb: how it starts, for instance `dlq`.
        since: seconds since 1970.

    Raises StateUnavailable.
    """
    # A call leaves two lines; the end of one that starts before the limit may lie beyond it.
    entries = await state.audit_log(verb=verb, actor=actor, subject=subject, since=since, limit=2 * limit + 2)
    ends = {entry.details[_RUN]: entry for entry in entries if _RUN in entry.details and entry.details[_OUTCOME] != STARTED}
    lines = [_line(entry, ends) for entry in entries if entry.details.get(_OUTCOME, STARTED) == STARTED]
    return AuditReport(tuple(lines[:limit]))


def _line(entry: AuditEntry, ends: Mapping[str, AuditEntry]) -> AuditLine:
    end = ends.get(entry.details.get(_RUN, ""))
    details = {**entry.details, **(end.details if end is not None else {})}
    run = details.pop(_RUN, None)
    outcome = details.pop(_OUTCOME, "recorded")
    finished_at = entry.at if run is None else None if end is None else end.at
    return AuditLine(entry.id, entry.at, finished_at, entry.actor, entry.verb, entry.subject, str(outcome), details)
