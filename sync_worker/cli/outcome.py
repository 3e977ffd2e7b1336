"""The one place where an error becomes text and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextvars import ContextVar
from enum import IntEnum

from rich.text import Text

from sync_worker.cli.console import stderr
from sync_worker.errors import ConfigurationError, OperatorNeeded, SinkDenied, SyncWorkerError


class ExitStatus(IntEnum):
    """What a command's exit status means, the same for all of them."""

    OK = 0
    FAILED = 1
    """It could not find out, or could not do it."""
    USAGE = 2
    """The command line or the configuration is wrong, or a credential was refused; nothing was done."""
    FOUND = 3
    """It found out, and something is wrong."""
    INTERRUPTED = 130


_REFUSED_KEY = frozenset({"invalid_api_key", "missing_authorization_header"})
"""Meilisearch's codes for a key that is wrong, or may not do this. PostgreSQL and Kafka raise ConfigurationError for theirs."""

DEBUG: ContextVar[bool] = ContextVar("debug", default=False)
"""Whether tracebacks are shown."""


def execute(app: Callable[[], object]) -> int:
    """Run the command line and return its exit status. Expected errors show no traceback unless `--debug` asks for it."""
    try:
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitStatus.FAILED if end.code else ExitStatus.OK
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    except BrokenPipeError:
        # The reader of the pipe has what it wanted. Python would complain again while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitStatus.OK
    except Exception as error:
        if DEBUG.get():
            stderr().print_exception(show_locals=False)
        show_error(error)
        return exit_status(error)
    return ExitStatus.OK


def exit_status(error: Exception) -> ExitStatus:
    """Configuration and refused credentials 2, an operator is needed 3, all else 1."""
    if isinstance(error, ConfigurationError) or (isinstance(error, SinkDenied) and error.code in _REFUSED_KEY):
        return ExitStatus.USAGE
    if isinstance(error, OperatorNeeded):
        return ExitStatus.FOUND
    return ExitStatus.FAILED


def show_error(error: Exception) -> None:
    """What is wrong, where, and what to do next, on stderr."""
    console = stderr()
    if isinstance(error, ConfigurationError):
        lines = list(error.problems)
        remedy = error.remedy
    elif isinstance(error, SyncWorkerError):
        lines = error.message.splitlines()
        remedy = error.remedy
    elif isinstance(error, TimeoutError):
        lines = ["not done within --timeout"]
        remedy = "give more time, for instance --timeout 120; the command can simply be run again"
    else:
        lines = [f"unexpected {type(error).__name__}: {error}"]
        remedy = "this is a mistake in sync-worker: run it again with --debug and report what it prints"
    for line in lines:
        console.print(Text.assemble(("error: ", "bold red"), line), soft_wrap=True)
    if remedy:
        console.print(Text.assemble(("  do: ", "bold"), remedy), soft_wrap=True)
