"""A chunk of a range read again is bounded in bytes, however much lies ready in the client's queue."""

from __future__ import annotations

from confluent_kafka import Consumer

from sync_worker.adapters.kafka.range_reader import RangeReader
from sync_worker.change.model import TopicPartition


class Message:
    """The part of confluent-kafka's message that a reader touches; half a MiB each."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def __len__(self) -> int:
        return 512 * 1024

    def error(self) -> None:
        return None

    def offset(self) -> int:
        return self._offset

    def topic(self) -> str:
        return "t"

    def partition(self) -> int:
        return 0

    def timestamp(self) -> tuple[int, int]:
        return (1, 7)

    def key(self) -> None:
        return None

    value = headers = key


class FullQueue(Consumer):
    """A consumer that always has another record."""

    def __init__(self) -> None:
        self._next = iter(range(1_000))

    def poll(self, timeout: float = 0) -> Message:  # type: ignore[override]
        return Message(next(self._next))


def test_a_full_queue_is_taken_in_bounded_chunks() -> None:
    """4 MiB of half a MiB each are eight records, and the next chunk goes on behind them."""
    reader = RangeReader("127.0.0.1:1", "g", {}, TopicPartition("t", 0), 0, 20)
    reader._consumer = FullQueue()
    chunks = []
    while not reader.finished:
        chunks.append([record.offset for record in reader.poll()])
    assert chunks == [list(range(8)), list(range(8, 16)), list(range(16, 20))]
