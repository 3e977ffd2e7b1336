"""What `doctor` says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sync_worker.operations.report import report


class Severity(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It works, but somebody should know."""
    ERROR = "error"
    """Something is lost, stands still, or would be on the next fault."""
    UNKNOWN = "unknown"
    """The part did not answer, or may not be asked with this key."""


class Fix(StrEnum):
    """What `--fix` mends: only what belongs to sync-worker, and loses nothing."""

    NONE = ""
    APPLY_CONNECTOR = "apply-connector"
    RESTART_CONNECTOR = "restart-connector"
    SET_TOPICS = "set-topics"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was looked at.

    Attributes:
        check: stable name, for instance `clock-skew`.
        area: `source`, `kafka`, `connector`, `meilisearch`, `state`, `watch`.
        evidence: what was seen, with its numbers.
        remedy: the exact command, or what to do; empty where nothing needs doing.
        fix: what `--fix` would do about it.
    """

    check: str
    area: str
    subject: str
    severity: Severity
    evidence: str
    remedy: str = ""
    fix: Fix = Fix.NONE


@dataclass(frozen=True, slots=True)
class Fixed:
    """`outcome` is what was done, or why not."""

    fix: Fix
    done: bool
    outcome: str


@report("doctor")
@dataclass(frozen=True, slots=True)
class DoctorReport:
    """Every check, in the order of the way a change takes.

    Attributes:
        ok: no error, and nothing unknown.
        fixed: with `--fix`; the diagnoses are from after it.
    """

    ok: bool
    errors: int
    warnings: int
    unknown: int
    diagnoses: tuple[Diagnosis, ...]
    fixed: tuple[Fixed, ...]
