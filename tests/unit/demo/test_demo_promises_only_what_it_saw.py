"""The demo's own checks: what it did not see it does not claim."""

from __future__ import annotations

import io
import json
import tomllib
from pathlib import Path

import pytest
from rich.console import Console

from sync_worker.adapters.source.catalogue import TableDescription
from sync_worker.adapters.source.columns import Column
from sync_worker.adapters.source.suggest import suggest_declaration
from sync_worker.adapters.source.values import ColumnType
from sync_worker.testing.demo import __main__ as demo
from sync_worker.testing.demo import screen as screens
from sync_worker.testing.demo import settings, tables
from sync_worker.testing.demo.screen import Screen
from sync_worker.testing.demo.story import tell, waits_for
from sync_worker.testing.demo.waiting import NotObservedError, expect, until
from sync_worker.testing.stack import StackError


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def screen(output: io.StringIO) -> Screen:
    return Screen(Console(file=output, width=150, highlight=False, markup=False))


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_number_that_stands_still_says_who_works(
    is_terminal: bool, output: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`0 of 34,258` for long looks like a hang; the server counts a batch's documents once all of it is applied."""
    monkeypatch.setattr(screens, "_TELL_EVERY_S", 0)
    screen = Screen(Console(file=output, width=150, highlight=False, markup=False, force_terminal=is_terminal))
    with screen.bar("searchable", 34_258, waits_for=lambda: waits_for(enqueued=3, processing=2)) as progress:
        progress(0)
    assert "tasks in the batch that Meilisearch is indexing: 2, behind it: 3" in output.getvalue()


def test_the_time_is_counted_until_it_was_seen(clock: Clock) -> None:
    """What comes true after three looks took two pauses."""
    looks = iter([None, False, "there"])
    assert until(lambda: next(looks), "it", within_s=10, poll_s=0.5, clock=clock, sleep=clock.sleep) == ("there", 1.0)


def test_what_does_not_come_in_time_fails_and_says_how_things_stand(clock: Clock) -> None:
    """Every wait has a deadline, and its message holds the worker's own words."""
    with pytest.raises(NotObservedError, match="the new name: not within 3 s; on hold"):
        until(lambda: None, "the new name", within_s=3, poll_s=1, last_seen=lambda: "on hold", clock=clock, sleep=clock.sleep)
    assert clock.now == 103


def test_nobody_waits_for_a_worker_that_ended(clock: Clock) -> None:
    """The wait ends with the worker, not with the deadline."""

    def ended() -> None:
        raise NotObservedError("the worker ended")

    with pytest.raises(NotObservedError, match="the worker ended"):
        until(lambda: None, "it", within_s=1000, poll_s=1, alive=ended, clock=clock, sleep=clock.sleep)
    assert clock.now < 103


def test_the_table_claims_nothing_behind_a_failed_step(screen: Screen, output: io.StringIO) -> None:
    """The failed step and all behind it are shown as not observed, and none of those is run."""

    def fails() -> tuple[str, float | None]:
        expect(False, "two documents instead of one")
        return "never", None

    def never_run() -> tuple[str, float | None]:
        raise AssertionError("run behind a failed step")

    observations = tell([("first", lambda: ("seen", 1.5)), ("second", fails), ("third", never_run)], screen, lambda: None)
    screen.table(observations)
    assert [(one.promise, one.seen, one.took_s) for one in observations] == [
        ("first", "seen", 1.5),
        ("second", None, None),
        ("third", None, None),
    ]
    assert "✗ two documents instead of one" in output.getvalue()
    assert output.getvalue().count("NOT OBSERVED") == 2


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(demo, "default_home", lambda: tmp_path)
    monkeypatch.delenv("ROWS", raising=False)
    return tmp_path / "demo"


@pytest.mark.parametrize(("ends_with", "status"), [(NotObservedError("it"), 1), (KeyboardInterrupt(), 130)])
def test_a_demo_that_fails_keeps_its_logs_alone(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, ends_with: BaseException, status: int
) -> None:
    """It exits with a failure, and of its folder only the logs stay."""

    def fails(_rows: str, home: Path, _screen: Screen) -> None:
        (home / "logs").mkdir()
        (home / "logs" / "worker.log").write_text("last words")
        raise ends_with

    monkeypatch.setattr(demo, "_demo", fails)
    monkeypatch.setattr(demo.signal, "signal", lambda *_: None)
    assert demo.main() == status
    assert [path.name for path in checkout.iterdir()] == ["logs"]
    assert (checkout / "logs" / "worker.log").read_text() == "last words"


def test_rows_that_are_not_known_are_refused(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped ROWS starts nothing."""
    monkeypatch.setenv("ROWS", "everything")
    assert demo.main() == 2
    assert not checkout.exists()


def test_the_hook_goes_into_what_init_writes() -> None:
    """The edit fits the declaration that `sync-worker init` writes today, and leaves no setting that names the lost field."""
    edited = tomllib.loads(settings.use_hook(suggest_declaration(_countries())))["indexes"]["countries"]
    assert edited["hook"] == "country_vectors:add_profile"
    assert edited["fields"]["profile"] == {"omit": True}
    assert all("profile" not in names for names in edited["settings"].values())


def test_a_declaration_that_is_written_otherwise_is_not_edited_blindly() -> None:
    """Where `init` writes something else, the demo says so."""
    with pytest.raises(NotObservedError, match="not once"):
        settings.use_hook("[indexes.countries]\nprofile = 'text'\n")


def test_only_the_poisoned_country_has_a_vector_of_another_length() -> None:
    """All countries carry three numbers, so that what is refused is refused for the poison."""
    assert {len(json.loads(row[-1])) for row in tables.countries()} == {3}


def _countries() -> TableDescription:
    kinds = {"code": "text", "name": "text", "capital": "text", "population": "int8", "profile": "jsonb"}
    return TableDescription(
        table="public.countries",
        oid=1,
        kind="table",
        persistence="permanent",
        replica_identity="default",
        is_partition=False,
        estimated_rows=0,
        readable=True,
        columns=tuple(Column(name, kind, kind, True, "", ColumnType(kind, "b", False, -1)) for name, kind in kinds.items()),
        primary_key=("code",),
        unique_keys=(),
        identity_index=(),
        publications=(),
    )


def test_a_part_that_cannot_start_is_told_instead_of_the_step_that_met_its_end(output: io.StringIO, screen: Screen) -> None:
    """The others are taken down with it: "PostgreSQL is away" would send the reader the wrong way."""

    def fails() -> tuple[str, float | None]:
        raise NotObservedError("terminating connection due to unexpected postmaster exit")

    def started() -> object:
        raise StackError("connect ended while it was starting")

    with pytest.raises(StackError):
        tell([("first", fails)], screen, started)
    assert "postmaster" not in output.getvalue()
