"""psycopg's exceptions in the project's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from sync_worker.adapters.libpq import Refusal, refusal, telling_line
from sync_worker.errors import ConfigurationError, SourceUnavailable, SyncWorkerError

_MENDS: dict[str, str] = {
    "28": "check the user and the password of [source]",
    "3D": "check the database name of [source]",
    "3F": "check the schema of the table",
    "42501": "grant what is missing: connectors/postgres-role.sql shows all that is needed",
    "42P01": "check the table's name: schema.table",
    "42703": "the table's columns changed; run `sync-worker check`",
    "42": "run `sync-worker check`",
    "22": "run `sync-worker check`",
}
"""SQLSTATEs, or their classes, that waiting does not mend."""

_REFUSED = {
    Refusal.CREDENTIALS: _MENDS["28"],
    Refusal.DATABASE: _MENDS["3D"],
    Refusal.ACCESS: "let the role in with pg_hba.conf, or use another sslmode",
}


def translate(error: psycopg.Error, doing: str) -> SyncWorkerError:
    """The closest match: what waiting can mend is SourceUnavailable, what an operator has to mend is ConfigurationError.

    Args:
        doing: what was tried, as "reading table public.cities".
    """
    state = error.sqlstate or ""
    message = f"{doing}: {_first_line(error)}"
    mend = _MENDS.get(state) or _MENDS.get(state[:2])
    if mend is not None:
        return ConfigurationError([message], remedy=mend)
    if (refused := refusal(message)) is not None:
        return ConfigurationError([message], remedy=_REFUSED[refused])
    if isinstance(error, psycopg.ProgrammingError) and not state:
        return ConfigurationError([message], remedy="check the connection string of [source]")
    return SourceUnavailable(message, remedy="check that PostgreSQL runs and can be reached from here")


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raises SourceUnavailable or ConfigurationError in place of psycopg's errors."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error, doing) from error


def _first_line(error: psycopg.Error) -> str:
    """The server's own sentence. Its DETAIL is left out: it may quote a row's values."""
    primary = error.diag.message_primary
    text = primary or str(error)
    return telling_line(text) or type(error).__name__
