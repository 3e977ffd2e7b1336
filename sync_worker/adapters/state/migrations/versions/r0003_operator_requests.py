"""What operators ask of the workers: retries, pauses and their confirmations; and which failures have no known order.

Revision ID: r0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0003"
down_revision = "r0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "retries",
        sa.Column("failed_work_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("from_source", sa.Boolean, nullable=False),
        sa.Column("asked_at", sa.Double, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
    )
    op.create_table(
        "rebuilt_failures",
        sa.Column("failed_work_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("rebuilt_at", sa.Double, nullable=False),
    )
    op.create_table(
        "pauses",
        sa.Column("index_name", sa.Text, primary_key=True),
        sa.Column("asked_at", sa.Double, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_table(
        "pause_confirmations",
        sa.Column("index_name", sa.Text, primary_key=True),
        sa.Column("worker", sa.Text, primary_key=True),
        sa.Column("asked_at", sa.Double, nullable=False),
        sa.Column("confirmed_at", sa.Double, nullable=False),
    )
