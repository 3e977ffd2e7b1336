"""`sync-worker connector apply|status|restart|delete`."""

from __future__ import annotations

from typing import Annotated

import typer

from sync_worker.cli.console import columns, print_lines, print_report
from sync_worker.cli.grammar import Verbs
from sync_worker.cli.options import DEFAULT_CONFIG, ConfigOption, DebugOption, JsonOption, TimeoutOption
from sync_worker.cli.outcome import ExitStatus
from sync_worker.cli.running import within

app = Verbs(help="The Debezium connector: apply, status, restart, delete.", no_args_is_help=True)


@app.command()
def apply(
    config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False, timeout: TimeoutOption = 60, debug: DebugOption = False
) -> None:
    """Make the publication, the topics and the connector what the configuration says. Does nothing where they already are."""
    from sync_worker.wiring import build, reach, verbs

    loaded = build.read_config(config)
    needs = reach.parts(loaded, reach.Needs.SOURCE, reach.Needs.LOG, reach.Needs.CONNECT, reach.Needs.STATE)
    report = within(timeout, verbs.apply_connector(loaded), needs)
    if json:
        print_report(report)
        return
    what = "created" if report.created else f"changed: {', '.join(report.changed)}" if report.changed else "as declared already"
    print_lines([*(f"made {made}" for made in report.made), f"connector {report.name}: {what}"])
    for table in report.unsnapshotted:
        print_lines(
            [
                f"! {table}: its changes are streamed from now on, but the rows that it holds already are not: Debezium "
                "snapshots only what a connector starts with",
                "  do: delete the connector with --drop-slot and apply it again, which snapshots every table, until the backfill "
                "verb is there",
            ]
        )


@app.command()
def status(
    config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False, timeout: TimeoutOption = 30, debug: DebugOption = False
) -> None:
    """What Connect says of the connector and its tasks. Exit status 3 when it, or a task of it, does not run."""
    from sync_worker.wiring import build, reach, verbs

    loaded = build.read_config(config)
    report = within(timeout, verbs.connector_status(loaded), reach.parts(loaded, reach.Needs.CONNECT))
    if json:
        print_report(report)
    elif report.state is None:
        print_lines([f"connector {report.name}: not there; `sync-worker connector apply` makes it"])
    else:
        state = report.state
        rows = [["connector", report.name, state.state, state.worker]]
        rows += [["task", str(task.id), task.state, task.worker] for task in state.tasks]
        print_lines(columns(rows))
        print_lines(trace for trace in (state.trace, *(task.trace for task in state.tasks)) if trace)
        if not state.tasks:
            print_lines(["it has no task, so nothing moves"])
    raise typer.Exit(ExitStatus.OK if report.running else ExitStatus.FOUND)


@app.command()
def restart(
    config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False, timeout: TimeoutOption = 60, debug: DebugOption = False
) -> None:
    """Restart the connector and all its tasks."""
    from sync_worker.wiring import build, reach, verbs

    loaded = build.read_config(config)
    needs = reach.parts(loaded, reach.Needs.CONNECT, reach.Needs.STATE)
    report = within(timeout, verbs.restart_connector(loaded), needs)
    if json:
        print_report(report)
    else:
        print_lines([f"connector {report.name}: restart requested"])


@app.command()
def delete(
    config: ConfigOption = DEFAULT_CONFIG,
    drop_slot: Annotated[
        bool, typer.Option("--drop-slot", help="Drop the replication slot too: changes from now on are lost to this connector.")
    ] = False,
    drop_publication: Annotated[bool, typer.Option("--drop-publication", help="Drop the publication too.")] = False,
    json: JsonOption = False,
    timeout: TimeoutOption = 60,
    debug: DebugOption = False,
) -> None:
    """Delete the connector. What it leaves behind is named, with the way to drop it."""
    from sync_worker.wiring import build, reach, verbs

    loaded = build.read_config(config)
    work = verbs.delete_connector(loaded, drop_slot=drop_slot, drop_publication=drop_publication)
    report = within(timeout, work, reach.parts(loaded, reach.Needs.CONNECT, reach.Needs.STATE))
    if json:
        print_report(report)
        return
    print_lines([f"connector {report.name}: {'deleted' if report.existed else 'was not there'}"])
    print_lines([*(f"dropped {what}" for what in report.dropped), *(f"kept {what}" for what in report.kept)])
