"""The options that every command shares."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from sync_worker.cli.outcome import DEBUG
from sync_worker.errors import ConfigurationError


def _remember_debug(value: bool) -> bool:
    if value:
        DEBUG.set(True)
    return value


ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar="SYNC_WORKER_CONFIG", help="The configuration file.", show_default=True)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", min=0.1, envvar="SYNC_WORKER_TIMEOUT", help="Give up after this many seconds.")
]
DebugOption = Annotated[
    bool,
    typer.Option(
        "--debug", envvar="SYNC_WORKER_DEBUG", callback=_remember_debug, is_eager=True, help="Show tracebacks of errors."
    ),
]

InstanceOption = Annotated[str, typer.Option("--instance", help="Which Meilisearch: `default`, or NAME of \\[meilisearch.NAME].")]
AdminKeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--admin-key-file", envvar="MEILI_MASTER_KEY_FILE", help="File that holds an administrator's key of Meilisearch."
    ),
]

DEFAULT_CONFIG = Path("sync-worker.toml")


def admin_key(file: Path | None) -> str:
    """An administrator's key: from the file, from MEILI_MASTER_KEY, or typed in on a terminal.

    Never an argument: arguments are seen by everybody on the machine. Raises ConfigurationError where there is none.
    """
    if file is not None:
        try:
            key = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                [f"--admin-key-file: cannot read {file}: {error}"], remedy="name a file that holds the key"
            ) from error
    else:
        key = os.environ.get("MEILI_MASTER_KEY", "").strip()
    if not key and file is None and sys.stdin.isatty():
        key = str(typer.prompt("Meilisearch administrator's key", hide_input=True, err=True)).strip()
    if not key:
        raise ConfigurationError(
            ["no administrator's key of Meilisearch was given"],
            remedy="set MEILI_MASTER_KEY, or name a file with --admin-key-file",
        )
    return key


IndexArguments = Annotated[
    list[str] | None, typer.Argument(metavar="INDEX", help="As the configuration names them; none: all of them.")
]
IndexOption = Annotated[str | None, typer.Option("--index", help="Only of this index, as the configuration names it.")]

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration(text: str | None) -> float | None:
    """Seconds of `90s`, `15m`, `2h`, `1d`. Raises typer.BadParameter."""
    if text is None:
        return None
    number, unit = text[:-1], text[-1:]
    try:
        return float(number) * _UNITS[unit]
    except (KeyError, ValueError):
        raise typer.BadParameter(f"{text!r} is no age: 90s, 15m, 2h, 1d") from None
