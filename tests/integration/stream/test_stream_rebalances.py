"""Workers come and go while events flow."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

from stream_harness import Group, eventually

PARTITIONS = 6


def test_three_workers_that_join_leave_and_die_lose_and_repeat_nothing(group: Group) -> None:
    """Each owner sees each offset of its tenure once and in order, and together they see all of them."""
    topic = group.topics[0]
    group.create(topic, PARTITIONS)
    flow = Flow(group, topic)
    first = group.start({"chunk_records": 200})
    eventually(lambda: len(first.owned()) == PARTITIONS)
    flow.start()

    second = group.start({"chunk_records": 200})
    eventually(lambda: len(first.owned()) == len(second.owned()) == 3)
    eventually(second.taken)
    third = group.start({"chunk_records": 200})
    eventually(lambda: len(first.owned()) == len(second.owned()) == len(third.owned()) == 2)
    eventually(third.taken)
    first.terminate()
    assert first.wait(10) == 0
    eventually(lambda: len(second.owned()) == len(third.owned()) == 3)
    second.kill()
    eventually(lambda: len(third.owned()) == PARTITIONS)

    eventually(lambda: len(third.taken()) == PARTITIONS)
    count = flow.end()
    eventually(lambda: group.has_all(count), 60)
    group.assert_nothing_skipped_or_repeated()
    for partition in range(PARTITIONS):
        eventually(lambda p=partition: group.committed(topic, p) == count // PARTITIONS)


class Flow(threading.Thread):
    """Produces to all partitions alike until told to end."""

    def __init__(self, group: Group, topic: str) -> None:
        super().__init__(daemon=True)
        self.group, self.topic = group, topic
        self.ending = threading.Event()
        self.count = 0

    def run(self) -> None:
        while not self.ending.wait(0.02):
            self.group.produce(self.topic, 60, partitions=PARTITIONS, first=self.count)
            self.count += 60

    def end(self) -> int:
        """How many records there are."""
        self.ending.set()
        self.join()
        return self.count


def test_revocation_in_mid_flush_hands_over_what_was_not_acknowledged(group: Group, tmp_path: Path) -> None:
    """What a worker had in flight when the partition went is read by the new owner; its late acknowledgement moves nothing."""
    topic = group.topics[0]
    flush_is_slow = tmp_path / "flush"
    flush_is_slow.touch()
    group.create(topic, 2)
    group.produce(topic, 1_000, partitions=2)
    first = group.start(late_acks=str(flush_is_slow))
    eventually(lambda: group.has_all(1_000))

    second = group.start()
    eventually(lambda: len(second.owned()) == 1)
    moved = second.owned()[0][1]
    eventually(lambda: len(second.taken()[moved]) == 500)
    eventually(lambda: group.committed(topic, moved) == 500)
    group.produce(topic, 1_000, partitions=2, first=1_000)
    eventually(lambda: group.committed(topic, moved) == 1_000)
    flush_is_slow.unlink()
    eventually(lambda: group.committed(topic, 1 - moved) == 1_000)

    assert group.committed(topic, moved) == 1_000
    assert first.events("revoked")
    group.assert_nothing_skipped_or_repeated()


def test_revocation_goes_through_at_once_while_take_waits(group: Group, tmp_path: Path) -> None:
    """A pipeline on hold does not keep the others from taking over."""
    topic = group.topics[0]
    hold = tmp_path / "hold"
    hold.touch()
    group.create(topic, 2)
    group.produce(topic, 1_000, partitions=2)
    held = group.start(hold=str(hold))
    eventually(lambda: len(held.events("held")) == 2)

    second = group.start()
    eventually(lambda: len(second.owned()) == 1, 10)
    eventually(lambda: len(second.taken()[second.owned()[0][1]]) == 500, 5)

    hold.unlink()
    eventually(lambda: group.has_all(1_000))
    group.assert_nothing_skipped_or_repeated()


def test_a_worker_that_stalls_and_wakes_owns_nothing_of_others(group: Group, tmp_path: Path) -> None:
    """Its late acknowledgements move no offset, and it is a member again without a restart."""
    topic = group.topics[0]
    flush_is_slow = tmp_path / "flush"
    flush_is_slow.touch()
    group.create(topic)
    group.produce(topic, 100)
    zombie = group.start(late_acks=str(flush_is_slow))
    eventually(lambda: group.has_all(100))
    zombie.process.send_signal(signal.SIGSTOP)
    heir = group.start(acknowledge=False)
    eventually(lambda: len(heir.taken()[0]) == 100)

    flush_is_slow.unlink()
    zombie.process.send_signal(signal.SIGCONT)
    eventually(lambda: len(zombie.events("assigned")) == 2)

    assert zombie.events("acknowledge")
    assert group.committed(topic) < 0
    assert zombie.process.poll() is None
    group.assert_nothing_skipped_or_repeated()


def test_a_partition_count_that_grew_is_noticed(group: Group) -> None:
    """A new partition is assigned and read from its start, without a restart."""
    topic = group.topics[0]
    group.create(topic, 1)
    group.produce(topic, 100)
    worker = group.start()
    eventually(lambda: group.has_all(100))

    group.grow(topic, 3)
    producer = group.producer()
    for i in range(50):
        producer.produce(topic, b"new", partition=2, key=str(i).encode())
    producer.flush()

    eventually(lambda: len(worker.taken()[2]) == 50)
    assert len(worker.owned()) == 3
    group.assert_nothing_skipped_or_repeated()


def test_a_topic_that_does_not_exist_yet_is_waited_for_and_not_created(group: Group) -> None:
    """The worker says so, goes on with the other topics, and starts with the new one when somebody has created it."""
    present, absent = group.topics[0], f"{group.topics[0]}_later"
    group.topics.append(absent)
    group.create(present)
    group.produce(present, 10)
    worker = group.start()
    eventually(lambda: group.has_all(10, topic=present))
    eventually(lambda: f"waiting for topics that do not exist yet: {absent}" in worker.log())
    assert absent not in group.admin.list_topics(timeout=10).topics

    group.create(absent, 2)
    group.produce(absent, 20, partitions=2)

    eventually(lambda: group.has_all(20, topic=absent))
    assert worker.process.poll() is None
    group.assert_nothing_skipped_or_repeated()


def test_a_worker_without_any_topic_waits_too(group: Group) -> None:
    """A first start before Debezium's is nothing special."""
    worker = group.start()
    eventually(lambda: "waiting for topics that do not exist yet" in worker.log())

    group.create(group.topics[0])
    group.produce(group.topics[0], 20)

    eventually(lambda: group.has_all(20))
    assert worker.process.poll() is None
