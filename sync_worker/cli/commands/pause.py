"""`sync-worker pause` and `sync-worker resume`."""

from __future__ import annotations

from typing import Annotated

import typer

from sync_worker.cli.console import print_lines, print_report, say
from sync_worker.cli.options import DEFAULT_CONFIG, ConfigOption, DebugOption, JsonOption, TimeoutOption
from sync_worker.cli.outcome import ExitStatus
from sync_worker.cli.running import within

IndexArguments = Annotated[list[str], typer.Argument(metavar="INDEX", help="As the configuration names them.")]


def pause(
    indexes: IndexArguments,
    reason: Annotated[str, typer.Option("--reason", help="Shown wherever the pause is.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = 60,
    debug: DebugOption = False,
) -> None:
    """Stop writing to indexes until they are resumed: nothing is lost, changes wait in Kafka.

    Returns once every live worker has confirmed that it has nothing of them in flight. Exit status 1 when one did not within
    --timeout: the pause stands all the same, and it writes nothing new.
    """
    from sync_worker.wiring import build, failed_work, reach

    say("waiting for the workers to confirm")
    loaded = build.read_config(config)
    work = failed_work.pause(loaded, indexes, reason=reason, timeout_s=timeout)
    report = within(timeout, work, reach.parts(loaded, reach.Needs.STATE))
    if json:
        print_report(report)
    else:
        for index in report.indexes:
            if not report.workers:
                told = "recorded; no worker is running, and one that starts does not write to it"
            elif index.waiting_for:
                told = f"asked; not confirmed by {', '.join(index.waiting_for)}, which may still have something in flight"
            else:
                told = f"nothing in flight, confirmed by {', '.join(index.confirmed_by)}"
            print_lines([f"{index.index}: paused, {told}", f"  do: sync-worker resume {index.index}"])
    raise typer.Exit(ExitStatus.OK if report.confirmed else ExitStatus.FAILED)


def resume(
    indexes: IndexArguments,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = 30,
    debug: DebugOption = False,
) -> None:
    """Go on writing to paused indexes; the workers do so within a second or two."""
    from sync_worker.wiring import build, failed_work, reach

    loaded = build.read_config(config)
    report = within(timeout, failed_work.resume(loaded, indexes), reach.parts(loaded, reach.Needs.STATE))
    if json:
        print_report(report)
    else:
        print_lines(f"{one.index}: {'resumed' if one.was_paused else 'was not paused'}" for one in report.indexes)
