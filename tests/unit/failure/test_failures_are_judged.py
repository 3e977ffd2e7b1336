"""Policy table, named documents, backoff, flood guard: held to what a real server answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_worker.errors import OperatorNeeded
from sync_worker.failure.backoff import backoff
from sync_worker.failure.flood import FloodGuard, FloodLimits
from sync_worker.failure.policy import POLICIES, Verdict, named_document, policy_for

RECORDINGS = Path(__file__).parents[2] / "fixtures" / "meilisearch-1.50"
WRITES = {"documentAdditionOrUpdate", "documentDeletion"}


def failed_writes() -> Iterator[tuple[str, str]]:
    """(code, message) of every recorded document task that failed."""
    for path in sorted(RECORDINGS.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            task = json.loads(line).get("task") or {}
            error = task.get("error")
            if error and task.get("type") in WRITES:
                yield error["code"], error["message"]


FILTER_CODES = {"invalid_document_filter"}
"""Deletion by filter, which the worker never does."""


def test_every_recorded_failure_of_a_write_has_a_policy_of_its_own() -> None:
    """Nothing that a real server was seen to say falls through to a guess."""
    codes = {code for code, _ in failed_writes()}
    assert len(codes) > 5
    assert codes - FILTER_CODES - POLICIES.keys() == set()


def test_an_unknown_code_is_never_blamed_on_a_document_by_guess() -> None:
    """It may be the environment's: only isolation, repeated and on a healthy server, can tell."""
    assert policy_for("a_code_of_tomorrow").verdict is Verdict.EITHER
    assert policy_for("invalid_settings_something_new").verdict is Verdict.DENIED


def test_every_policy_that_waits_for_somebody_says_what_to_do() -> None:
    """A hold without a remedy helps nobody."""
    assert [code for code, policy in POLICIES.items() if not policy.remedy and policy.verdict is not Verdict.AGAIN] == []


NAMED = {"invalid_document_geo_field", "invalid_vector_dimensions", "invalid_vectors_type", "vector_embedding_error"}


def test_the_recorded_messages_name_their_document() -> None:
    """Geo and vector errors: the id between the quotes is found, whatever stands around it."""
    looked_at = 0
    for code, message in failed_writes():
        if code in NAMED:
            ids = [str(number) for number in range(1_000)]
            named = named_document(message, ids)
            assert named is not None, message
            looked_at += 1
    assert looked_at > 10


def test_internal_names_nobody() -> None:
    """Its words are about the server's insides."""
    everybody = [str(number) for number in range(1000)]
    assert {named_document(message, everybody) for code, message in failed_writes() if code == "internal"} == {None}


def test_a_stranger_is_not_named() -> None:
    """Only a document of the pool can be meant."""
    message = 'Could not parse latitude in the document with the id: `"5"`. Was expecting a finite number.'
    assert named_document(message, {"5"}) == "5"
    assert named_document(message, {"6"}) is None
    assert named_document(None, {"5"}) is None


@given(st.integers(1, 100_000), st.floats(0, 1, exclude_max=True))
def test_backoff_stays_between_its_bounds(attempt: int, jitter: float) -> None:
    """It grows to half a minute and never overflows, not at attempt 1,025 either."""
    assert 0.125 <= backoff(attempt, jitter) <= 10.0


def test_backoff_grows() -> None:
    """Without jitter: doubling up to the longest."""
    waits = [backoff(attempt, 0.0) for attempt in range(1, 12)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1], backoff(1_025, 0.0)) == (0.25, 10.0, 10.0)


def test_an_unbroken_run_of_failures_is_a_flood() -> None:
    """One success in between is none."""
    guard = FloodGuard("things", FloodLimits(run=5, window=1_000))
    guard.observe(4, 0)
    guard.observe(0, 1)
    guard.observe(4, 0)
    with pytest.raises(OperatorNeeded, match="no success between them") as caught:
        guard.observe(1, 0, "value_misfit: x")
    assert caught.value.kind == "failure-flood"
    assert "value_misfit" in caught.value.message


def test_a_high_share_of_failures_is_a_flood() -> None:
    """Only once the window is full: the first few say nothing."""
    guard = FloodGuard("things", FloodLimits(run=10_000, ratio=0.5, window=100))
    for _ in range(49):
        guard.observe(1, 1)
    guard.observe(0, 1)
    with pytest.raises(OperatorNeeded, match="of the last"):
        guard.observe(1, 0)


def test_old_failures_leave_the_window() -> None:
    """A bad hour yesterday does not stop today."""
    guard = FloodGuard("things", FloodLimits(run=10_000, ratio=0.5, window=100))
    guard.observe(90, 1)
    for _ in range(20):
        guard.observe(0, 50)
    guard.observe(40, 1)
