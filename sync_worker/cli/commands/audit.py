"""`sync-worker audit`."""

from __future__ import annotations

from typing import Annotated

import typer

from sync_worker.cli.console import moment, print_lines, print_report, print_table
from sync_worker.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    DebugOption,
    IndexOption,
    JsonOption,
    TimeoutOption,
    duration,
)
from sync_worker.cli.running import within


def audit(
    verb: Annotated[str | None, typer.Option("--verb", help="Only verbs that start so, for instance `dlq`.")] = None,
    by: Annotated[str | None, typer.Option("--by", help="Only by whom this is part of.")] = None,
    index: IndexOption = None,
    newer_than: Annotated[str | None, typer.Option("--newer-than", metavar="AGE", help="Only since: 90s, 15m, 2h, 1d.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 50,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = 30,
    debug: DebugOption = False,
) -> None:
    """Who called which verb that changes something, when, and what came of it. Newest first."""
    from sync_worker.wiring import build, failed_work, reach

    since = duration(newer_than)
    loaded = build.read_config(config)
    work = failed_work.audit_log(loaded, verb=verb, by=by, subject=index, newer_than_s=since, limit=limit)
    report = within(timeout, work, reach.parts(loaded, reach.Needs.STATE))
    if index is not None and not report.lines:
        loaded.chosen([index])  # of one that was declared once there would be something to tell
    if json:
        print_report(report)
    elif not report.lines:
        print_lines(["nothing is in the audit log"])
    else:
        rows = []
        for line in report.lines:
            details = ", ".join(f"{name}={value}" for name, value in line.details.items())
            rows.append([moment(line.at), line.actor, line.verb, line.subject, line.outcome, details])
        print_table(["when", "who", "verb", "about", "outcome", "details"], rows)
