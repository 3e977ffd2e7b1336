"""A worker that is alive and consumes nothing is worse than one that ended."""

from __future__ import annotations

import pytest
from stream_harness import Group, eventually

QUICK = {
    "sync_worker.stream.watchdog:_REFUSED_S": 1.0,
    "sync_worker.stream.watchdog:_RESUMED_S": 2.0,
    "sync_worker.stream.standstill:STANDING_S": 4.0,
    "sync_worker.stream.run:LOOP_LIMIT_S": 4.0,
}


@pytest.mark.parametrize(
    ("sabotage", "reason"),
    [
        ("coordination_ends", "aiokafka's task for group coordination ended"),
        ("fetching_ends", "aiokafka's task for fetching ended"),
        ("drain_ends", "the fetch loop ended"),
        ("commit_loop_ends", "the commit loop ended"),
        ("recovery_ends", "did not resume the stream after an assignment"),
        ("group_is_forbidden", "GroupAuthorizationFailedError"),
        ("commits_are_refused", "the group refuses commits although no rebalance is going on"),
        ("a_delivery_vanishes", "expected records from offset"),
        ("take_raises", "a bug of the pipeline"),
        ("reading_stops", "has not been read on for"),
        ("thread_blocks", "the consumer's thread has been blocked for"),
        ("loop_blocks", "its event loop has stood for"),
        ("pipeline_hangs", "been neither in flight nor held"),
    ],
)
def test_a_part_that_ends_ends_the_process(group: Group, sabotage: str, reason: str) -> None:
    """Non-zero, with the reason logged last."""
    topic = group.topics[0]
    group.create(topic)
    group.produce(topic, 10)
    worker = group.start(sabotage=sabotage, patch=QUICK)
    eventually(lambda: worker.events("sabotage"))
    # Some of it shows only with the next records.
    eventually(lambda: worker.process.poll() is not None or group.produce(topic, 1), 40)

    assert worker.wait(40) == 1
    critical = worker.log().rpartition("CRITICAL")[2]
    assert "the worker ended" in critical
    assert reason in critical
