"""Logs: JSON for machines, readable on a terminal, libraries included, rows never."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from sync_worker.adapters.telemetry.logs import PAYLOAD_KEYS, configure_logging


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_is_json_where_no_terminal_is() -> None:
    """One object a line, with time, level, logger and what was said."""
    stream = io.StringIO()
    configure_logging("info", stream=stream)
    structlog.get_logger("sync_worker.pipeline").info("flush applied", index="cities", documents=3, task=7)
    line = json.loads(stream.getvalue())
    assert (
        line.items() >= {"event": "flush applied", "index": "cities", "level": "info", "logger": "sync_worker.pipeline"}.items()
    )


@pytest.mark.parametrize("key", sorted(PAYLOAD_KEYS))
def test_a_row_value_never_reaches_a_line(key: str) -> None:
    """What is logged under a payload's name is dropped, and its name is told."""
    stream = io.StringIO()
    configure_logging("debug", stream=stream)
    structlog.get_logger("x").warning("refused", **{key: {"iban": "DE02-SECRET"}})
    assert "SECRET" not in stream.getvalue()
    assert json.loads(stream.getvalue())["dropped"] == [key]


def test_libraries_speak_through_the_same_door() -> None:
    """Standard logging comes out as JSON as well."""
    stream = io.StringIO()
    configure_logging("info", stream=stream)
    logging.getLogger("faust.worker").warning("lost %s", "the group")
    assert json.loads(stream.getvalue())["event"] == "lost the group"


def test_the_level_holds() -> None:
    """Below the level nothing is written."""
    stream = io.StringIO()
    configure_logging("WARNING", stream=stream)
    structlog.get_logger("x").info("quiet")
    assert stream.getvalue() == ""


def test_colours_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets colours unless NO_COLOR is set; a file gets none even in the readable format."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal, plain, file = Terminal(), Terminal(), io.StringIO()
    configure_logging("info", stream=terminal)
    structlog.get_logger("x").info("flush applied")
    configure_logging("info", "console", stream=file)
    structlog.get_logger("x").info("flush applied")
    monkeypatch.setenv("NO_COLOR", "1")
    configure_logging("info", stream=plain)
    structlog.get_logger("x").info("flush applied")
    assert "\x1b[" in terminal.getvalue()
    assert "flush applied" in plain.getvalue()
    assert "\x1b[" not in plain.getvalue() + file.getvalue()


def test_an_exception_shows_no_local_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Local variables of a traceback hold rows."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    for stream, format in ((Terminal(), "console"), (io.StringIO(), "json")):
        configure_logging("info", format, stream=stream)  # type: ignore[arg-type]
        row = {"iban": "DE02-" + "SECRET"}
        try:
            raise ValueError(len(row))
        except ValueError:
            structlog.get_logger("x").exception("failed")
        assert "ValueError" in stream.getvalue()
        assert "DE02-SECRET" not in stream.getvalue()
