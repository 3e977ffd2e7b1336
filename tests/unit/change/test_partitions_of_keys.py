"""Kafka's default partitioner."""

from __future__ import annotations

import pytest

from sync_worker.change.partitioner import _murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "hashed"),
    # From Kafka's own tests, where they are signed.
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_hashes_are_those_of_kafkas_own_producers(key: bytes, hashed: int) -> None:
    """Connect writes a record where this says; else the wrong worker would be asked for its row."""
    assert _murmur2(key) == hashed % 2**32
    assert partition_of(key, 7) == (hashed & 0x7FFFFFFF) % 7
