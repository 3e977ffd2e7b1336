"""Arguments in, report out, exit status."""

from __future__ import annotations


def main() -> None:
    """Entry point of `sync-worker`."""
    from sync_worker.cli.app import app
    from sync_worker.cli.outcome import execute
    from sync_worker.cli.running import end

    end(execute(app))
