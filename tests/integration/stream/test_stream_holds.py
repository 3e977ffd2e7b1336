"""A pipeline that waits: for minutes, for days."""

from __future__ import annotations

import time
from pathlib import Path

from stream_harness import Group, eventually

POLL_LIMIT = {"sync_worker.stream.client:MAX_POLL_INTERVAL_S": 2.0}


def test_a_long_hold_keeps_its_membership_and_goes_on(group: Group, tmp_path: Path) -> None:
    """Stock Faust leaves the group after the poll interval, and never comes back."""
    topic = group.topics[0]
    hold = tmp_path / "hold"
    hold.touch()
    group.create(topic)
    group.produce(topic, 100)
    worker = group.start(hold=str(hold), patch=POLL_LIMIT)
    eventually(lambda: worker.events("held"))

    # Far longer than the poll interval, and longer than the session: a member that left would be gone from the group.
    until = time.monotonic() + 9
    eventually(lambda: time.monotonic() > until)
    hold.unlink()

    eventually(lambda: group.committed(topic) == 100)
    assert len(worker.events("assigned")) == 1
    assert not worker.events("revoked")
    group.assert_nothing_skipped_or_repeated()


def test_a_spare_worker_without_partitions_takes_over_after_a_long_wait(group: Group) -> None:
    """It does not fetch, but it is a member all the same."""
    topic = group.topics[0]
    group.create(topic)
    group.produce(topic, 10)
    workers = [group.start(patch=POLL_LIMIT), group.start(patch=POLL_LIMIT)]
    eventually(lambda: all(worker.events("assigned") for worker in workers))
    eventually(lambda: sorted(len(worker.owned()) for worker in workers) == [0, 1])
    until = time.monotonic() + 9
    eventually(lambda: time.monotonic() > until)

    busy, spare = sorted(workers, key=lambda worker: -len(worker.owned()))
    busy.terminate()
    assert busy.wait(10) == 0
    group.produce(topic, 10, first=10)

    eventually(lambda: len(spare.taken()[0]) == 10, 15)


def test_a_held_partition_does_not_stop_the_others(group: Group, tmp_path: Path) -> None:
    """One index on hold holds its own partitions; memory stays bounded, and nothing of it is lost."""
    held, other = group.topics[0], f"{group.topics[0]}_other"
    group.topics.append(other)
    hold = tmp_path / "hold"
    hold.touch()
    group.create(held)
    group.create(other)
    settings = {"buffer_bytes": 200_000, "chunk_records": 100, "fetch_partition_bytes": 100_000}
    worker = group.start(settings, hold=str(hold), hold_topic=held)
    group.produce(held, 20_000)
    eventually(lambda: worker.events("held"))

    group.produce(other, 20_000)
    eventually(lambda: group.has_all(20_000, topic=other))
    assert not group.taken(held)
    hold.unlink()

    eventually(lambda: group.has_all(20_000, topic=held))
    # Its half of the buffer and one chunk more; all there is would be two million bytes.
    assert worker.events("released")[0]["most_waiting"] < 100_000 + 100 * 120
    group.assert_nothing_skipped_or_repeated()
