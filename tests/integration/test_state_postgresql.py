"""The suite of the state database over PostgreSQL, and that its schema is the declared one."""

from __future__ import annotations

import sys
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, text

from sync_worker.adapters.state import StateDatabase
from sync_worker.adapters.state.migration import VERSION_TABLE, migrate
from sync_worker.adapters.state.schema import metadata

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "state"))  # the suite is one, and lives with the unit tests
from state_suite import LETTER, StateSuite, failure


@pytest.fixture
def url(fresh_database: str) -> str:
    return fresh_database


class TestPostgreSQL(StateSuite):
    pass


async def test_a_broken_connection_is_replaced(url: str) -> None:
    """PostgreSQL was restarted: the next call has a new connection, nothing needs a restart here."""
    state = await StateDatabase.open(url)
    await state.record_failures([failure(10)], [LETTER])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await state.record_failures([failure(11)], [LETTER])
    assert len(await state.failed_work()) == 2
    await state.close()


def _definitions(connection: Connection) -> set[tuple[object, ...]]:
    columns = text(
        "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name <> :versions"
    )
    indexes = text("SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> :versions")
    return {tuple(row) for query in (columns, indexes) for row in connection.execute(query, {"versions": VERSION_TABLE})}


def test_migrations_and_tables_define_the_same_schema(url: str) -> None:
    """Columns, types, defaults, keys, indexes and their conditions, as PostgreSQL itself describes them."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        with connection.begin() as transaction:
            migrate(connection)
            migrated = _definitions(connection)
            context = MigrationContext.configure(connection, opts={"compare_type": True, "version_table": VERSION_TABLE})
            assert compare_metadata(context, metadata) == []
            transaction.rollback()
        with connection.begin():
            metadata.create_all(connection)
            assert _definitions(connection) == migrated
    engine.dispose()
