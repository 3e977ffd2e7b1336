"""The options that every command shares, and how a command's coroutine is run."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from sync_worker.cli.outcome import DEBUG

Answer = TypeVar("Answer")


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

DEFAULT_CONFIG = Path("sync-worker.toml")


def within(seconds: float, work: Coroutine[None, None, Answer]) -> Answer:
    """Run `work` to its end. Raises TimeoutError after `seconds`, once the work has cleaned up behind itself."""

    async def bounded() -> Answer:
        async with asyncio.timeout(seconds):
            return await work

    return asyncio.run(bounded())
