"""Ports, secrets and what came from outside."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from sync_worker.testing.stack.place import Place
from sync_worker.testing.stack.process import StackError


def test_a_port_stays_the_same_between_starts(tmp_path: Path) -> None:
    """Tools hold the address from `.local/env`, so a restart must not move a part."""
    assert Place(tmp_path).port("kafka", taken_by_us=False) == Place(tmp_path).port("kafka", taken_by_us=False)


def test_a_port_that_others_took_is_left_to_them(tmp_path: Path) -> None:
    """While the stack was down somebody else may have taken its port."""
    before = Place(tmp_path).port("kafka", taken_by_us=False)
    with socket.socket() as other:
        other.bind(("127.0.0.1", before))
        other.listen()
        assert Place(tmp_path).port("kafka", taken_by_us=False) != before
    assert Place(tmp_path).port("kafka", taken_by_us=True)


def test_a_port_that_was_asked_for_is_used_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for and taken is an error that names the variable, never a silent other port."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        taken = other.getsockname()[1]
        other.listen()
        monkeypatch.setenv("SYNC_WORKER_STACK_KAFKA_PORT", str(taken))
        with pytest.raises(StackError, match="SYNC_WORKER_STACK_KAFKA_PORT"):
            Place(tmp_path).port("kafka", taken_by_us=False)
    assert Place(tmp_path).port("kafka", taken_by_us=False) == taken


def test_a_shell_that_read_the_env_file_changes_nothing(tmp_path: Path) -> None:
    """After `. .local/env` its own addresses stand in the environment; taken for given ones, `make up` would start nothing."""
    place = Place(tmp_path)
    place.write_env({"MEILI_URL": "http://127.0.0.1:1", "CONNECT_URL": "http://127.0.0.1:2"}, given=["CONNECT_URL"])
    shell = {"MEILI_URL": "http://127.0.0.1:1", "CONNECT_URL": "http://127.0.0.1:2", "DATABASE_URL": "postgresql://elsewhere/app"}
    assert place.given_from_outside(shell) == {
        "CONNECT_URL": "http://127.0.0.1:2",
        "DATABASE_URL": "postgresql://elsewhere/app",
    }


def test_the_env_file_is_for_its_owner_only_and_lines_are_key_value(tmp_path: Path) -> None:
    """It holds passwords, and shells, make and Python read it line by line."""
    Place(tmp_path).write_env({"A": "1", "B": "x=y"}, given=[])
    assert (tmp_path / "env").read_text() == "A=1\nB=x=y\n"
    assert (tmp_path / "env").stat().st_mode & 0o077 == 0
    assert (tmp_path / "stack.json").stat().st_mode & 0o077 == 0
    assert Place(tmp_path).read_env() == {"A": "1", "B": "x=y"}


def test_a_shell_gets_every_value_whole(tmp_path: Path) -> None:
    """`set -a; . .local/env` loses a value without a word where the shell takes its `&` for its own."""
    values = {"DATABASE_URL": "postgresql://u:p'$x@127.0.0.1/app?a=1&b=2#c", "MEILI_API_KEY": "", "STATE_URL": "sqlite:///a b"}
    Place(tmp_path).write_env(values, given=[])
    script = 'set -a; . "$0"; exec env -0'
    shell = subprocess.run(["sh", "-c", script, tmp_path / "env"], env={}, capture_output=True, text=True, check=True)
    sourced = dict(line.split("=", 1) for line in shell.stdout.split("\0") if line)
    assert {name: sourced.get(name) for name in values} == values
    assert Place(tmp_path).read_env() == values


def test_an_env_file_without_quotes_is_still_read(tmp_path: Path) -> None:
    """A stack that is running while the checkout is updated wrote its values bare."""
    (tmp_path / "env").write_text("DATABASE_URL=postgresql://u:p@127.0.0.1/app?a=1&b=2\nMEILI_API_KEY=\n")
    assert Place(tmp_path).read_env() == {"DATABASE_URL": "postgresql://u:p@127.0.0.1/app?a=1&b=2", "MEILI_API_KEY": ""}


def test_secrets_are_made_once_and_differ(tmp_path: Path) -> None:
    """A cluster keeps the password that it was made with."""
    place = Place(tmp_path)
    assert place.secret("postgres") == Place(tmp_path).secret("postgres") != place.secret("meilisearch")
