"""The command line: every command, each in a module that is imported only when it is called for."""

from __future__ import annotations

from typing import Annotated

import typer

from sync_worker.cli.commands import (
    audit,
    backfill,
    check,
    config,
    connector,
    dlq,
    doctor,
    drift,
    failed,
    findings,
    indexes,
    init,
    keys,
    pause,
    reconcile,
    reindex,
    retry,
    run,
    settings,
    status,
    wait,
)
from sync_worker.cli.console import stdout

app = typer.Typer(
    name="sync-worker",
    help="Keeps Meilisearch showing what PostgreSQL says.\n\n"
    "Exit status: 0 fine, 1 could not find out or do it, 2 usage, configuration or a refused credential, "
    "3 found something wrong.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        stdout().print(version("sync-worker"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """Options of all commands."""


app.command("run")(run.run)
app.command("init")(init.init)
app.command("check")(check.check)
app.command("doctor")(doctor.doctor)
app.command("reconcile")(reconcile.reconcile)
app.command("status")(status.status)
app.command("wait")(wait.wait)
app.command("keys")(keys.keys)
app.command("drift")(drift.drift)
app.command("reindex")(reindex.reindex)
app.command("retry")(retry.retry)
app.command("discard")(retry.discard)
app.command("pause")(pause.pause)
app.command("resume")(pause.resume)
app.command("audit")(audit.audit)
app.add_typer(failed.app, name="failed")
app.add_typer(backfill.app, name="backfill")
app.add_typer(dlq.app, name="dlq")
app.add_typer(connector.app, name="connector")
app.add_typer(indexes.app, name="indexes")
app.add_typer(findings.app, name="findings")
app.command("contract")(settings.contract)
app.add_typer(settings.app, name="settings")
app.add_typer(config.app, name="config")
