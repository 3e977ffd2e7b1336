"""The watch: what was seen of the source and when each index was filled; bookmarks know their last record.

Revision ID: r0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0002"
down_revision = "r0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("bookmarks", sa.Column("last_offset", sa.BigInteger))
    op.add_column("bookmarks", sa.Column("last_ms", sa.BigInteger))
    op.add_column("bookmarks", sa.Column("last_key", sa.Text))
    op.create_table(
        "recorded_facts",
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("aspect", sa.Text, primary_key=True),
        sa.Column("value", sa.JSON, nullable=False),
        sa.Column("saved_at", sa.Double, nullable=False),
    )
    op.create_table(
        "fills",
        sa.Column("index_name", sa.Text, primary_key=True),
        sa.Column("uid", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("proof", sa.Text, nullable=False),
        sa.Column("declaration", sa.Text, nullable=False),
        sa.Column("columns", sa.Text, nullable=False),
        sa.Column("topic_id", sa.Text, nullable=False),
        sa.Column("ends", sa.JSON, nullable=False),
        sa.Column("filled_at", sa.Double, nullable=False),
        sa.Column("older_documents", sa.BigInteger, nullable=False),
        sa.Column("older_since", sa.Double),
    )
