"""`findings list` and `findings clear`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from sync_worker.errors import SyncWorkerError
from sync_worker.failure.findings import Proof
from sync_worker.failure.model import Finding
from sync_worker.operations.findings import clear_finding, clear_proven, list_findings
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
        cast("State", books),
        kind="sink-lost-memory",
        subject="cities",
        reason="restored and refilled",
        actor="ops",
        unproven=True,
    )
    (started, cleared, ended) = books.calls
    assert started[:4] == ("audit", "ops", "findings clear", "sink-lost-memory cities")
    assert {"reason": "restored and refilled", "unproven": True, "outcome": "started"}.items() <= started[4].items()
    assert cleared == ("clear", "sink-lost-memory", "cities", "ops: restored and refilled")
    assert (ended[4]["outcome"], ended[4]["run"]) == ("done", started[4]["run"])


@pytest.mark.parametrize(("subject", "reason"), [("towns", "settled"), ("cities", "  ")])
async def test_a_wrong_name_or_no_reason_changes_nothing(subject: str, reason: str) -> None:
    """A typing error must not look like success, and a reason is not optional."""
    books = Books(LOST)
    with pytest.raises(SyncWorkerError):
        await clear_finding(
            cast("State", books), kind="sink-lost-memory", subject=subject, reason=reason, actor="ops", unproven=True
        )
    assert books.calls == []


async def test_a_missing_proof_is_named_and_has_to_be_vouched_for() -> None:
    """Clearing by hand what a command can prove is possible, and never by accident."""
    books = Books(LOST)
    with pytest.raises(SyncWorkerError, match="complete fill") as refused:
        await clear_finding(cast("State", books), kind="sink-lost-memory", subject="cities", reason="sure", actor="ops")
    assert "--unproven" in refused.value.remedy
    assert books.calls == []


async def test_what_only_a_person_can_know_needs_no_such_word() -> None:
    """A TRUNCATE that somebody was asked about is decided by them."""
    books = Books(replace(LOST, kind="truncate"))
    await clear_finding(cast("State", books), kind="truncate", subject="cities", reason="meant so", actor="ops")
    assert books.calls[1] == ("clear", "truncate", "cities", "ops: meant so")


@pytest.mark.parametrize(
    ("proof", "cleared"),
    [
        (Proof.FILL, ["never-filled", "changes-lost", "deletes-unproven"]),
        (Proof.COMPARISON, ["changes-lost", "deletes-unproven"]),
        (Proof.IDS, ["deletes-unproven"]),
    ],
)
async def test_a_proof_clears_what_it_shows_and_no_more(proof: Proof, cleared: list[str]) -> None:
    """A comparison of ids says nothing about content; a fill with ghosts removed says everything; neither decides for anybody."""
    kinds = ["never-filled", "changes-lost", "deletes-unproven", "truncate", "slot-missing", "of-tomorrow"]
    books = Books(*(replace(LOST, kind=kind) for kind in kinds))
    found = await clear_proven(cast("State", books), index="cities", proof=proof, began=3.0, by="backfill 7")
    assert [finding.kind for finding in found] == cleared


async def test_what_was_seen_after_a_proof_began_is_not_proven_by_it() -> None:
    """A slot that was dropped while the backfill ran is another loss. Other indexes are proven by their own."""
    books = Books(replace(LOST, kind="changes-lost", last_seen=3.5), replace(LOST, kind="changes-lost", subject="towns"))
    assert await clear_proven(cast("State", books), index="cities", proof=Proof.FILL, began=3.0, by="backfill 7") == ()
    assert books.calls == []
