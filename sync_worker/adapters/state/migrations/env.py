"""Run by Alembic, on the connection and inside the transaction that `sync_worker.adapters.state.migration` hands over."""

from __future__ import annotations

from alembic import context

from sync_worker.adapters.state.migration import VERSION_TABLE
from sync_worker.adapters.state.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
