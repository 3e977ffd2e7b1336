"""The ledger lets no offset pass one that is not done, and the start of a partition is decided before anything is read."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_worker.change.model import TopicPartition
from sync_worker.progress.bookmark import Bookmark
from sync_worker.progress.ledger import Ledger
from sync_worker.progress.start import objection

PLACE = TopicPartition("t", 0)


def test_what_finishes_first_waits_for_what_came_first() -> None:
    """Work ends out of order, offsets move in order."""
    ledger = Ledger(PLACE, 0)
    first, second = ledger.take(0, 5), ledger.take(5, 9)
    second.release()
    assert not ledger.advance()
    assert ledger.next_offset == 0
    first.release()
    assert ledger.advance()
    assert ledger.next_offset == 9


def test_a_span_is_done_when_all_that_hold_it_let_go() -> None:
    """One span for several indexes: the slowest decides."""
    ledger = Ledger(PLACE, 0)
    span = ledger.take(0, 5)
    span.hold()
    span.release()
    assert not ledger.advance()
    span.release()
    assert ledger.advance()


def test_a_double_release_is_an_error() -> None:
    """It would acknowledge what is not done."""
    span = Ledger(PLACE, 0).take(0, 5)
    span.release()
    with pytest.raises(ValueError, match="released twice"):
        span.release()


@pytest.mark.parametrize(("first", "following"), [(4, 9), (6, 5)], ids=["goes back", "ends before it begins"])
def test_offsets_that_do_not_follow_are_refused(first: int, following: int) -> None:
    """Taking a range twice would acknowledge it once for two."""
    ledger = Ledger(PLACE, 0)
    ledger.take(0, 5)
    with pytest.raises(ValueError, match="do not follow"):
        ledger.take(first, following)


def test_gaps_between_spans_are_passed() -> None:
    """Markers and compaction leave holes: nothing is there to be done."""
    ledger = Ledger(PLACE, 3)
    ledger.take(7, 9).release()
    ledger.take(20, 20).release()
    assert ledger.advance()
    assert (ledger.next_offset, ledger.position) == (20, 20)


def test_the_oldest_open_change_tells_the_age() -> None:
    """A done span in front of it, or one without a change, does not."""
    ledger = Ledger(PLACE, 0)
    ledger.take(0, 1, since_ms=10).release()
    ledger.take(1, 2)
    ledger.take(2, 3, since_ms=30)
    assert ledger.since_ms == 30


@given(st.integers(1, 12), st.randoms())
def test_acknowledged_never_passes_an_open_span(count: int, random: Random) -> None:
    """Whatever the order of releases: `next_offset` is the first of the oldest span that is held."""
    ledger = Ledger(PLACE, 0)
    spans = [ledger.take(number * 2, number * 2 + 2) for number in range(count)]
    order = list(range(count))
    random.shuffle(order)
    open_spans = set(order)
    for number in order:
        spans[number].release()
        open_spans.discard(number)
        ledger.advance()
        assert ledger.next_offset == (spans[min(open_spans)].first if open_spans else count * 2)
    assert ledger.open_spans == 0


BOOKMARK = Bookmark(PLACE, "id-1", 50, {})


@pytest.mark.parametrize(
    ("bookmark", "committed", "topic_id", "start", "end", "words"),
    [
        (None, None, "id-1", 7, 90, None),
        (BOOKMARK, 50, "id-1", 50, 50, None),
        (BOOKMARK, 45, "id-1", 0, 90, None),
        (BOOKMARK, None, "id-1", 0, 90, None),
        (BOOKMARK, 50, "id-2", 0, 90, "made anew"),
        (BOOKMARK, None, "id-2", 0, 90, "made anew"),
        (BOOKMARK, 50, "id-1", 51, 90, "retention"),
        (None, 50, "id-1", 51, 90, "retention"),
        (BOOKMARK, 50, "id-1", 0, 49, "truncated"),
        (BOOKMARK, None, "id-1", 51, 90, "after the last acknowledged"),
        (BOOKMARK, None, "id-1", 0, 49, "before the last acknowledged"),
    ],
)
def test_what_would_lose_events_is_objected_to(
    bookmark: Bookmark | None, committed: int | None, topic_id: str, start: int, end: int, words: str | None
) -> None:
    """Kafka's clients reset in silence; here each way to lose events has its sentence (protocol 14)."""
    problem = objection(bookmark, committed, topic_id, start, end, subject="t:0")
    if words is None:
        assert problem is None
    else:
        assert problem is not None
        assert words in problem.message
        assert (problem.kind, problem.subject) == ("log-replaced", "t:0")
        assert "sync-worker backfill INDEX --prune" in problem.remedy


@pytest.mark.parametrize(("bookmark", "committed"), [(None, 50), (BOOKMARK, 51)])
def test_a_commit_that_the_state_database_does_not_know_is_objected_to(bookmark: Bookmark | None, committed: int) -> None:
    """The bookmark is stored before the commit: it was lost, restored from a copy, or the group's offset was moved."""
    problem = objection(bookmark, committed, "id-1", 0, 90, subject="t:0")
    assert problem is not None
    assert (problem.kind, problem.subject) == ("state-lost", "t:0")
    assert "findings clear state-lost t:0" in problem.remedy
