"""`sync-worker dlq tail|rebuild-table|export|import|erase`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sync_worker.cli.console import moment, print_lines, print_report, print_table, say
from sync_worker.cli.grammar import Verbs
from sync_worker.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    DebugOption,
    IndexOption,
    JsonOption,
    TimeoutOption,
)
from sync_worker.cli.outcome import ExitStatus
from sync_worker.cli.running import within
from sync_worker.errors import ConfigurationError
from sync_worker.operations.wording import counted

if TYPE_CHECKING:
    from sync_worker.operations.dead_letters import LettersTail

app = Verbs(help="The dead-letter topic: the log of failures.", no_args_is_help=True)

_FOLLOW_S = 1.0


@app.command()
def tail(
    last: Annotated[int, typer.Option("--last", "-n", min=0, help="So many of the newest.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    payload: Annotated[bool, typer.Option("--payload", help="Also the records that failed: they hold rows.")] = False,
    index: IndexOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = 30,
    debug: DebugOption = False,
) -> None:
    """The newest dead letters. With --json and --follow, one document for each look that found something."""
    from sync_worker.wiring import build, failed_work, reach

    settings = build.read_config(config)
    needs = reach.parts(settings, reach.Needs.LOG)
    report = within(timeout, failed_work.dlq_tail(settings, last=last, index=index, payload=payload), needs)
    _print_tail(report, json)
    while follow:
        time.sleep(_FOLLOW_S)
        after = report.next_offsets
        report = within(timeout, failed_work.dlq_tail(settings, index=index, payload=payload, after=after), needs)
        if report.letters:
            _print_tail(report, json)


def _print_tail(report: LettersTail, json: bool) -> None:
    if json:
        print_report(report)
        sys.stdout.flush()
        return
    if not report.letters:
        print_lines([f"no dead letter in {report.topic}"])
        return
    rows = [
        [
            f"{letter.place.partition}:{letter.place.offset}",
            moment(letter.failed_at),
            letter.index,
            letter.document_id or "?",
            letter.reason_class.value,
            letter.code,
            f"{letter.topic}:{letter.partition} {'at' if letter.request is None else 'row read behind'} {letter.offset}",
            letter.reason.replace("\n", " ")[:120],
            *([f"{letter.payload.key} {letter.payload.value}"] if letter.payload else []),
        ]
        for letter in report.letters
    ]
    headings = ["place", "failed", "index", "document", "class", "code", "came from", "reason"]
    print_table([*headings, "payload"] if any(letter.payload for letter in report.letters) else headings, rows)


@app.command("rebuild-table")
def rebuild_table(
    config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False, timeout: TimeoutOption = 600, debug: DebugOption = False
) -> None:
    """Restore rows of failed work that the topic tells of and the state database does not have. Rows that are there stay.

    Restored rows are open. What was applied since is not known of them, so that a retry takes the row as it is now.
    """
    from sync_worker.wiring import build, failed_work, reach

    settings = build.read_config(config)
    report = within(timeout, failed_work.dlq_rebuild_table(settings), reach.parts(settings, reach.Needs.LOG, reach.Needs.STATE))
    if json:
        print_report(report)
    else:
        print_lines([f"{counted(report.letters, 'letter')} read from {report.topic}, {counted(report.restored, 'row')} restored"])
        if report.others:
            print_lines([f"! {counted(report.others, 'record')} in it of others than sync-worker"])
        if report.restored:
            print_lines(["  do: restart the workers, so that they hold later changes against the restored rows"])


@app.command()
def export(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write; without, stdout.")] = None,
    index: IndexOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = 600,
    debug: DebugOption = False,
) -> None:
    """Write the dead letters as NDJSON, one a line, with their payloads: they hold rows."""
    from sync_worker.wiring import build, failed_work, reach

    settings = build.read_config(config)
    needs = reach.parts(settings, reach.Needs.LOG, reach.Needs.STATE)
    if output is None and json:
        raise typer.BadParameter("--json prints a report on stdout: name a file with --output for the letters")
    if output is None:
        report = within(timeout, failed_work.dlq_export(settings, sys.stdout.buffer, index=index), needs)
        say(f"{counted(report.letters, 'letter')} of {report.topic}")
        return
    try:
        with output.open("xb") as file:
            report = within(timeout, failed_work.dlq_export(settings, file, index=index), needs)
    except OSError as error:
        raise ConfigurationError([f"--output {output}: {error}"], remedy="name a file that is not there yet") from error
    if json:
        print_report(report)
    else:
        print_lines([f"{counted(report.letters, 'letter')} of {report.topic} written to {output}"])


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="NDJSON that `dlq export` wrote; - for stdin.")],
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = 600,
    debug: DebugOption = False,
) -> None:
    """Publish exported dead letters that the topic does not hold, and restore their rows. May be run again."""
    from sync_worker.wiring import build, failed_work, reach

    settings = build.read_config(config)
    try:
        with sys.stdin.buffer if str(file) == "-" else file.open("rb") as lines:
            needs = reach.parts(settings, reach.Needs.LOG, reach.Needs.STATE)
            report = within(timeout, failed_work.dlq_import(settings, lines), needs)
    except OSError as error:
        raise ConfigurationError([f"{file}: {error}"], remedy="name a file that can be read") from error
    if json:
        print_report(report)
    else:
        written = f"{counted(report.letters, 'letter')} written to {report.topic}, {report.present} there already"
        told = f"{written}, {counted(report.restored, 'row')} restored"
        print_lines([told])


@app.command()
def erase(
    index: Annotated[str, typer.Option("--index", help="As the configuration names it.")],
    document: Annotated[str, typer.Option("--document", help="The document id.")],
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = 600,
    debug: DebugOption = False,
) -> None:
    """Take the payloads of one document's failures out of topic and table: they hold personal data.

    Everything else in the topic is written again behind it, and the log is cut off before that. Says what remains, and where.
    Exit status 3 when letters of the document came meanwhile: run it again.
    """
    from sync_worker.wiring import build, failed_work, reach

    settings = build.read_config(config)
    needs = reach.parts(settings, reach.Needs.LOG, reach.Needs.STATE)
    report = within(timeout, failed_work.dlq_erase(settings, index=index, document_id=document), needs)
    if json:
        print_report(report)
    else:
        letters, rows = counted(report.letters, "letter"), counted(report.rows, "row")
        print_lines([f"{letters} erased from {report.topic}, {report.kept} kept, {rows} of failed work"])
        if report.came_meanwhile:
            print_lines([f"! {counted(report.came_meanwhile, 'letter')} of it came meanwhile", "  do: run it again"])
        print_lines(["what remains:", *(f"  - {sentence}" for sentence in report.remains)])
    raise typer.Exit(ExitStatus.FOUND if report.came_meanwhile else ExitStatus.OK)
