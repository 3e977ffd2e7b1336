"""`[state] url`: which are taken, and how the others are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync_worker.adapters.state.url import driver_url
from sync_worker.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:////{tmp}/state.db", "sqlite+aiosqlite"),
        ("sqlite+aiosqlite:////{tmp}/state.db", "sqlite+aiosqlite"),
        ("postgresql://u:p@db:5432/state?sslmode=require", "postgresql+psycopg"),
        ("postgres://u:p@db/state", "postgresql+psycopg"),
        ("postgresql+psycopg://u:p@db/state", "postgresql+psycopg"),
    ],
)
def test_known_forms_get_their_asynchronous_driver(url: str, driver: str, tmp_path: Path) -> None:
    """Operators write the URL that their database's own tools take."""
    assert driver_url(url.format(tmp=str(tmp_path).lstrip("/"))).drivername == driver


@pytest.mark.parametrize(
    "url", ["", "state.db", "mysql://u:secret@db/state", "sqlite://", "sqlite:///:memory:", "postgresql://u:secret@db:x/s"]
)
def test_others_are_refused_without_showing_the_password(url: str) -> None:
    """One message that says what to write; never a secret."""
    with pytest.raises(ConfigurationError) as refusal:
        driver_url(url)
    assert "postgresql://user" in refusal.value.remedy
    assert "secret" not in str(refusal.value)
