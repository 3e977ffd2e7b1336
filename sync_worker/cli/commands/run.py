"""`sync-worker run`."""

from __future__ import annotations

import typer

from sync_worker.cli.options import DEFAULT_CONFIG, ConfigOption, DebugOption


def run(config: ConfigOption = DEFAULT_CONFIG, debug: DebugOption = False) -> None:
    """Keep the indexes in step until it is told to stop (SIGTERM, Ctrl-C). Logs go to stderr."""
    from sync_worker import wiring

    raise typer.Exit(wiring.run_worker(wiring.read_config(config)))
