"""Arguments in, report out, exit status."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of `sync-worker`."""
    from sync_worker.cli.app import app
    from sync_worker.cli.outcome import execute

    sys.exit(execute(app))
