"""`sync-worker check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from sync_worker.cli.console import MARKS, print_lines, print_report
from sync_worker.cli.options import DEFAULT_CONFIG, ConfigOption, DebugOption, JsonOption, TimeoutOption
from sync_worker.cli.outcome import ExitStatus
from sync_worker.cli.running import NET_S, within
from sync_worker.errors import ConfigurationError
from sync_worker.operations.wording import counted

if TYPE_CHECKING:
    from sync_worker.operations.check import CheckReport


def check(
    config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False, timeout: TimeoutOption = 60, debug: DebugOption = False
) -> None:
    """Hold the configuration against PostgreSQL, Kafka, Connect and Meilisearch, and name every mistake at once."""
    from sync_worker.wiring import build, verbs

    try:
        # The check gives up by itself, part by part, so that what it has found out is told.
        report = within(timeout + NET_S, verbs.check(build.read_config(config), timeout_s=timeout))
    except ConfigurationError as error:
        if json:
            print_report(_unread(config, error))
        raise
    if json:
        print_report(report)
    else:
        print_lines(_lines(report))
    raise typer.Exit(ExitStatus.OK if report.ok else ExitStatus.FAILED if report.unanswered_only else ExitStatus.FOUND)


def _unread(config: Path, error: ConfigurationError) -> CheckReport:
    from sync_worker.operations.check import Check, CheckReport, Verdict

    return CheckReport.of(Check("configuration", str(config), Verdict.ERROR, problem, error.remedy) for problem in error.problems)


def _lines(report: CheckReport) -> list[Text]:
    lines = []
    area_width = max((len(check.area) for check in report.checks), default=0)
    subject_width = max((len(check.subject) for check in report.checks), default=0)
    for check in report.checks:
        mark, style = MARKS[check.verdict]
        lines.append(
            Text.assemble(
                (mark, style), f" {check.area.ljust(area_width)}  {check.subject.ljust(subject_width)}  {check.message}"
            )
        )
        if check.remedy:
            lines.append(Text.assemble(" " * (area_width + subject_width + 6), ("do: ", "bold"), check.remedy))
    errors, warnings = (sum(check.verdict == verdict for check in report.checks) for verdict in ("error", "warning"))
    lines.append(
        Text(
            ", ".join([counted(len(report.checks), "check"), counted(errors, "error"), counted(warnings, "warning")]),
            style="bold",
        )
    )
    return lines
