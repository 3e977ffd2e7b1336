"""`sync-worker run`."""

from __future__ import annotations

import typer

from sync_worker.cli.options import DEFAULT_CONFIG, ConfigOption, DebugOption


def run(config: ConfigOption = DEFAULT_CONFIG, debug: DebugOption = False) -> None:
    """Keep the indexes in step until it is told to stop (SIGTERM, Ctrl-C). Logs go to stderr."""
    from sync_worker.wiring.build import read_config
    from sync_worker.wiring.worker import run_worker

    raise typer.Exit(run_worker(read_config(config)))
