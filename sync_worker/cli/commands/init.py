"""`sync-worker init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sync_worker.cli.console import print_json, print_lines, stderr
from sync_worker.cli.options import DebugOption, JsonOption, TimeoutOption
from sync_worker.cli.running import within


def init(
    table: Annotated[str, typer.Option("--table", help="The table, as schema.table.")],
    database_url: Annotated[
        str | None,
        typer.Option(
            "--database-url",
            envvar="DATABASE_URL",
            show_default=False,
            help="Where the table is; otherwise \\[source] of the configuration.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Append to this file, which is made where it is missing. Otherwise print to stdout."),
    ] = None,
    json: JsonOption = False,
    timeout: TimeoutOption = 30,
    debug: DebugOption = False,
) -> None:
    """Read a table from the database's catalogue and write an index declaration with typed fields, ready to edit."""
    from sync_worker.wiring import reach, verbs

    work = verbs.init_declaration(table=table, database_url=database_url, config=config)
    report = within(
        timeout, work, lambda: [reach.database("PostgreSQL", verbs.source_of(database_url, config), "--database-url")]
    )
    if json:
        print_json(report)
    elif report.written_to is None:
        print_lines(report.text.splitlines())
    if report.written_to is not None:
        stderr().print(
            f"wrote [indexes.{report.name}] to {report.written_to}; next: edit it, then sync-worker check", soft_wrap=True
        )
