"""What is in flight, made small: it is needed again only where the server refuses it, which is rare.

A document of 290 bytes costs 590 as an `Entry` in a dict, and about 110 in here, so that a whole backlog can wait for the
server and be merged by it into few batches.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Collection, Mapping

from sync_worker.batch.coalesce import Entry
from sync_worker.change.model import Operation, TopicPartition

_LEVEL = 1  # 150 MB/s; twice the work of level 2 and above saves nothing worth it
_OPERATIONS = tuple(Operation)


class PackedEntries:
    """Entries of one request, at least one. Making one takes about 1 ms for 1,000 of them; `compress` may run in a thread."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._ids = "\n".join(entries)
        # No line holds a line end: JSON spells it. No document's line is empty: that stands for a deletion.
        self._lines = b"\n".join([entry.line or b"" for entry in entries.values()])
        self._partitions = list({entry.partition: None for entry in entries.values()})
        places = {partition: number for number, partition in enumerate(self._partitions)}
        self._places = array("I", [places[entry.partition] for entry in entries.values()])
        self._offsets = array("q", [entry.offset for entry in entries.values()])
        self._source_ms = array("q", [entry.source_ms for entry in entries.values()])
        self._operations = bytes([_OPERATIONS.index(entry.operation) for entry in entries.values()])
        self._requests = {key: entry.request for key, entry in entries.items() if entry.request is not None}
        self._gone: set[TopicPartition] = set()

    def compress(self) -> None:
        """Once."""
        self._lines = zlib.compress(self._lines, _LEVEL)

    def __len__(self) -> int:
        return len(self._offsets)

    @property
    def size(self) -> int:
        """Bytes of memory, roughly."""
        return len(self._ids) + len(self._lines) + 21 * len(self._offsets)

    def drop(self, partitions: Collection[TopicPartition]) -> None:
        """Forget what came from these."""
        self._gone.update(partitions)

    @property
    def source_ms(self) -> array[int]:
        """When each changed in the source, milliseconds since 1970."""
        return self._source_ms

    def document_ids(self) -> list[str]:
        return self._ids.split("\n")

    def unpack(self) -> dict[str, Entry]:
        """What was packed, but for what was dropped since."""
        lines = zlib.decompress(self._lines).split(b"\n")
        rows = zip(
            self.document_ids(), lines, self._places, self._offsets, self._source_ms, self._operations, strict=True
        )  # fmt: skip
        return {
            document_id: Entry(
                line or None, partition, offset, source_ms, _OPERATIONS[operation], self._requests.get(document_id)
            )
            for document_id, line, place, offset, source_ms, operation in rows
            if (partition := self._partitions[place]) not in self._gone
        }
