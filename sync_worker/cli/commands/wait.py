"""`sync-worker wait`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sync_worker.cli.console import print_lines, print_report
from sync_worker.cli.options import DEFAULT_CONFIG, ConfigOption, DebugOption, JsonOption, TimeoutOption
from sync_worker.cli.outcome import ExitStatus
from sync_worker.cli.running import within

if TYPE_CHECKING:
    from sync_worker.operations.barrier import BarrierReport


def wait(
    indexes: Annotated[list[str] | None, typer.Argument(metavar="INDEX", help="Names of indexes; none: all of them.")] = None,
    lsn: Annotated[
        str | None,
        typer.Option("--lsn", help="Wait only for what was committed up to here: pg_current_wal_insert_lsn() after the commit."),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict/--quick",
            help="Quick does not wait until the connector has stored its offset: a record that it still repeats may be missed.",
        ),
    ] = True,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = 30,
    debug: DebugOption = False,
) -> None:
    """Wait until everything that was committed before now is applied. Exit status 1 when not in time, 3 when it can't pass."""
    from sync_worker.operations.waiting import wait_report
    from sync_worker.wiring import build, reach, verbs

    loaded = build.read_config(config)
    work = verbs.wait(loaded, indexes or [], lsn=lsn, strict=strict, timeout_s=timeout)
    needs = reach.parts(loaded, reach.Needs.SOURCE, reach.Needs.LOG, reach.Needs.CONNECT, reach.Needs.STATE)
    report = within(timeout, work, needs)
    if json:
        print_report(wait_report(report))
    else:
        print_lines(_lines(report))
    raise typer.Exit(_STATUS[str(report.verdict)])


_STATUS = {"passed": ExitStatus.OK, "behind": ExitStatus.FAILED, "blocked": ExitStatus.FOUND}


def _lines(report: BarrierReport) -> list[str]:
    names = ", ".join(report.indexes)
    if report.passed:
        return [f"passed after {report.seconds:.3f} s: {names} show what was committed before {report.lsn}"]
    lines = [f"not passed after {report.seconds:.1f} s, waiting for the {_STAGES[str(report.stage)]}"]
    for one in report.obstacles:
        lines += [f"  {one.subject}: {one.cause}", f"    do: {one.remedy}"]
    for behind in report.behind:
        place = f"{behind.partition.topic}:{behind.partition.partition}"
        at = "nobody says where it is" if behind.position is None else f"{behind.position.holder} is at {behind.position.applied}"
        lines.append(f"  {place} has to pass {behind.target.end}: {at}")
    if not report.obstacles and not report.behind:
        lines.append(f"  {report.cause}")
    return lines


_STAGES = {
    "message": "message to come through Kafka",
    "connector": "connector to store its offset",
    "applied": "changes to be applied",
}
