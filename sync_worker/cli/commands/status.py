"""`sync-worker status`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from sync_worker.cli.console import moment, print_lines, print_report, print_table, stdout
from sync_worker.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    DebugOption,
    IndexArguments,
    JsonOption,
)
from sync_worker.cli.outcome import ExitStatus
from sync_worker.cli.running import NET_S, within
from sync_worker.operations.wording import counted

if TYPE_CHECKING:
    from sync_worker.operations.status.report import IndexStatus, StatusReport

_UNKNOWN = "?"


def status(
    indexes: IndexArguments = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again and again, until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option("--interval", min=0.5, help="Seconds between two looks of --watch.")] = 2.0,
    max_lag: Annotated[float, typer.Option("--max-lag", min=0, help="Seconds of lag from which an index is behind.")] = 60.0,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, envvar="SYNC_WORKER_TIMEOUT", help="Seconds that the parts have to answer.")
    ] = 10.0,
    debug: DebugOption = False,
) -> None:
    """Everything at one moment: indexes, lag, failures, connector, slot, workers, holds, findings. Changes nothing.

    Exit status 3 when something is wrong, 1 when all that is wrong is that a part did not answer. A part that is down is named,
    and the others are shown. With --json and --watch there is one document after the other, a line each.
    """
    from sync_worker.wiring import build
    from sync_worker.wiring import status as wired

    loaded = build.read_config(config)

    def look() -> StatusReport:
        work = wired.status(loaded, indexes or (), max_lag_s=max_lag, deadline_s=timeout)
        return within(timeout + NET_S, work)

    while watch:
        report = look()
        if json:
            _print_line(report)
        else:
            stdout().clear()
            _show(report)
        time.sleep(interval)
    report = look()
    if json:
        print_report(report)
    else:
        _show(report)
    raise typer.Exit(_exit(report))


def _exit(report: StatusReport) -> ExitStatus:
    return ExitStatus.OK if report.ok else ExitStatus.FAILED if report.only_unanswered else ExitStatus.FOUND


def _print_line(report: StatusReport) -> None:
    import json

    from sync_worker.operations.report import as_document

    typer.echo(json.dumps(as_document(report), ensure_ascii=False))


def _show(report: StatusReport) -> None:
    headings = ["index", "uid", "documents", "lag", "seconds", "fresh to", "failed", "tasks", "settings", "filled", "compared"]
    print_table(headings, [_row(index) for index in report.indexes])
    alive = {True: "alive", False: "NOT ALIVE", None: "not known"}[report.alive]
    age = "" if report.canary_age_s is None else f", the last message through the whole chain is {report.canary_age_s:.1f} s old"
    print_lines(["", f"chain      {alive}{age}"])
    if report.connector is None:
        print_lines([f"connector  {_UNKNOWN}"])
    else:
        state = report.connector.state
        words = "not there" if state is None else f"{state.state}, tasks: {', '.join(t.state for t in state.tasks) or 'none'}"
        print_lines([f"connector  {report.connector.name}: {words}"])
    if report.slot is None:
        print_lines([f"slot       {_UNKNOWN}"])
    else:
        slot = report.slot
        kept = _bytes(slot.retained_bytes)
        words = f"{kept} of WAL kept, {slot.wal_status}, {'read' if slot.active else 'not read'}" if slot.exists else "not there"
        print_lines([f"slot       {slot.name}: {words}"])
    for index in report.indexes:
        if (rebuild := index.rebuild) is not None:
            beside = f"{rebuild.phase}; {index.uid} is the {rebuild.live} index, {rebuild.target_uid} beside it"
            print_lines([f"rebuild    {index.index}: {beside}", f"           waits for {rebuild.waits_for}"])
    if report.workers is None:
        print_lines([f"workers    {_UNKNOWN}"])
    for worker in report.workers or ():
        ready = {True: "ready", False: "not ready", None: "does not answer"}[worker.ready]
        print_lines([f"worker     {worker.worker}: {ready}, {', '.join(worker.partitions) or 'no partitions'}"])
    for hold in report.holds or ():
        since = "" if hold.since is None else f" since {moment(hold.since)}"
        print_lines([f"hold       {hold.subject}{since} ({hold.worker}): {hold.cause}"])
    for part in report.unreachable:
        print_lines([f"UNREACHABLE {part.part}: {part.cause}"])
    if report.unreachable:
        print_lines(["  do: sync-worker doctor"])
    problems = report.without_the_unreachable
    if problems:
        print_lines(["", f"{len(problems)} wrong:"])
    for problem in problems:
        print_lines([f"  {problem.subject}: {problem.kind}: {problem.what}", f"    do: {problem.remedy}"])


def _row(index: IndexStatus) -> list[str]:
    tasks = f"{_number(index.unfinished_tasks)} unfinished, {_number(index.failed_tasks)} failed"
    differ = index.settings_differ
    fill = index.fill
    told = index.paused is not None  # whether the state database answered
    older = f", {fill.older_documents} older" if fill is not None and fill.older_documents else ""
    return [
        f"{index.index}{' (paused)' if index.paused else ''}",
        index.uid,
        "missing" if index.exists is False else _number(index.documents),
        _number(index.lag_messages),
        _seconds(index.lag_s),
        _UNKNOWN if index.freshness_s is None else f"{index.freshness_s:.1f} s",
        _UNKNOWN if index.open_failures is None else str(sum(index.open_failures.values())),
        tasks,
        _UNKNOWN if differ is None else f"{len(differ)} differ" if differ else "in step",
        f"{moment(fill.filled_at)}{older}" if fill is not None else "not proven" if told else _UNKNOWN,
        _compared(index) if told else _UNKNOWN,
    ]


def _compared(index: IndexStatus) -> str:
    one = index.comparison
    if one is None:
        return "never"
    found = counted(one.differences, "difference") if one.differences else "no differences"
    return f"{one.depth}, {one.age_s / 3600:.1f} h ago: {found}"


def _number(value: int | None) -> str:
    return _UNKNOWN if value is None else str(value)


def _seconds(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.1f}"


def _bytes(count: int | None) -> str:
    if count is None:
        return "nothing"
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}"
