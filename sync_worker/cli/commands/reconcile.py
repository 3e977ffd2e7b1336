"""`sync-worker reconcile`."""

from __future__ import annotations

from typing import Annotated

import typer

from sync_worker.cli.console import print_lines, print_report, say
from sync_worker.cli.options import (
    DEFAULT_CONFIG,
    AdminKeyFileOption,
    ConfigOption,
    DebugOption,
    IndexArguments,
    JsonOption,
    TimeoutOption,
    admin_key,
)
from sync_worker.cli.outcome import ExitStatus
from sync_worker.cli.running import NET_S, within

_APPLYING_S = 600.0


def reconcile(
    indexes: IndexArguments = None,
    apply: Annotated[
        str | None, typer.Option("--apply", metavar="ACTION", help="Do exactly this one of the recommended actions.")
    ] = None,
    max_lag: Annotated[float, typer.Option("--max-lag", min=0, help="Seconds of lag from which an index is behind.")] = 60.0,
    config: ConfigOption = DEFAULT_CONFIG,
    admin_key_file: AdminKeyFileOption = None,
    json: JsonOption = False,
    timeout: TimeoutOption = 10,
    debug: DebugOption = False,
) -> None:
    """Read everything, name what is wrong, and recommend what to do, in order, with what each costs and risks.

    Changes nothing without --apply. Exit status 3 when something is wrong, 1 when nothing is but that a part did not answer; with
    --apply 0 when that action came to its end.
    """
    from sync_worker.wiring import build
    from sync_worker.wiring import reconcile as wired

    if apply is not None:
        say(f"applying {apply}")
    work = wired.reconcile(
        build.read_config(config),
        indexes or (),
        apply=apply,
        admin_key=lambda: admin_key(admin_key_file),
        max_lag_s=max_lag,
        deadline_s=timeout,
    )
    report = within(timeout + (_APPLYING_S if apply is not None else NET_S), work)
    if json:
        print_report(report)
    elif report.applied is not None:
        done = report.applied
        print_lines([f"{done.action}: {'done' if done.done else 'not done'}, {done.outcome}"])
    else:
        print_lines(f"{one.subject}: {one.kind}: {one.evidence}" for one in report.findings)
        if report.actions:
            print_lines(["", "to do, in this order:"])
        for number, action in enumerate(report.actions, 1):
            print_lines(
                [
                    f"{number}. {action.command}",
                    f"   why   {action.why}",
                    f"   cost  {action.cost}",
                    f"   risk  {action.risk}",
                    *([f"   or    sync-worker reconcile --apply {action.action}"] if action.applicable else []),
                ]
            )
        if report.ok:
            print_lines(["nothing to reconcile"])
    if report.applied is not None:
        raise typer.Exit(ExitStatus.OK if report.applied.done else ExitStatus.FOUND)
    if report.only_unanswered:
        raise typer.Exit(ExitStatus.FAILED)
    raise typer.Exit(ExitStatus.OK if report.ok else ExitStatus.FOUND)
