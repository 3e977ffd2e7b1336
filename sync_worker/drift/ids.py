"""The ids of all rows in eight bytes each."""

from __future__ import annotations

from array import array
from bisect import bisect_left

_BUCKETS = 256


class IdSet:
    """First `add` every id, then ask with `in`.

    Ids are kept as 64-bit hashes of this process's own seed. Two ids that share one (one pair in 37 million sets of a million)
    would hide a ghost, and only until the next comparison, whose seed is another; no ghost is ever invented.
    """

    def __init__(self) -> None:
        self._buckets = [array("q") for _ in range(_BUCKETS)]
        self._sorted = False
        self._count = 0

    def add(self, document_id: str) -> None:
        value = hash(document_id)
        self._buckets[value & 0xFF].append(value)
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __contains__(self, document_id: str) -> bool:
        if not self._sorted:
            self._buckets = [array("q", sorted(bucket)) for bucket in self._buckets]
            self._sorted = True
        value = hash(document_id)
        bucket = self._buckets[value & 0xFF]
        at = bisect_left(bucket, value)
        return at < len(bucket) and bucket[at] == value
