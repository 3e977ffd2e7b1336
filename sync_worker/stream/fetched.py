"""Records of a fetch as aiokafka's parser leaves them, in C.

aiokafka's own `FetchResult` puts a second object around each record; that costs more than parsing it. What is skipped is what
it skips: control batches, aborted transactions, and records below the position that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult
from aiokafka.errors import CorruptRecordException


class FetchedRecords(FetchResult):  # type: ignore[misc]
    """What one fetch brought of one partition, and how far it was taken."""

    _batch: Any = None
    _rest: Iterator[Any]
    _partition_records: Any

    def __init__(self, tp: Any, *, partition_records: Any, **others: Any) -> None:
        super().__init__(tp, partition_records=partition_records, **others)
        # Its own iterator, which is not used here, refers to it: a cycle around the whole answer of the broker, and the collector
        # of cycles comes by rarely.
        partition_records._records_iterator = None

    def getall(self, max_records: int) -> list[Any]:
        """At most so many records, none when the partition is not to be read any more.

        Raises CorruptRecordException for a batch whose checksum is wrong.
        """
        if not self.check_assignment(self._topic_partition) or not self.has_more():
            return []
        source = self._partition_records
        records: list[Any] = []
        while len(records) < max_records:
            if self._batch is None and not self._open_batch(source):
                self._update_position()
                self._partition_records = None
                return records
            batch, position, wanted = self._batch, source.next_fetch_offset, max_records - len(records)
            taken = list(islice(self._rest, wanted))
            if len(taken) < wanted:
                # The batch's own end counts: compaction may have removed its last records.
                self._batch = None
                source.next_fetch_offset = batch.next_offset
            else:
                source.next_fetch_offset = max(position, taken[-1].offset + 1)
            if taken and taken[0].offset < position:
                taken = [record for record in taken if record.offset >= position]
            records += taken
        self._update_position()
        return records

    def _open_batch(self, source: Any) -> bool:
        """Whether there is another batch with records for us."""
        while source._records.has_next():
            batch = source._records.next_batch()
            if source._check_crcs and not batch.validate_crc():
                raise CorruptRecordException(f"Invalid CRC - {self._topic_partition}")
            if not self._skips(source, batch):
                # aiokafka's batch may be iterated once only, and not be asked again after its end.
                self._batch, self._rest = batch, chain(batch)
                return True
            source.next_fetch_offset = batch.next_offset
        return False

    def _skips(self, source: Any, batch: Any) -> bool:
        if source._isolation_level == READ_COMMITTED and batch.producer_id is not None:
            source._consume_aborted_up_to(batch.base_offset)
            if batch.is_control_batch and source._contains_abort_marker(batch):
                source._aborted_producers.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in source._aborted_producers:
                return True
        return bool(batch.is_control_batch)
