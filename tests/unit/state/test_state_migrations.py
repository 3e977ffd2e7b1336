"""The schema that migrations build is the schema that the code speaks to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, text

from sync_worker.adapters.state import StateDatabase
from sync_worker.adapters.state.migration import VERSION_TABLE, _config, migrate
from sync_worker.adapters.state.schema import metadata
from sync_worker.errors import ConfigurationError


def _definitions(connection: Connection) -> set[tuple[str, str, str | None]]:
    query = text("SELECT type, name, sql FROM sqlite_master WHERE tbl_name NOT LIKE 'sqlite%' AND tbl_name <> :versions")
    rows = connection.execute(query, {"versions": VERSION_TABLE})
    # SQLite keeps the words of CREATE TABLE, breaks no line before a column that was added later, and quotes a new name.
    return {
        (kind, name, None if sql is None else " ".join(sql.replace(f'TABLE "{name}"', f"TABLE {name}").split()))
        for kind, name, sql in rows
    }


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


async def test_failed_work_of_an_earlier_release_is_kept(tmp_path: Path) -> None:
    """Rows, their ids, and the next id: an operator may have noted one."""
    engine = create_engine(f"sqlite:///{tmp_path / 'state.db'}")
    config = _config()
    columns = (
        "index_name, document_id, operation, reason_class, code, message, retryable, status, attempts, first_failed_at, "
        'last_failed_at, topic_id, topic, "partition", "offset", source_ms, status_reason, status_changed_at'
    )
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "r0008")
        values = "'things', '5', 'update', 'rejected', 'c', 'm', 1, 'open', 2, 1.5, 2.5, 'id', 'topic', 0, 9, 7, '', 2.5"
        connection.execute(text(f"INSERT INTO failed_work (id, {columns}) VALUES (41, {values})"))
    state = await StateDatabase.open(f"sqlite:///{tmp_path / 'state.db'}")
    (work,) = await state.failed_work()
    assert (work.id, work.failure.document_id, work.failure.offset, work.failure.request, work.attempts) == (41, "5", 9, None, 2)
    await state.record_failures([replace(work.failure, request='{"id":6}', document_id="6")], [None])
    assert [work.id for work in await state.failed_work()] == [42, 41]
    await state.close()


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
