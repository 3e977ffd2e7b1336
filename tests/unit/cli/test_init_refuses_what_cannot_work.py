"""`init` refuses before it asks the database, or writes anything, what no command could use afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync_worker.cli.app import app
from sync_worker.cli.outcome import execute

URL = "postgresql://somebody@127.0.0.1:1/nowhere"


def init(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["sync-worker", "init", *arguments])
    return execute(app)


@pytest.mark.parametrize("by_environment", [False, True])
def test_a_password_that_is_not_percent_encoded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], by_environment: bool
) -> None:
    """Exit status 2, with the way to write it, and nothing of it."""
    url = "postgresql://shop:abc@SeCrEt@127.0.0.1/db"
    monkeypatch.delenv("DATABASE_URL", raising=False)
    if by_environment:
        monkeypatch.setenv("SYNC_WORKER_SOURCE__URL", url)
    status = init(monkeypatch, "--table", "public.cities", *([] if by_environment else ["--database-url", url]))
    told = capsys.readouterr().err
    assert (status, "percent-encode the password" in told, "SeCrEt" in told) == (2, True, False)


@pytest.mark.parametrize("table", ["public.Bestell Positionen", "cities", "a.b.c"])
def test_a_table_that_no_declaration_can_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, table: str
) -> None:
    """Exit status 2 and the reason; the file stays as it was."""
    config = tmp_path / "sync-worker.toml"
    status = init(monkeypatch, "--table", table, "--database-url", URL, "--config", str(config))
    told = capsys.readouterr().err
    assert (status, config.exists()) == (2, False)
    assert told.startswith(f"error: --table {table}: ")
    assert "schema.table" in told
