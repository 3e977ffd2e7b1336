"""A mistake in the command line is exit status 2 at once: nothing is connected to, and it is worded the same everywhere."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sync_worker.cli.outcome import exit_status
from sync_worker.errors import ConfigurationError

from .test_failed_work_on_the_command_line import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path).worked()


UNDECLARED = [
    ["status", "nope"],
    ["wait", "nope"],
    ["drift", "nope"],
    ["drift", "nope", "--show", "1"],
    ["backfill", "nope"],
    ["backfill", "nope", "--plan"],
    ["backfill", "nope", "--ids", "1"],
    ["backfill", "status", "nope"],
    ["backfill", "pause", "nope"],
    ["backfill", "resume", "nope"],
    ["backfill", "stop", "nope"],
    ["reindex", "nope"],
    ["reindex", "nope", "--plan"],
    ["reindex", "nope", "--status"],
    ["settings", "diff", "nope"],
    ["settings", "apply", "nope"],
    ["contract", "nope"],
    ["reconcile", "nope"],
    ["pause", "nope"],
    ["resume", "nope"],
    ["retry", "--index", "nope"],
    ["failed", "list", "--index", "nope"],
    ["failed", "counts", "--index", "nope"],
    ["status", "--index", "nope"],
    ["wait", "--index=nope"],
    ["pause", "--index", "nope"],
    ["backfill", "--index", "nope", "--plan"],
    ["reconcile", "things", "--index", "nope"],
]


@pytest.mark.parametrize("arguments", UNDECLARED, ids=" ".join)
def test_an_index_that_nobody_declared_is_refused_at_once(
    desk: Desk, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing listens at any address of this configuration, and nothing of that is told: the name is the mistake."""
    monkeypatch.delenv("MEILI_MASTER_KEY", raising=False)
    began = time.monotonic()
    with pytest.raises(ConfigurationError) as refused:
        desk.run(*arguments)
    assert refused.value.problems == ("index nope: not declared",)
    assert refused.value.remedy == "declared are: things"
    assert exit_status(refused.value) == 2
    assert time.monotonic() - began < 5, "Kafka alone would have taken ten seconds"


def test_failed_work_of_an_index_that_was_declared_once_is_still_shown(desk: Desk) -> None:
    """Its declaration may be gone; what failed under it must stay in reach."""
    desk.fail(1)
    desk.config.write_text(desk.config.read_text().replace("[indexes.things]", "[indexes.others]"))
    assert desk.run("failed", "list", "--index", "things").exit_code == 3
    with pytest.raises(ConfigurationError, match="index thing: not declared"):
        desk.run("failed", "list", "--index", "thing")


def test_a_slice_can_not_be_pruned(desk: Desk) -> None:
    """Refused before the database is asked whether it understands the condition."""
    with pytest.raises(ConfigurationError, match="--where and --prune exclude each other"):
        desk.run("backfill", "things", "--where", "n > 1", "--prune")
