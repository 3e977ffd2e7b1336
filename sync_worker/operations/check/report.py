"""What a check says, and a whole report of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sync_worker.errors import ConfigurationError, SinkDenied, SyncWorkerError
from sync_worker.operations.report import report


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It works, but somebody should know."""
    ERROR = "error"
    """The worker would hold, dead-letter or lose something."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        area: `source`, `kafka`, `connector`, `meilisearch`, `state` or `watch`; `configuration` where it could not even be read.
        subject: the table, topic, index or instance.
        remedy: what to do; empty where nothing needs doing.
        answered: False where the part could not be asked, so that the verdict is not about the configuration.
    """

    area: str
    subject: str
    verdict: Verdict
    message: str
    remedy: str = ""
    answered: bool = True


@report("check")
@dataclass(frozen=True, slots=True)
class CheckReport:
    """Every check, in the order of the way a change takes. `ok`: no error among them; warnings are allowed."""

    ok: bool
    checks: tuple[Check, ...]

    @classmethod
    def of(cls, checks: Iterable[Check]) -> CheckReport:
        found = tuple(checks)
        return cls(all(check.verdict is not Verdict.ERROR for check in found), found)

    @property
    def unanswered_only(self) -> bool:
        """All that is wrong is that some part did not answer."""
        return bool(self._errors) and not any(check.answered for check in self._errors)

    @property
    def _errors(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.verdict is Verdict.ERROR)


def unanswered(area: str, subject: str, error: SyncWorkerError) -> Check:
    """The part could not be asked. One that refuses the credentials has answered: that is a finding about the configuration."""
    answered = isinstance(error, ConfigurationError | SinkDenied)
    usual = "correct the configuration" if answered else "start it or correct its address, then check again"
    return Check(area, subject, Verdict.ERROR, error.message, error.remedy or usual, answered)


def ok_unless(area: str, subject: str, problems: Iterable[Check], *, message: str) -> list[Check]:
    """The problems, or one line that says that there is none."""
    found = list(problems)
    return found or [Check(area, subject, Verdict.OK, message)]
