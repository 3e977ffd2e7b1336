"""Failures of rows that were read on request have an identity of their own, beside that of the record at their place.

Revision ID: r0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0009"
down_revision = "r0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # SQLite makes the table anew: said once more, so that an id that was shown to somebody is never given to another failure.
    with op.batch_alter_table("failed_work", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.add_column(sa.Column("request", sa.Text, nullable=False, server_default=""))
        table.drop_constraint("uq_failed_work_position", type_="unique")
        table.create_unique_constraint(
            "uq_failed_work_position", ["topic_id", "topic", "partition", "offset", "index_name", "request"]
        )
