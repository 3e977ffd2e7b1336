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
from sync_worker.cli.grammar import Verbs

app = Verbs(
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


_RUN, _LOOK, _REPAIR, _REBUILD, _SETUP = "Run", "Look", "Repair", "Rebuild", "Set up"

app.command("run", rich_help_panel=_RUN)(run.run)
app.command("wait", rich_help_panel=_RUN)(wait.wait)
app.command("pause", rich_help_panel=_RUN)(pause.pause)
app.command("resume", rich_help_panel=_RUN)(pause.resume)

app.command("status", rich_help_panel=_LOOK)(status.status)
app.command("doctor", rich_help_panel=_LOOK)(doctor.doctor)
app.add_typer(findings.app, name="findings", rich_help_panel=_LOOK)
app.add_typer(failed.app, name="failed", rich_help_panel=_LOOK)
app.command("contract", rich_help_panel=_LOOK)(settings.contract)
app.command("audit", rich_help_panel=_LOOK)(audit.audit)

app.command("reconcile", rich_help_panel=_REPAIR)(reconcile.reconcile)
app.command("drift", rich_help_panel=_REPAIR)(drift.drift)
app.command("retry", rich_help_panel=_REPAIR)(retry.retry)
app.command("discard", rich_help_panel=_REPAIR)(retry.discard)
app.add_typer(dlq.app, name="dlq", rich_help_panel=_REPAIR)

app.add_typer(backfill.app, name="backfill", rich_help_panel=_REBUILD)
app.command("reindex", rich_help_panel=_REBUILD)(reindex.reindex)
app.add_typer(settings.app, name="settings", rich_help_panel=_REBUILD)

app.command("init", rich_help_panel=_SETUP)(init.init)
app.command("check", rich_help_panel=_SETUP)(check.check)
app.command("keys", rich_help_panel=_SETUP)(keys.keys)
app.add_typer(indexes.app, name="indexes", rich_help_panel=_SETUP)
app.add_typer(connector.app, name="connector", rich_help_panel=_SETUP)
app.add_typer(config.app, name="config", rich_help_panel=_SETUP)
