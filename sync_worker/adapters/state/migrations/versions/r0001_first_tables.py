"""The first tables: failed work, bookmarks, index records, findings, workers, the audit log.

Revision ID: r0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0001"
down_revision = None
branch_labels = None
depends_on = None

_row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "failed_work",
        sa.Column("id", _row_id, primary_key=True, autoincrement=True),
        sa.Column("index_name", sa.Text, nullable=False),
        sa.Column("document_id", sa.Text),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("reason_class", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("retryable", sa.Boolean, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("first_failed_at", sa.Double, nullable=False),
        sa.Column("last_failed_at", sa.Double, nullable=False),
        sa.Column("topic_id", sa.Text, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("source_ms", sa.BigInteger, nullable=False),
        sa.Column("dlq_topic", sa.Text),
        sa.Column("dlq_partition", sa.Integer),
        sa.Column("dlq_offset", sa.BigInteger),
        sa.Column("status_reason", sa.Text, nullable=False),
        sa.Column("status_changed_at", sa.Double, nullable=False),
        sa.UniqueConstraint("topic_id", "topic", "partition", "offset", "index_name", name="uq_failed_work_position"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_failed_work_partition", "failed_work", ["index_name", "topic", "partition", "status"])
    op.create_index("ix_failed_work_document", "failed_work", ["index_name", "document_id"])
    op.create_index("ix_failed_work_status", "failed_work", ["status", "id"])
    op.create_table(
        "bookmarks",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("topic_id", sa.Text, nullable=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        sa.Column("scanned", sa.JSON, nullable=False),
        sa.Column("saved_at", sa.Double, nullable=False),
    )
    op.create_table(
        "index_records",
        sa.Column("index_name", sa.Text, primary_key=True),
        sa.Column("uid", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("primary_key", sa.Text, nullable=False),
        sa.Column("anchor_uid", sa.BigInteger),
        sa.Column("anchor_metadata", sa.Text),
        sa.Column("saved_at", sa.Double, nullable=False),
    )
    op.create_table(
        "findings",
        sa.Column("id", _row_id, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("doubt", sa.Text, nullable=False),
        sa.Column("remedy", sa.Text, nullable=False),
        sa.Column("blocking", sa.Boolean, nullable=False),
        sa.Column("first_seen", sa.Double, nullable=False),
        sa.Column("last_seen", sa.Double, nullable=False),
        sa.Column("cleared_by", sa.Text),
        sa.Column("cleared_at", sa.Double),
        sqlite_autoincrement=True,
    )
    still_open = sa.text("cleared_at IS NULL")
    op.create_index(
        "uq_findings_open",
        "findings",
        ["kind", "subject"],
        unique=True,
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
    op.create_table(
        "workers",
        sa.Column("worker", sa.Text, primary_key=True),
        sa.Column("first_seen", sa.Double, nullable=False),
        sa.Column("last_seen", sa.Double, nullable=False),
        sa.Column("partitions", sa.JSON, nullable=False),
        sa.Column("holds", sa.JSON, nullable=False),
    )
    op.create_table(
        "operations",
        sa.Column("id", _row_id, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("verb", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_operations_at", "operations", ["at"])
