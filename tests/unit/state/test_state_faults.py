"""Every fault of the database reaches the pipeline as StateUnavailable, and tells no row."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg
import pytest
import sqlalchemy.exc
from sqlalchemy import text
from state_suite import LETTER, failure

from sync_worker.adapters.state import StateDatabase
from sync_worker.adapters.state.fault import FOREIGN
from sync_worker.errors import StateUnavailable

_NEVER_SEEN = {"EmulatedDBAPIException", "Warning"}
"""The first is wrapped by SQLAlchemy as every driver's errors are; PEP 249 demands the second, and neither driver raises it."""


def _errors(module: object) -> list[type[Exception]]:
    return [
        member
        for member in vars(module).values()
        if isinstance(member, type)
        and issubclass(member, Exception)
        and not issubclass(member, Warning)
        and member.__name__ not in _NEVER_SEEN
    ]


@pytest.mark.parametrize("module", [sqlalchemy.exc, psycopg.errors, sqlite3], ids=lambda module: module.__name__)
def test_no_error_of_a_library_is_without_translation(module: object) -> None:
    """Fails when SQLAlchemy or a driver grows an error outside the roots that are translated."""
    found = _errors(module)
    assert len(found) > 5
    assert [error for error in found if not issubclass(error, FOREIGN)] == []


async def test_a_lost_database_is_state_unavailable_and_comes_back(tmp_path: Path) -> None:
    """The worker holds on StateUnavailable and goes on with the same object once the cause is gone."""
    state = await StateDatabase.open(f"sqlite:///{tmp_path / 'state.db'}")
    async with state._writing() as connection:
        await connection.execute(text("ALTER TABLE failed_work RENAME TO elsewhere"))
    with pytest.raises(StateUnavailable) as fault:
        await state.record_failures([failure(10, "doc-1")], [LETTER])
    assert fault.value.__cause__ is not None
    assert "failed_work" in str(fault.value)
    assert "doc-1" not in str(fault.value)
    assert "INSERT" not in str(fault.value)
    async with state._writing() as connection:
        await connection.execute(text("ALTER TABLE elsewhere RENAME TO failed_work"))
    await state.record_failures([failure(10)], [LETTER])
    await state.close()


async def test_a_server_that_does_not_answer_is_state_unavailable() -> None:
    """At the start as well: a database that is late is waited for, not a mistake in the configuration."""
    with pytest.raises(StateUnavailable):
        await StateDatabase.open("postgresql://u:secret@127.0.0.1:1/state")


async def test_an_unpermitted_write_is_undone_and_told(tmp_path: Path) -> None:
    """A failure in mid-transaction leaves no half of it."""
    state = await StateDatabase.open(f"sqlite:///{tmp_path / 'state.db'}")
    with pytest.raises(StateUnavailable):
        await state.record_failures([failure(10), failure(11, code=None)], [LETTER, LETTER])
    assert await state.failed_work() == []
    await state.close()
