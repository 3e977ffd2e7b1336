"""`sync-worker doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from sync_worker.cli.console import MARKS, print_lines, print_report, say
from sync_worker.cli.options import DEFAULT_CONFIG, ConfigOption, DebugOption, JsonOption, TimeoutOption
from sync_worker.cli.outcome import ExitStatus
from sync_worker.cli.running import NET_S, within
from sync_worker.operations.wording import counted

if TYPE_CHECKING:
    from sync_worker.operations.doctor.report import DoctorReport

_CLOSING_S = 30.0


def doctor(
    fix: Annotated[
        bool, typer.Option("--fix", help="Mend what belongs to sync-worker: connector, publication, topics. Loses nothing.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = 60,
    debug: DebugOption = False,
) -> None:
    """Everything that is known to lose, age or hide changes: each with evidence, severity, and the command that mends it.

    Makes a scratch index and a topic of its own for a moment: one tells how long a tiny task takes, the other what the brokers'
    clock says. Exit status 3 when something is wrong, 1 when all that is wrong is that something could not be found out.
    """
    from sync_worker.wiring import build
    from sync_worker.wiring import doctor as wired

    say("examining")
    work = wired.doctor(build.read_config(config), fix=fix, timeout_s=timeout)
    report = within((3 if fix else 1) * timeout + NET_S, work)
    if json:
        print_report(report)
    else:
        print_lines(_lines(report))
    raise typer.Exit(ExitStatus.FOUND if report.errors else ExitStatus.FAILED if report.unknown else ExitStatus.OK)


_UNKNOWN = ("?", "yellow")


def _lines(report: DoctorReport) -> list[Text]:
    lines = []
    area = max((len(one.area) for one in report.diagnoses), default=0)
    subject = max((len(one.subject) for one in report.diagnoses), default=0)
    for one in report.diagnoses:
        mark, style = MARKS.get(one.severity.value, _UNKNOWN)
        where = f" {one.area.ljust(area)}  {one.subject.ljust(subject)}  "
        lines.append(Text.assemble((mark, style), where, one.evidence))
        if one.remedy:
            lines.append(Text.assemble(" " * (len(where) + 1), ("do: ", "bold"), one.remedy))
    for done in report.fixed:
        lines.append(Text(f"{done.fix.value}: {'done' if done.done else 'not done'}, {done.outcome}"))
    numbers = [counted(len(report.diagnoses), "check"), counted(report.errors, "error"), counted(report.warnings, "warning")]
    count = ", ".join([*numbers, f"{report.unknown} unknown"])
    lines.append(Text(count, style="bold"))
    if not report.fixed and any(one.fix for one in report.diagnoses):
        lines.append(Text("sync-worker doctor --fix mends those that are sync-worker's own"))
    return lines
