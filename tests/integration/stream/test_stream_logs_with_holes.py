"""Offsets that are not there: compaction and transactions."""

from __future__ import annotations

import time
from pathlib import Path

from stream_harness import Group, eventually


def test_transactions(group: Group) -> None:
    """Committed ones arrive whole, aborted ones not at all, open ones block; markers do not disturb."""
    topic = group.topics[0]
    group.create(topic)
    worker = group.start()
    eventually(worker.owned)
    producer = group.producer(**{"transactional.id": group.name})
    producer.init_transactions(10)
    wanted = set()
    offset = 0
    for i in range(20):
        producer.begin_transaction()
        for _ in range(7):
            producer.produce(topic, b"v", key=b"k")
        producer.flush()
        if i % 3 == 1:
            producer.abort_transaction()
        else:
            producer.commit_transaction()
            wanted |= set(range(offset, offset + 7))
        offset += 8

    eventually(lambda: worker.taken()[0] == wanted)
    group.assert_nothing_skipped_or_repeated(gaps=True)
    worker.terminate()
    assert worker.wait(10) == 0

    second = group.start()
    group.produce(topic, 5)
    eventually(lambda: len(second.taken()[0]) == 5)
    assert min(second.taken()[0]) == 160


def test_a_tail_that_can_not_be_read_is_no_standstill(group: Group) -> None:
    """Markers before the end of the log, and a transaction that is still open: nobody can read on, and nobody has to end."""
    topic = group.topics[0]
    group.create(topic)
    worker = group.start(patch={"sync_worker.stream.standstill:STANDING_S": 3.0})
    eventually(worker.owned)
    producer = group.producer(**{"transactional.id": group.name})
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce(topic, b"v", key=b"k")
    producer.flush()
    producer.abort_transaction()
    until = time.monotonic() + 12
    eventually(lambda: time.monotonic() > until or worker.process.poll() is not None)
    assert worker.process.poll() is None, worker.log()[-2000:]

    producer.begin_transaction()
    producer.produce(topic, b"v", key=b"k")
    producer.flush()
    until = time.monotonic() + 12
    eventually(lambda: time.monotonic() > until or worker.process.poll() is not None)
    assert worker.process.poll() is None, worker.log()[-2000:]
    producer.commit_transaction()
    eventually(lambda: worker.taken()[0])


def test_compacted_topic(group: Group, tmp_path: Path) -> None:
    """Holes where records were compacted away cost nothing: not in the middle of a run, nor at a restart within one."""
    topic = group.topics[0]
    group.create(
        topic,
        cleanup_policy="compact",
        segment_ms="100",
        min_cleanable_dirty_ratio="0.001",
        min_compaction_lag_ms="0",
        max_compaction_lag_ms="100",
        delete_retention_ms="100",
    )
    producer = group.producer()
    for round_ in range(30):
        for i in range(200):
            # Most keys come again in the next round; a few stay, spread over the log.
            producer.produce(topic, b"v" * 200, key=f"{i if i % 20 else f'{i}-{round_}'}".encode())
        producer.flush()

    def compacted() -> list[int] | None:
        # The cleaner leaves the active segment alone, and a segment is closed only by a record that comes after its time.
        producer.produce(topic, b"v", key=b"one more")
        producer.flush()
        return _compacted(group, topic)

    survivors = eventually(compacted, 120, "compaction")

    hold = tmp_path / "hold"
    first = group.start({"chunk_records": 20}, hold=str(hold))
    eventually(lambda: group.committed(topic) > 0)
    first.kill()
    second = group.start({"chunk_records": 20})
    last = max(survivors)
    eventually(lambda: group.committed(topic) == last + 1)

    taken = first.taken()[0] | second.taken()[0]
    # What was compacted away while we were reading may be there or not; what survived has to be.
    assert taken >= set(_offsets(group, topic))
    assert len(taken) < 6_000
    group.assert_nothing_skipped_or_repeated(gaps=True)


def _offsets(group: Group, topic: str) -> list[int]:
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(
        {"bootstrap.servers": group.bootstrap, "group.id": f"{group.name}-look", "log_level": 0, "enable.auto.commit": False}
    )
    end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1]
    consumer.assign([TopicPartition(topic, 0, 0)])
    offsets: list[int] = []
    while not offsets or offsets[-1] < end - 1:
        offsets += [message.offset() for message in consumer.consume(1_000, timeout=1)]
    consumer.close()
    return offsets


def _compacted(group: Group, topic: str) -> list[int] | None:
    offsets = _offsets(group, topic)
    return offsets if len(offsets) < 3_000 else None
