"""`sync-worker retry` and `sync-worker discard`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sync_worker.cli.commands.failed import (
    ClassOption,
    CodeOption,
    DocumentOption,
    LimitOption,
    NewerOption,
    OlderOption,
    wanted,
)
from sync_worker.cli.console import print_lines, print_report, print_table, say
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

if TYPE_CHECKING:
    from sync_worker.operations.retry import RetryReport


def retry(
    ids: Annotated[list[int] | None, typer.Argument(metavar="ID", help="As `failed list` prints them.")] = None,
    index: IndexOption = None,
    reason_class: ClassOption = None,
    code: CodeOption = None,
    document: DocumentOption = None,
    older_than: OlderOption = None,
    newer_than: NewerOption = None,
    limit: LimitOption = 100,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it for more than one, not just say so.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also what is not retryable, and what today's declaration refuses.")
    ] = False,
    from_source: Annotated[
        bool,
        typer.Option("--from-source", help="Write the row as it is now, or delete its document; not the change that failed."),
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = 60,
    debug: DebugOption = False,
) -> None:
    """Have the worker try failed work again, in the document's order: never older over newer.

    One ID is tried at once; more than one, or a filter, only with --yes. Waits for what comes of it. Exit status 0 when each was
    resolved or superseded, 3 when one failed again or was refused, 1 when one is not done within --timeout: it goes on by itself.
    """
    from sync_worker.wiring import build, failed_work, reach

    if not ids and not any((index, reason_class, code, document, older_than, newer_than)):
        raise typer.BadParameter("name an ID, or what to try again: --index, --class, --code, --document, --older-than")
    if ids and any((index, reason_class, code, document, older_than, newer_than)):
        raise typer.BadParameter("IDs and filters exclude each other")
    execute = yes or (ids is not None and len(ids) == 1)
    if execute:
        say("trying again; what came of it follows")
    loaded = build.read_config(config)
    work = failed_work.retry(
        loaded,
        ids or (),
        wanted(index, reason_class, code, document, older_than, newer_than),
        limit=limit,
        execute=execute,
        force=force,
        from_source=from_source,
        timeout_s=timeout,
    )
    report = within(timeout, work, reach.parts(loaded, reach.Needs.STATE, reach.Needs.LOG, reach.Needs.SINK))
    if json:
        print_report(report)
    else:
        _print(report)
    raise typer.Exit(_status(report))


def _status(report: RetryReport) -> ExitStatus:
    if report.counts["waiting"]:
        return ExitStatus.FAILED
    return ExitStatus.FOUND if report.counts["failed"] or report.counts["refused"] else ExitStatus.OK


def _print(report: RetryReport) -> None:
    if not report.items:
        print_lines(["no failed work fits"])
        return
    headings = ["id", "index", "document", "code", "outcome", "reason"]
    rows = [
        [str(item.id), item.index, item.document_id or "?", item.code, item.outcome.value, item.reason.replace("\n", " ")]
        for item in report.items
    ]
    print_table(headings, rows)
    told = ", ".join(f"{count} {outcome}" for outcome, count in report.counts.items() if count)
    print_lines([told])
    if report.more:
        print_lines(["there is more that fits: run it again, or give a larger --limit"])
    if report.dry_run and report.counts["ready"]:
        print_lines(["nothing was done: --yes does it"])


def discard(
    ids: Annotated[list[int], typer.Argument(metavar="ID", help="As `failed list` prints them.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the row and in the audit log.")],
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = 30,
    debug: DebugOption = False,
) -> None:
    """Let failed work go: its change is not applied, and the document stays as the index has it.

    Exit status 3 when one of them is not open.
    """
    from sync_worker.wiring import build, failed_work, reach

    loaded = build.read_config(config)
    report = within(timeout, failed_work.discard(loaded, ids, reason=reason), reach.parts(loaded, reach.Needs.STATE))
    if json:
        print_report(report)
    else:
        print_lines(
            f"failed work {item.id} ({item.index} {item.document_id or '?'}): "
            + ("discarded" if item.discarded else f"left alone, it is {item.status.value}")
            for item in report.items
        )
    raise typer.Exit(ExitStatus.OK if all(item.discarded for item in report.items) else ExitStatus.FOUND)
