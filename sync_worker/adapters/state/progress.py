"""The tables `bookmarks` and `index_records`: where each partition stands, and which physical index it was written to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict

from sqlalchemy import and_, case, select, tuple_

from sync_worker.adapters.state.connections import Connections
from sync_worker.adapters.state.schema import bookmarks as bookmark_table
from sync_worker.adapters.state.schema import index_records as record_table
from sync_worker.change.model import TopicPartition
from sync_worker.ports import Bookmark, IndexRecord
from sync_worker.progress.bookmark import Tail


class ProgressTables(Connections):
    """Stored before an offset is committed to Kafka."""

    async def bookmarks(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Bookmark]:
        """Those that are there."""
        query = select(bookmark_table).where(tuple_(bookmark_table.c.topic, bookmark_table.c.partition).in_(sorted(partitions)))
        async with self._reading() as connection:
            rows = (await connection.execute(query)).all()
        found = [
            Bookmark(
                TopicPartition(row.topic, row.partition),
                row.topic_id,
                row.next_offset,
                row.scanned,
                None if row.last_offset is None else Tail(row.last_offset, row.last_ms, row.last_key),
            )
            for row in rows
        ]
        return {bookmark.partition: bookmark for bookmark in found}

    async def index_records(self, indexes: Collection[str]) -> Mapping[str, IndexRecord]:
        """Those that are there."""
        query = select(record_table).where(record_table.c.index_name.in_(sorted(indexes)))
        async with self._reading() as connection:
            rows = (await connection.execute(query)).all()
        return {
            row.index_name: IndexRecord(
                row.index_name, row.uid, row.created_at, row.primary_key, row.anchor_uid, row.anchor_metadata
            )
            for row in rows
        }

    async def save_progress(self, bookmarks: Collection[Bookmark], indexes: Collection[IndexRecord]) -> None:
        """Store both in one transaction. Within one topic `next_offset` only rises, whatever a worker that lost the partition
        stores late; watermarks and tail are stored as they are: an earlier record proves the log as well."""
        saved_at = self._now()
        places = [
            {
                "topic": bookmark.partition.topic,
                "partition": bookmark.partition.partition,
                "topic_id": bookmark.topic_id,
                "next_offset": bookmark.next_offset,
                "scanned": dict(bookmark.scanned),
                "saved_at": saved_at,
                "last_offset": bookmark.tail.offset if bookmark.tail else None,
                "last_ms": bookmark.tail.timestamp if bookmark.tail else None,
                "last_key": bookmark.tail.key if bookmark.tail else None,
            }
            for bookmark in sorted(bookmarks, key=lambda bookmark: bookmark.partition)
        ]
        records = []
        for record in sorted(indexes, key=lambda record: record.index):
            values = asdict(record)
            records.append({"index_name": values.pop("index"), **values, "saved_at": saved_at})
        async with self._writing() as connection:
            if places:
                statement, row = self._insert(bookmark_table), bookmark_table.c
                told = statement.excluded
                late = and_(told.topic_id == row.topic_id, told.next_offset < row.next_offset)
                offset = case((late, row.next_offset), else_=told.next_offset)
                await connection.execute(self._upsert(bookmark_table, ("topic", "partition"), next_offset=offset), places)
            if records:
                await connection.execute(self._upsert(record_table, ("index_name",)), records)
