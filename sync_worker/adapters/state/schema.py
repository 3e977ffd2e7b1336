"""The tables of the state database.

Moments are seconds since 1970 as double precision, the unit of the rest of the project; `source_ms` alone is in
milliseconds, as Debezium gives it. What an operator writes by hand stays readable: words, not numbers, for every state.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

from sync_worker.failure.text import storable

metadata = MetaData()


class StorableText(TypeDecorator[str]):
    """Text that arrives whatever it holds: PostgreSQL refuses NUL, and one refused failure would hold its partition."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else storable(value)


_row_id = BigInteger().with_variant(Integer(), "sqlite")

failed_work = Table(
    "failed_work",
    metadata,
    Column("id", _row_id, primary_key=True, autoincrement=True),
    Column("index_name", StorableText, nullable=False),
    Column("document_id", StorableText),
    Column("operation", StorableText, nullable=False),
    Column("reason_class", StorableText, nullable=False),
    Column("code", StorableText, nullable=False),
    Column("message", StorableText, nullable=False),
    Column("retryable", Boolean, nullable=False),
    Column("status", StorableText, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_failed_at", Double, nullable=False),
    Column("last_failed_at", Double, nullable=False),
    Column("topic_id", StorableText, nullable=False),
    Column("topic", StorableText, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("source_ms", BigInteger, nullable=False),
    Column("dlq_topic", StorableText),
    Column("dlq_partition", Integer),
    Column("dlq_offset", BigInteger),
    Column("status_reason", StorableText, nullable=False),
    Column("status_changed_at", Double, nullable=False),
    # Empty, not NULL, for a record: NULLs are never equal, and the same record must be the same row.
    Column("request", StorableText, nullable=False, server_default=""),
    UniqueConstraint("topic_id", "topic", "partition", "offset", "index_name", "request", name="uq_failed_work_position"),
    Index("ix_failed_work_partition", "index_name", "topic", "partition", "status"),
    Index("ix_failed_work_document", "index_name", "document_id"),
    Index("ix_failed_work_status", "status", "id"),
    sqlite_autoincrement=True,
)

bookmarks = Table(
    "bookmarks",
    metadata,
    Column("topic", StorableText, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("topic_id", StorableText, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("scanned", JSON, nullable=False),
    Column("saved_at", Double, nullable=False),
    Column("last_offset", BigInteger),
    Column("last_ms", BigInteger),
    Column("last_key", StorableText),
)

index_records = Table(
    "index_records",
    metadata,
    Column("index_name", StorableText, primary_key=True),
    Column("uid", StorableText, nullable=False),
    Column("created_at", StorableText, nullable=False),
    Column("primary_key", StorableText, nullable=False),
    Column("anchor_uid", BigInteger),
    Column("anchor_metadata", StorableText),
    Column("saved_at", Double, nullable=False),
)

findings = Table(
    "findings",
    metadata,
    Column("id", _row_id, primary_key=True, autoincrement=True),
    Column("kind", StorableText, nullable=False),
    Column("subject", StorableText, nullable=False),
    Column("evidence", StorableText, nullable=False),
    Column("doubt", StorableText, nullable=False),
    Column("remedy", StorableText, nullable=False),
    Column("blocking", Boolean, nullable=False),
    Column("first_seen", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    Column("cleared_by", StorableText),
    Column("cleared_at", Double),
    Index(
        "uq_findings_open",
        "kind",
        "subject",
        unique=True,
        sqlite_where=text("cleared_at IS NULL"),
        postgresql_where=text("cleared_at IS NULL"),
    ),
    sqlite_autoincrement=True,
)

recorded_facts = Table(
    "recorded_facts",
    metadata,
    Column("subject", StorableText, primary_key=True),
    Column("aspect", StorableText, primary_key=True),
    Column("value", JSON, nullable=False),
    Column("saved_at", Double, nullable=False),
)

fills = Table(
    "fills",
    metadata,
    Column("index_name", StorableText, primary_key=True),
    Column("uid", StorableText, nullable=False),
    Column("created_at", StorableText, nullable=False),
    Column("proof", StorableText, nullable=False),
    Column("declaration", StorableText, nullable=False),
    Column("columns", StorableText, nullable=False),
    Column("topic_id", StorableText, nullable=False),
    Column("ends", JSON, nullable=False),
    Column("filled_at", Double, nullable=False),
    Column("older_documents", BigInteger, nullable=False),
    Column("older_since", Double),
)

workers = Table(
    "workers",
    metadata,
    Column("worker", StorableText, primary_key=True),
    Column("first_seen", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    Column("partitions", JSON, nullable=False),
    Column("holds", JSON, nullable=False),
    Column("address", StorableText),
)

moved_rows = Table(
    "moved_rows",
    metadata,
    Column("topic", StorableText, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("key", StorableText, primary_key=True),
    Column("topic_id", StorableText, nullable=False),
    Column("origin_partition", Integer, nullable=False),
    Column("origin_offset", BigInteger, nullable=False),
)

operations = Table(
    "operations",
    metadata,
    Column("id", _row_id, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("actor", StorableText, nullable=False),
    Column("verb", StorableText, nullable=False),
    Column("subject", StorableText, nullable=False),
    Column("details", JSON, nullable=False),
    Index("ix_operations_at", "at"),
    sqlite_autoincrement=True,
)

retries = Table(
    "retries",
    metadata,
    Column("failed_work_id", BigInteger, primary_key=True, autoincrement=False),
    Column("from_source", Boolean, nullable=False),
    Column("asked_at", Double, nullable=False),
    Column("asked_by", StorableText, nullable=False),
)

rebuilt_failures = Table(
    "rebuilt_failures",
    metadata,
    Column("failed_work_id", BigInteger, primary_key=True, autoincrement=False),
    Column("rebuilt_at", Double, nullable=False),
)

pauses = Table(
    "pauses",
    metadata,
    Column("index_name", StorableText, primary_key=True),
    Column("asked_at", Double, nullable=False),
    Column("asked_by", StorableText, nullable=False),
    Column("reason", StorableText, nullable=False),
)

pause_confirmations = Table(
    "pause_confirmations",
    metadata,
    Column("index_name", StorableText, primary_key=True),
    Column("worker", StorableText, primary_key=True),
    Column("asked_at", Double, nullable=False),
    Column("confirmed_at", Double, nullable=False),
)

rewrites = Table(
    "rewrites",
    metadata,
    Column("index_name", StorableText, primary_key=True),
    Column("document_id", StorableText, primary_key=True),
    Column("topic", StorableText, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("key", StorableText),
    Column("run", StorableText, nullable=False),
    Index("ix_rewrites_partition", "topic", "partition"),
)

comparisons = Table(
    "comparisons",
    metadata,
    Column("index_name", StorableText, primary_key=True),
    Column("depth", StorableText, primary_key=True),
    Column("uid", StorableText, nullable=False),
    Column("began_at", Double, nullable=False),
    Column("ended_at", Double, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("documents", BigInteger, nullable=False),
    Column("differences", BigInteger, nullable=False),
    Column("by", StorableText, nullable=False),
)

scrubs = Table(
    "scrubs",
    metadata,
    Column("index_name", StorableText, primary_key=True),
    Column("holder", StorableText, nullable=False),
    Column("held_until", Double, nullable=False),
    Column("progress", JSON),
)

backfills = Table(
    "backfills",
    metadata,
    Column("id", _row_id, primary_key=True, autoincrement=True),
    Column("index_name", StorableText, nullable=False),
    Column("table_name", StorableText, nullable=False),
    Column("where_sql", StorableText, nullable=False),
    Column("prune", Boolean, nullable=False),
    Column("stage", StorableText, nullable=False),
    Column("wish", StorableText, nullable=False),
    Column("asked_by", StorableText, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("progress", JSON, nullable=False),
    Column("holder", StorableText, nullable=False),
    Column("held_until", Double, nullable=False),
    Index(
        "uq_backfills_running",
        "table_name",
        unique=True,
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    sqlite_autoincrement=True,
)

rebuilds = Table(
    "rebuilds",
    metadata,
    Column("id", _row_id, primary_key=True, autoincrement=True),
    Column("index_name", StorableText, nullable=False),
    Column("uid", StorableText, nullable=False),
    Column("target_uid", StorableText, nullable=False),
    Column("phase", StorableText, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("old_created_at", StorableText, nullable=False),
    Column("new_created_at", StorableText, nullable=False),
    Column("new_is_live", Boolean, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("changed_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("started_by", StorableText, nullable=False),
    Column("details", JSON, nullable=False),
    Index(
        "uq_rebuilds_open",
        "index_name",
        unique=True,
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    sqlite_autoincrement=True,
)

rebuild_confirmations = Table(
    "rebuild_confirmations",
    metadata,
    Column("rebuild_id", BigInteger, primary_key=True, autoincrement=False),
    Column("worker", StorableText, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("confirmed_at", Double, nullable=False),
)
