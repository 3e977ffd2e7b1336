"""One place turns an error into text and exit status."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sync_worker.cli.outcome import DEBUG, ExitStatus, execute
from sync_worker.errors import ConfigurationError, OperatorNeeded, SinkDenied, SinkUnavailable, SyncWorkerError


def raising(error: BaseException) -> Callable[[], object]:
    def app() -> object:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigurationError(["kafka.group: is missing"]), ExitStatus.USAGE),
        (SinkUnavailable("Meilisearch does not answer"), ExitStatus.FAILED),
        (SinkDenied("403", code="invalid_api_key"), ExitStatus.USAGE),
        (SinkDenied("404", code="index_not_found"), ExitStatus.FAILED),
        (SyncWorkerError("no such finding"), ExitStatus.FAILED),
        (OperatorNeeded("created anew", kind="sink-lost-memory", remedy="sync-worker check"), ExitStatus.FOUND),
        (TimeoutError(), ExitStatus.FAILED),
        (ZeroDivisionError("division by zero"), ExitStatus.FAILED),
        (KeyboardInterrupt(), ExitStatus.INTERRUPTED),
        (SystemExit(3), ExitStatus.FOUND),
        (SystemExit(), ExitStatus.OK),
    ],
)
def test_each_kind_of_error_has_its_status(error: BaseException, status: ExitStatus) -> None:
    """0 fine, 1 could not find out, 2 usage, configuration or a refused credential, 3 found something wrong."""
    assert execute(raising(error)) == status


def test_what_is_wrong_and_what_to_do_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """Every mistake on its own line, then the remedy; stdout is for data, and no traceback is shown."""
    execute(raising(ConfigurationError(["a: is missing", "b: [bold]is[/bold] wrong"], remedy="mend the file")))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == ["error: a: is missing", "error: b: [bold]is[/bold] wrong", "  do: mend the file"]


def test_a_long_line_is_not_cut_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody greps the log for it."""
    execute(raising(SyncWorkerError("word " * 60 + "end")))
    assert "word " * 60 + "end" in capsys.readouterr().err


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """Only when asked for, and without local variables, which hold rows and secrets."""
    token = DEBUG.set(True)
    try:
        execute(raising(SinkUnavailable("Meilisearch does not answer")))
    finally:
        DEBUG.reset(token)
    assert "Traceback" in capsys.readouterr().err


def test_a_success_is_zero() -> None:
    """A command that returns has done what it was asked."""
    assert execute(lambda: None) == 0


def test_colours_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe gets plain text, and so does a terminal under NO_COLOR: not even bold."""
    execute(raising(SyncWorkerError("wrong")))
    assert "\x1b[" not in capsys.readouterr().err
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    execute(raising(SyncWorkerError("wrong")))
    assert "\x1b[" in capsys.readouterr().err
    monkeypatch.setenv("NO_COLOR", "1")
    execute(raising(SyncWorkerError("wrong")))
    assert "\x1b" not in capsys.readouterr().err
