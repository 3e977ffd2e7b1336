"""The schema that migrations build is the schema that the code speaks to."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, text

from sync_worker.adapters.state import StateDatabase
from sync_worker.adapters.state.migration import VERSION_TABLE, migrate
from sync_worker.adapters.state.schema import metadata
from sync_worker.errors import ConfigurationError


def _definitions(connection: Connection) -> set[tuple[str, str, str | None]]:
    query = text("SELECT type, name, sql FROM sqlite_master WHERE tbl_name NOT LIKE 'sqlite%' AND tbl_name <> :versions")
    rows = connection.execute(query, {"versions": VERSION_TABLE})
    # SQLite keeps the words of CREATE TABLE, and breaks no line before a column that was added later.
    return {(kind, name, None if sql is None else " ".join(sql.split())) for kind, name, sql in rows}


def test_migrations_and_tables_define_the_same_schema(tmp_path: Path) -> None:
    """Word for word: tables, columns, types, keys, indexes and their conditions."""
    with create_engine(f"sqlite:///{tmp_path / 'migrated.db'}").begin() as connection:
        migrate(connection)
        migrated = _definitions(connection)
        context = MigrationContext.configure(connection, opts={"compare_type": True, "version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
    with create_engine(f"sqlite:///{tmp_path / 'declared.db'}").begin() as connection:
        metadata.create_all(connection)
        assert _definitions(connection) == migrated


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A rolled-back release must not write into tables whose meaning it does not know."""
    url = f"sqlite:///{tmp_path / 'state.db'}"
    await (await StateDatabase.open(url)).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = 'r9999'"))
    with pytest.raises(ConfigurationError, match="r9999"):
        await StateDatabase.open(url)
    with engine.begin() as connection:
        assert connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one() == "r9999"


def test_an_interrupted_migration_leaves_nothing(tmp_path: Path) -> None:
    """All tables or none: a worker killed in the middle of its first start can start again."""
    engine = create_engine(f"sqlite:///{tmp_path / 'state.db'}", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        migrate(connection)
        connection.exec_driver_sql("ROLLBACK")
        assert connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one() == 0
