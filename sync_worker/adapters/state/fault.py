"""What SQLAlchemy and the drivers raise, in the words of `sync_worker.errors`."""

from __future__ import annotations

import sqlite3

import psycopg
from sqlalchemy.exc import DatabaseError, DBAPIError, ProgrammingError, SQLAlchemyError

from sync_worker.adapters.libpq import refusal, telling_line
from sync_worker.errors import ConfigurationError, StateUnavailable, SyncWorkerError

FOREIGN = (SQLAlchemyError, psycopg.Error, sqlite3.Error, OSError)
"""Roots of everything that the library and its two drivers raise; OSError holds TimeoutError."""


def unavailable(error: BaseException) -> StateUnavailable:
    """A fault at work: whatever it is, nothing may be acknowledged before the database has taken it."""
    return StateUnavailable(f"The state database failed: {_words(error)}", remedy="sync-worker check")


def at_start(error: BaseException) -> SyncWorkerError:
    """A fault while opening: what only an operator can mend ends the start, all else may pass."""
    if isinstance(error, ProgrammingError) or type(error) is DatabaseError:
        return ConfigurationError(
            [f"[state] url: the database refused to be prepared: {_words(error)}"],
            remedy="Name a database that this user may create tables in.",
        )
    if refusal(_words(error)) is not None:
        return ConfigurationError(
            [f"[state] url: the database refuses the connection: {_words(error)}"],
            remedy="Check user, password and database name of state.url.",
        )
    return unavailable(error)


def _words(error: BaseException) -> str:
    """The telling line of the driver's message: PostgreSQL's details quote row values, SQLAlchemy's quote the statement."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    line = telling_line(str(cause)) or "no answer in time"
    return f"{line} ({type(cause).__name__})"
