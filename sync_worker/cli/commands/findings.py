"""`sync-worker findings list|clear`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from sync_worker.cli.console import print_lines, print_report
from sync_worker.cli.grammar import Verbs
from sync_worker.cli.options import DEFAULT_CONFIG, ConfigOption, DebugOption, JsonOption, TimeoutOption
from sync_worker.cli.outcome import ExitStatus
from sync_worker.cli.running import within

app = Verbs(help="What the worker noticed and somebody must know.", no_args_is_help=True)


@app.command("list")
def list_(
    config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False, timeout: TimeoutOption = 30, debug: DebugOption = False
) -> None:
    """Open findings with their evidence and remedy. Exit status 3 when there is one."""
    from sync_worker.wiring import build, reach, verbs

    loaded = build.read_config(config)
    report = within(timeout, verbs.list_findings(loaded), reach.parts(loaded, reach.Needs.STATE))
    if json:
        print_report(report)
    elif not report.findings:
        print_lines(["no open finding"])
    for finding in () if json else report.findings:
        seen = datetime.fromtimestamp(finding.first_seen, UTC).isoformat(timespec="seconds")
        print_lines(
            [
                f"{finding.kind}  {finding.subject}  since {seen}{'  stops writing' if finding.blocking else ''}",
                f"  seen: {finding.evidence}",
                f"  in doubt: {finding.doubt}",
                f"  do: {finding.remedy}",
            ]
        )
    raise typer.Exit(ExitStatus.FOUND if report.findings else ExitStatus.OK)


@app.command()
def clear(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="Kind of the finding, as `findings list` prints it.")],
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="What it is about, as `findings list` prints it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it is settled; kept in the audit log.")],
    unproven: Annotated[
        bool, typer.Option("--unproven", help="Vouch for it where the proof that its kind asks for is missing; audited too.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = 30,
    debug: DebugOption = False,
) -> None:
    """Declare a finding settled: the worker goes on where it held for it."""
    from sync_worker.wiring import build, reach, verbs

    loaded = build.read_config(config)
    clearing = verbs.clear_finding(loaded, kind=kind, subject=subject, reason=reason, unproven=unproven)
    report = within(timeout, clearing, reach.parts(loaded, reach.Needs.STATE))
    if json:
        print_report(report)
    else:
        print_lines([f"cleared {report.kind} about {report.subject}"])
