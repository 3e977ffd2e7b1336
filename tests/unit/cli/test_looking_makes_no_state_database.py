"""A verb that only looks makes no file: it says which one it looked for. An empty one would look like a chain without a past."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync_worker.cli.outcome import exit_status
from sync_worker.errors import StateUnavailable

from .test_failed_work_on_the_command_line import Desk


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """With the default url, called from another directory."""
    made = Desk(tmp_path)
    made.config.write_text(made.config.read_text().replace(f'url = "{made.url}"', ""), encoding="utf-8")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return made


def nothing_was_made(desk: Desk) -> bool:
    return not [*desk.config.parent.glob("**/*.db*")]


LOOKING = [
    "failed list",
    "failed counts",
    "failed show 1",
    "findings list",
    "audit",
    "retry 1",
    "drift",
    "wait",
    "backfill status",
]


@pytest.mark.parametrize("verb", [*LOOKING, "discard 1 --reason why", "resume things", "reindex things --status"])
def test_a_verb_that_finds_no_state_database_says_where_it_looked(desk: Desk, verb: str) -> None:
    with pytest.raises(StateUnavailable) as refused:
        desk.run(*verb.split())
    assert exit_status(refused.value) == 1
    assert f"{desk.config.parent}/sync-worker.db is not there: no worker has written to it" in refused.value.message
    assert "state.url" in refused.value.remedy
    assert nothing_was_made(desk)


def test_status_says_so_and_knows_nothing_of_it(desk: Desk) -> None:
    report = desk.json("status", "--timeout", "1", status=1)
    assert report["workers"] is None
    (told,) = [one["cause"] for one in report["unreachable"] if one["part"] == "state database"]
    assert "sync-worker.db is not there" in told
    assert nothing_was_made(desk)


@pytest.mark.parametrize("verb", ["check", "doctor"])
def test_looking_at_a_chain_that_has_not_begun_makes_nothing(desk: Desk, verb: str) -> None:
    desk.run(verb, "--timeout", "1")
    assert nothing_was_made(desk)


def test_a_verb_that_has_something_to_write_down_makes_it(desk: Desk) -> None:
    """A pause stands before a worker was ever started."""
    assert desk.run("pause", "things").exit_code == 0
    assert desk.run("failed", "list").exit_code == 0
    assert (desk.config.parent / "sync-worker.db").exists()
