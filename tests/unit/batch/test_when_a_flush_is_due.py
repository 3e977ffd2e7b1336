"""Pace: quiet, busy, behind, snapshot, and the limits on what is in flight."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sync_worker.batch.pace import BEHIND, Limits, Situation, wait_before_flush

LIMITS = Limits(flush_documents=100, flush_bytes=10_000, in_flight_documents=200, in_flight_bytes=20_000)
ONE = Situation(
    documents=1,
    size=10,
    in_flight_documents=0,
    in_flight_bytes=0,
    idle_s=0.0,
    since_send_s=0.0,
    task_s=0.1,
    backlog=0,
    snapshot_rate=0.0,
)
BUSY = replace(ONE, in_flight_documents=10, in_flight_bytes=100)


def test_nothing_collected_waits_for_something() -> None:
    """No empty flush is sent."""
    assert wait_before_flush(replace(ONE, documents=0), LIMITS) is None


def test_quiet_flushes_at_once() -> None:
    """Nothing in flight, no backlog: no linger."""
    assert wait_before_flush(ONE, LIMITS) == 0.0


def test_busy_collects_for_a_part_of_a_tasks_time() -> None:
    """Long tasks, longer collecting, but never more than a quarter of a second."""
    assert wait_before_flush(BUSY, LIMITS) == pytest.approx(0.02)
    assert wait_before_flush(replace(BUSY, task_s=100.0), LIMITS) == pytest.approx(0.25)
    assert wait_before_flush(replace(BUSY, since_send_s=1.0), LIMITS) == 0.0


def test_behind_fills_large_flushes() -> None:
    """A backlog at the broker: wait for more, until the flush is full or nothing comes."""
    behind = replace(BUSY, backlog=BEHIND)
    wait = wait_before_flush(behind, LIMITS)
    assert wait is not None
    assert wait > 0
    assert wait_before_flush(replace(behind, documents=39), LIMITS) != 0.0
    assert wait_before_flush(replace(behind, documents=40), LIMITS) == 0.0
    assert wait_before_flush(replace(behind, size=10_000), LIMITS) == 0.0
    assert wait_before_flush(replace(behind, idle_s=1.0), LIMITS) == 0.0


def test_the_first_flush_of_a_backlog_is_the_largest() -> None:
    """The server is busy with it until most of the rest is sent, and merges that."""
    first = replace(ONE, backlog=BEHIND)
    assert wait_before_flush(replace(first, documents=99), LIMITS) != 0.0
    assert wait_before_flush(replace(first, documents=100), LIMITS) == 0.0


def test_the_tail_of_a_backlog_is_not_left_to_a_batch_of_its_own() -> None:
    """Much is collected and a little is still to come: one server batch for all of it."""
    almost = replace(ONE, documents=BEHIND, backlog=1)
    assert wait_before_flush(almost, Limits()) != 0.0
    assert wait_before_flush(replace(almost, backlog=0), Limits()) == 0.0
    assert wait_before_flush(replace(almost, documents=BEHIND - 1), Limits()) == 0.0


def test_the_tail_of_a_backlog_is_sent_at_once_while_the_server_is_busy() -> None:
    """What is not sent when the server takes its next batch costs a batch more: no linger, however long tasks take."""
    tail = replace(BUSY, documents=BEHIND, task_s=100.0)
    assert wait_before_flush(tail, Limits()) == 0.0
    assert wait_before_flush(replace(tail, backlog=1), Limits()) != 0.0
    assert wait_before_flush(replace(tail, documents=BEHIND - 1), Limits()) != 0.0


def test_a_snapshots_last_row_takes_along_what_was_collected() -> None:
    """Nothing more of it will come, so nobody waits whether the stream pauses."""
    collecting = replace(BUSY, documents=100, snapshot_rate=2_000.0, task_s=100.0)
    assert wait_before_flush(collecting, Limits()) != 0.0
    assert wait_before_flush(replace(collecting, snapshot_rate=0.0, snapshot_ended=True), Limits()) == 0.0


def test_a_snapshot_collects_what_keeps_the_server_busy() -> None:
    """About five seconds' worth, and what is there once the stream pauses."""
    limits = Limits()
    snapshot = replace(ONE, documents=5_000, snapshot_rate=2_000.0)
    wait = wait_before_flush(snapshot, limits)
    assert wait is not None
    assert wait > 0
    assert wait_before_flush(replace(snapshot, documents=10_000), limits) == 0.0
    assert wait_before_flush(replace(snapshot, idle_s=1.0), limits) == 0.0


@pytest.mark.parametrize("full", [{"in_flight_documents": 200}, {"in_flight_bytes": 20_000}])
def test_no_more_is_sent_than_may_be_in_flight(full: dict[str, int]) -> None:
    """The limit is in documents and bytes (invariant 7)."""
    assert wait_before_flush(replace(BUSY, documents=100, **full), LIMITS) is None


def test_one_flush_above_the_limit_still_goes() -> None:
    """With nothing in flight there is always room, or a large batch would wait for ever."""
    assert wait_before_flush(replace(ONE, documents=500, size=50_000), LIMITS) == 0.0
