"""Alembic migrations of the state database, applied by `StateDatabase.open`."""
