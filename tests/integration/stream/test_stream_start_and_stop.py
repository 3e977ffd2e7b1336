"""Where reading starts and what an end leaves behind."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from stream_harness import Group, eventually

from sync_worker.testing.stack import Part


def test_sigterm_commits_leaves_the_group_and_exits_zero(group: Group) -> None:
    """The next worker takes over at once, not after the session time-out, and reads nothing twice."""
    topic = group.topics[0]
    group.create(topic)
    group.produce(topic, 500)
    first = group.start({"session_timeout_s": 30.0, "commit_interval_s": 3600.0})
    eventually(lambda: group.has_all(500))
    assert group.committed(topic) < 0

    first.terminate()
    assert first.wait(10) == 0
    assert group.committed(topic) == 500
    second = group.start({"session_timeout_s": 30.0})
    eventually(second.owned, 10)

    group.produce(topic, 10, first=500)
    eventually(lambda: second.taken()[0])
    assert min(second.taken()[0]) == 500


@pytest.mark.parametrize("broker", ["up", "down"])
def test_sigterm_ends_within_ten_seconds_although_the_pipeline_hangs(
    group: Group, tmp_path: Path, kafka: Part, broker: str
) -> None:
    """Neither a pipeline that does not stop nor a broker that does not answer keeps the process."""
    topic = group.topics[0]
    hold = tmp_path / "hold"
    hold.touch()
    group.create(topic)
    group.produce(topic, 500)
    worker = group.start(hold=str(hold), hang_on_stop=True)
    eventually(lambda: worker.events("held"))
    if broker == "down":
        kafka.kill()

    began = time.monotonic()
    worker.terminate()

    assert worker.wait(10) == 0
    assert time.monotonic() - began < 10


def test_sigterm_while_kafka_was_never_there(group: Group) -> None:
    """A worker that still waits for its broker can be stopped."""
    worker = group.start({"bootstrap_servers": ["127.0.0.1:1"]})
    eventually(lambda: "Kafka does not answer" in worker.log())

    worker.terminate()

    assert worker.wait(10) == 0


def test_sigkill_loses_nothing(group: Group) -> None:
    """A restart continues at the committed offset."""
    topic = group.topics[0]
    group.create(topic)
    group.produce(topic, 500)
    first = group.start()
    eventually(lambda: group.committed(topic) == 500)
    first.kill()
    group.produce(topic, 500, first=500)

    second = group.start()
    eventually(lambda: group.has_all(1_000))

    assert min(second.taken()[0]) == 500
    group.assert_nothing_skipped_or_repeated()


def test_a_chunk_right_behind_the_committed_offset_is_not_skipped(group: Group, tmp_path: Path) -> None:
    """Only what was acknowledged is committed, up to the very record."""
    topic = group.topics[0]
    hold = tmp_path / "hold"
    group.create(topic)
    group.produce(topic, 5)
    first = group.start({"chunk_records": 1}, hold=str(hold))
    eventually(lambda: group.committed(topic) == 5)
    hold.touch()
    group.produce(topic, 5, first=5)
    eventually(lambda: first.events("held"))
    first.terminate()
    assert first.wait(10) == 0
    assert group.committed(topic) == 5
    hold.unlink()

    second = group.start()
    eventually(lambda: group.has_all(10))

    assert second.taken()[0] == set(range(5, 10))


def test_nothing_is_committed_without_an_acknowledgement(group: Group) -> None:
    """Taken is not applied."""
    topic = group.topics[0]
    group.create(topic)
    group.produce(topic, 100)
    worker = group.start(acknowledge=False)
    eventually(lambda: group.has_all(100))

    worker.terminate()

    assert worker.wait(10) == 0
    assert group.committed(topic) < 0


def test_broker_restart(group: Group, kafka: Part) -> None:
    """The worker outlives its broker and goes on where it was."""
    topic = group.topics[0]
    group.create(topic, 2)
    group.produce(topic, 1_000, partitions=2)
    worker = group.start()
    eventually(lambda: group.committed(topic) == 500)

    kafka.kill()
    eventually(lambda: "Failed fetch" in worker.log() or "Unable connect" in worker.log() or "coordinator dead" in worker.log())
    kafka.start()
    group.produce(topic, 1_000, partitions=2, first=1_000)

    eventually(lambda: group.has_all(2_000), 60)
    eventually(lambda: group.committed(topic) == 1_000, 60)
    assert worker.process.poll() is None
    group.assert_nothing_skipped_or_repeated()


def test_a_commit_outside_the_log_starts_at_the_log_and_says_so(group: Group) -> None:
    """aiokafka jumps without a word, and Faust then delivers nothing, ever."""
    topic = group.topics[0]
    group.create(topic)
    group.produce(topic, 10)
    group.commit(topic, 1_000)

    worker = group.start()

    eventually(lambda: worker.taken()[0] == set(range(10)))
    assert "committed offset 1000 is outside the log (0 to 10)" in worker.log()
