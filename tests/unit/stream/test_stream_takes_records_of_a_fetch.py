"""What is taken of a fetch, in which portions, and which position follows."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from sync_worker.stream.fetched import FetchedRecords

PLACE = TopicPartition("t", 0)
_GZIP = 1
_OFFSET = slice(0, 8)
_LAST_OFFSET_DELTA = slice(23, 27)
_ATTRIBUTES = slice(21, 23)
_TRANSACTIONAL, _CONTROL = 0x10, 0x20


def batch(
    first: int, count: int, *, last: int | None = None, codec: int = 0, producer: int = -1, transactional: bool = False
) -> bytearray:
    """A batch of the broker's, made at offset `first`; `last` where compaction took the records behind `count`."""
    builder = DefaultRecordBatchBuilder(2, codec, int(transactional), producer, 0 if producer >= 0 else -1, -1, 1 << 20)
    for number in range(count):
        builder.append(number, 7, b"k%d" % (first + number), b"v", [("h", b"x")])
    made = bytearray(builder.build())
    made[_OFFSET] = first.to_bytes(8, "big")
    if last is not None:
        made[_LAST_OFFSET_DELTA] = (last - first).to_bytes(4, "big")
    return made


def abort_marker(first: int, *, producer: int) -> bytearray:
    builder = DefaultRecordBatchBuilder(2, 0, 1, producer, 0, -1, 1 << 20)
    builder.append(0, 7, b"\0\0\0\0", b"", [])
    made = bytearray(builder.build())
    made[_OFFSET] = first.to_bytes(8, "big")
    made[_ATTRIBUTES] = (_TRANSACTIONAL | _CONTROL).to_bytes(2, "big")
    return made


class Fetch:
    """One partition's part of a fetch, and the consumer's position."""

    def __init__(
        self, batches: Iterable[bytes | bytearray], position: int, *, check: bool = False, aborted: Sequence[Any] = ()
    ) -> None:
        self.position = position
        self.paused = False
        data = MemoryRecords(b"".join(bytes(one) for one in batches))
        source = PartitionRecords(PLACE, data, list(aborted), position, None, None, check, 1)
        assignment = SimpleNamespace(active=True, state_value=lambda _: self)
        self.fetched = FetchedRecords(PLACE, assignment=assignment, partition_records=source, backoff=0)

    def consumed_to(self, position: int) -> None:
        self.position = position

    def take(self, count: int) -> list[int]:
        return [record.offset for record in self.fetched.getall(count)]

    def take_all(self, count: int) -> list[int]:
        offsets = []
        while self.fetched.has_more():
            portion = self.take(count)
            assert len(portion) <= count
            offsets += portion
        return offsets


@pytest.mark.parametrize("codec", [0, _GZIP], ids=["plain", "compressed"])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 100])
def test_every_record_is_taken_once_in_order_whatever_the_portions_are(count: int, codec: int) -> None:
    """A portion may end within a batch, at its end, or behind several."""
    fetch = Fetch([batch(0, 5, codec=codec), batch(5, 3, codec=codec), batch(8, 1, codec=codec)], 0)

    assert fetch.take_all(count) == list(range(9))
    assert fetch.position == 9


def test_the_position_follows_each_portion() -> None:
    """A restart in the middle of a batch goes on behind the last record that was taken."""
    fetch = Fetch([batch(0, 5)], 0)

    fetch.take(2)

    assert fetch.position == 2


def test_records_below_the_position_are_left_out() -> None:
    """The broker answers with the whole batch in which the position is."""
    assert Fetch([batch(0, 5), batch(5, 2)], 3).take_all(2) == [3, 4, 5, 6]


def test_the_position_passes_what_compaction_removed_from_the_end_of_a_batch() -> None:
    """Else the same batch would be fetched for ever."""
    fetch = Fetch([batch(0, 2, last=9)], 0)

    assert fetch.take_all(10) == [0, 1]
    assert fetch.position == 10


def test_aborted_transactions_are_passed_over() -> None:
    """Their records never happened, and the position passes them."""
    records = [batch(0, 3, producer=7, transactional=True), abort_marker(3, producer=7), batch(4, 2)]
    fetch = Fetch(records, 0, aborted=[(7, 0)])

    assert fetch.take_all(10) == [4, 5]
    assert fetch.position == 6


def test_a_damaged_batch_is_told() -> None:
    """Taking half of it would lose the rest without a word."""
    damaged = batch(0, 3)
    damaged[-1] ^= 1

    with pytest.raises(CorruptRecordException):
        Fetch([damaged], 0, check=True).take(10)


def test_nothing_is_taken_of_a_partition_that_moved_elsewhere_meanwhile() -> None:
    """A seek after the fetch makes its records those of another place."""
    fetch = Fetch([batch(0, 3)], 0)
    fetch.position = 17

    assert fetch.take(10) == []
    assert fetch.position == 17


def test_what_was_taken_is_free_without_the_collector_of_cycles() -> None:
    """A broker's answer has megabytes, and the collector comes by rarely: a cycle would keep dozens of them in memory."""
    source = PartitionRecords(PLACE, MemoryRecords(bytes(batch(0, 5))), [], 0, None, None, False, 1)
    gone = weakref.ref(source)
    gc.disable()
    try:
        FetchedRecords(PLACE, assignment=None, partition_records=source, backoff=0)
        del source
        assert gone() is None
    finally:
        gc.enable()
