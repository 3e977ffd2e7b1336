"""Kinds of findings: one list says what each does, doubts and wants."""

from __future__ import annotations

from string import Formatter

import pytest

from sync_worker.failure.findings import RULES, FindingKind, Proof, found, leaves_unready, needed
from sync_worker.failure.model import Finding


def words(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name}


@pytest.mark.parametrize("kind", FindingKind)
def test_every_kind_names_its_doubt_and_the_command_that_clears_it(kind: FindingKind) -> None:
    """An operator who sees a finding of any kind is told what is in doubt and which command settles it."""
    rule = RULES[kind]

    assert rule.doubt
    # What the watch sees go, it clears; what a command proves, that command clears; who clears it without one says so.
    clears = f"sync-worker findings clear {kind.value} {{subject}} --reason" in rule.remedy
    if rule.proof is Proof.DECISION:
        assert clears
        assert "--unproven" not in rule.remedy
    elif rule.proof is not Proof.GONE:
        assert "sync-worker backfill " in rule.remedy or "sync-worker drift " in rule.remedy
        assert clears == ("--unproven" in rule.remedy)


@pytest.mark.parametrize("kind", [kind for kind in FindingKind if RULES[kind].blocks])
def test_what_blocks_is_unready_and_can_be_told_from_its_error_alone(kind: FindingKind) -> None:
    """A worker that holds never calls itself ready, and its error carries all that the finding says."""
    rule = RULES[kind]
    problem = needed(kind, "things", "what was seen")
    finding = found(kind, problem.subject, problem.message, now=5.0)

    assert rule.unready
    assert words(rule.doubt) | words(rule.remedy) <= {"subject"}
    assert (finding.kind, finding.blocking, finding.remedy) == (problem.kind, True, problem.remedy)
    assert leaves_unready(finding)


def test_a_finding_that_only_informs_leaves_the_worker_ready() -> None:
    """A foreign write is told, and the worker stays in service."""
    assert not leaves_unready(found(FindingKind.FOREIGN_WRITE, "things", "task 7", now=1.0))


@pytest.mark.parametrize("blocking", [True, False])
def test_a_kind_of_another_version_counts_by_whether_it_blocks(blocking: bool) -> None:
    """A finding that a newer worker stored does not break an older one's readiness."""
    assert leaves_unready(Finding("of-tomorrow", "things", "seen", "doubt", "remedy", blocking, 1.0, 1.0)) is blocking


def test_a_word_that_is_missing_is_noticed() -> None:
    """No operator is shown a template with a hole."""
    with pytest.raises(KeyError):
        found(FindingKind.LATE_WRITE_NOT_UNDONE, "things", "task 7", now=1.0)
