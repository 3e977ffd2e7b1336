"""`[state] url`, as operators write it, mapped to the asynchronous drivers."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from sync_worker.errors import ConfigurationError

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
_REMEDY = "Write sqlite:///relative/path.db, sqlite:////absolute/path.db, or postgresql://user:password@host:port/database."


def driver_url(url: str) -> URL:
    """The URL with its asynchronous driver. Raises ConfigurationError; never repeats the URL, it may hold a password."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError(["[state] url: not a database URL"], remedy=_REMEDY) from error
    driver = _DRIVERS.get(parsed.drivername)
    if driver is None:
        raise ConfigurationError([f"[state] url: {parsed.drivername} is neither sqlite nor postgresql"], remedy=_REMEDY)
    parsed = parsed.set(drivername=driver)
    if driver.startswith("sqlite"):
        _check_file(parsed)
    return parsed


def _check_file(url: URL) -> None:
    path = url.database or ""
    if not path or path == ":memory:" or path.startswith("file:"):
        raise ConfigurationError(["[state] url: SQLite needs a file that outlives the worker"], remedy=_REMEDY)
    if not Path(path).parent.is_dir():
        # Making it would turn a volume that was not mounted, or a typing error, into an empty memory: a first start.
        raise ConfigurationError(
            [f"[state] url: the directory of {path} does not exist"], remedy="Create it, or mount the volume it belongs to."
        )
