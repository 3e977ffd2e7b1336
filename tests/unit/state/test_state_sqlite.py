"""The suite of the state database over SQLite, and what concerns its file."""

from __future__ import annotations

from pathlib import Path

import pytest
from state_suite import StateSuite, finding

from sync_worker.adapters.state import StateDatabase
from sync_worker.errors import ConfigurationError


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'state.db'}"


class TestSQLite(StateSuite):
    pass


async def test_what_was_written_survives_a_restart(url: str) -> None:
    """The file is the memory: opened again, it holds what was told."""
    first = await StateDatabase.open(url)
    await first.add_finding(finding())
    await first.close()
    second = await StateDatabase.open(url)
    assert await second.findings() == [finding()]
    await second.close()


async def test_a_commit_reaches_the_disk_and_readers_do_not_wait(url: str) -> None:
    """Write-ahead log for readers beside a writer; full synchronisation, as an acknowledged failure must outlive a power cut."""
    state = await StateDatabase.open(url)
    async with state._reading() as connection:
        assert (await connection.exec_driver_sql("PRAGMA journal_mode")).scalar_one() == "wal"
        assert (await connection.exec_driver_sql("PRAGMA synchronous")).scalar_one() == 2
        assert (await connection.exec_driver_sql("PRAGMA busy_timeout")).scalar_one() == 15_000
    await state.close()


async def test_a_missing_directory_is_not_made(tmp_path: Path) -> None:
    """An unmounted volume must not look like a first start."""
    with pytest.raises(ConfigurationError, match="does not exist"):
        await StateDatabase.open(f"sqlite:///{tmp_path / 'volume' / 'state.db'}")


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """A wrong path is the operator's to mend, not a fault that passes."""
    (tmp_path / "notes.txt").write_text("not a database, but long enough to have a header of its own " * 100)
    with pytest.raises(ConfigurationError, match="not a database"):
        await StateDatabase.open(f"sqlite:///{tmp_path / 'notes.txt'}")
