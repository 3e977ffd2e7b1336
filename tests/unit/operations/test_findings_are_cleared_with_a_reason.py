"""`findings list` and `findings clear`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from sync_worker.errors import SyncWorkerError
from sync_worker.failure.model import Finding
from sync_worker.operations.findings import clear_finding, list_findings
from sync_worker.ports import State

LOST = Finding("sink-lost-memory", "cities", "created anew", "every document", "sync-worker check", True, 1.0, 2.0)


class Books:
    def __init__(self, *open_findings: Finding) -> None:
        self.open = list(open_findings)
        self.calls: list[tuple[Any, ...]] = []

    async def findings(self, *, open_only: bool = True) -> Sequence[Finding]:
        return self.open

    async def clear_finding(self, kind: str, subject: str, *, by: str) -> bool:
        self.calls.append(("clear", kind, subject, by))
        return True

    async def audit(self, actor: str, verb: str, subject: str, details: Mapping[str, Any]) -> None:
        self.calls.append(("audit", actor, verb, subject, dict(details)))


async def test_what_stops_writing_comes_first() -> None:
    """The operator reads the urgent one first."""
    harmless = replace(LOST, kind="a-truncate", blocking=False)
    report = await list_findings(cast("State", Books(harmless, LOST)))
    assert report.findings == (LOST, harmless)


async def test_clearing_is_audited_before_it_happens() -> None:
    """A crash in between leaves a line too many, never a change that nobody knows of."""
    books = Books(LOST)
    await clear_finding(
        cast("State", books), kind="sink-lost-memory", subject="cities", reason="restored and refilled", actor="ops"
    )
    assert books.calls == [
        ("audit", "ops", "findings clear", "sink-lost-memory cities", {"reason": "restored and refilled"}),
        ("clear", "sink-lost-memory", "cities", "ops: restored and refilled"),
    ]


@pytest.mark.parametrize(("subject", "reason"), [("towns", "settled"), ("cities", "  ")])
async def test_a_wrong_name_or_no_reason_changes_nothing(subject: str, reason: str) -> None:
    """A typing error must not look like success, and a reason is not optional."""
    books = Books(LOST)
    with pytest.raises(SyncWorkerError):
        await clear_finding(cast("State", books), kind="sink-lost-memory", subject=subject, reason=reason, actor="ops")
    assert books.calls == []
