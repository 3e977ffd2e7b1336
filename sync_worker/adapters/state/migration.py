"""Bringing the schema up to date: once, by whichever worker comes first, in one transaction."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from sync_worker.errors import ConfigurationError

VERSION_TABLE = "sync_worker_schema"
"""Not Alembic's default name: the database may hold an application's own migrations as well."""

_LOCK = 0x73796E63  # "sync"


def migrate(connection: Connection) -> None:
    """Upgrade to the newest revision, inside the connection's transaction.

    SQLite's transaction already holds the only write lock; PostgreSQL gets an advisory one, released with the
    transaction. Raises ConfigurationError when the schema has a revision that this version does not know.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    config = _config()
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    present = _present(connection)
    unknown = present - {script.revision for script in scripts.walk_revisions()}
    if unknown:
        raise ConfigurationError(
            [f"[state] url: the schema is at revision {', '.join(sorted(unknown))}, which this version does not know"],
            remedy="Run the version of sync-worker that made it, or a newer one.",
        )
    if present != set(scripts.get_heads()):
        command.upgrade(config, "head")


def revisions(connection: Connection) -> tuple[str, str]:
    """The revision that is there, empty for none, and the newest that this version knows. Changes nothing."""
    newest = ScriptDirectory.from_config(_config()).get_current_head() or ""
    return ", ".join(sorted(_present(connection))), newest


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _present(connection: Connection) -> set[str]:
    return set(MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads())
