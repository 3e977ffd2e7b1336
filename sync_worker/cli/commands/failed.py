"""`sync-worker failed list|show|counts`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sync_worker.cli.console import moment, print_lines, print_report, print_table
from sync_worker.cli.grammar import Verbs
from sync_worker.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    DebugOption,
    IndexOption,
    JsonOption,
    TimeoutOption,
    duration,
)
from sync_worker.cli.outcome import ExitStatus
from sync_worker.cli.running import within
from sync_worker.failure.model import FailureStatus, ReasonClass

if TYPE_CHECKING:
    from sync_worker.operations.failed import FailedFilter, FailedItem, Payload

app = Verbs(help="Changes that could not be applied.", no_args_is_help=True)

ClassOption = Annotated[ReasonClass | None, typer.Option("--class", help="Only of this reason class.")]
CodeOption = Annotated[str | None, typer.Option("--code", help="Only with this code, as `failed list` prints it.")]
DocumentOption = Annotated[str | None, typer.Option("--document", help="Only of this document id.")]
OlderOption = Annotated[str | None, typer.Option("--older-than", metavar="AGE", help="Failed longer ago: 90s, 15m, 2h, 1d.")]
NewerOption = Annotated[str | None, typer.Option("--newer-than", metavar="AGE", help="Failed since: 90s, 15m, 2h, 1d.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="At most so many.")]

_ALL = "all"


def wanted(
    index: str | None,
    reason_class: ReasonClass | None,
    code: str | None,
    document: str | None,
    older_than: str | None,
    newer_than: str | None,
    statuses: list[str] | None = None,
) -> FailedFilter:
    """The options as a filter; without a status it is what is open or being tried. Raises typer.BadParameter."""
    from sync_worker.operations.failed import UNSETTLED, FailedFilter

    chosen: tuple[FailureStatus, ...] = UNSETTLED
    if statuses:
        try:
            chosen = () if _ALL in statuses else tuple(FailureStatus(status) for status in statuses)
        except ValueError as error:
            raise typer.BadParameter(f"{error}; known are: {', '.join(FailureStatus)}, {_ALL}") from None
    return FailedFilter(
        index=index,
        reason_class=reason_class,
        code=code,
        document_id=document,
        statuses=chosen,
        older_than_s=duration(older_than),
        newer_than_s=duration(newer_than),
    )


@app.command("list")
def list_(
    index: IndexOption = None,
    reason_class: ClassOption = None,
    code: CodeOption = None,
    document: DocumentOption = None,
    status: Annotated[
        list[str] | None,
        typer.Option("--status", help="open, retrying, resolved, superseded, discarded, or all. Without: open and retrying."),
    ] = None,
    older_than: OlderOption = None,
    newer_than: NewerOption = None,
    limit: LimitOption = 50,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = 30,
    debug: DebugOption = False,
) -> None:
    """Failed work, newest first. Exit status 3 when something of it is open or being tried again."""
    from sync_worker.wiring import build, failed_work, reach

    loaded = build.read_config(config)
    chosen = wanted(index, reason_class, code, document, older_than, newer_than, status)
    report = within(timeout, failed_work.list_failed(loaded, chosen, limit=limit), reach.parts(loaded, reach.Needs.STATE))
    if json:
        print_report(report)
    elif not report.items:
        print_lines(["no failed work"])
    else:
        headings = ["id", "index", "document", "class", "code", "retryable", "status", "attempts", "first failed", "reason"]
        print_table(headings, [_row(item) for item in report.items])
        if report.more:
            print_lines([f"… and more: --limit {limit * 2}, or sync-worker failed counts"])
    raise typer.Exit(ExitStatus.FOUND if report.unsettled else ExitStatus.OK)


def _row(item: FailedItem) -> list[str]:
    reason = item.reason if len(item.reason) <= 120 else f"{item.reason[:119]}…"
    return [
        str(item.id),
        item.index,
        "?" if item.document_id is None else item.document_id,
        item.reason_class.value,
        item.code,
        "yes" if item.retryable else "no",
        item.status.value,
        str(item.attempts),
        moment(item.first_failed_at),
        reason.replace("\n", " "),
    ]


@app.command()
def show(
    id_: Annotated[int, typer.Argument(metavar="ID", help="As `failed list` prints it.")],
    payload: Annotated[bool, typer.Option("--payload", help="Also the record that failed: it holds a row.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = 30,
    debug: DebugOption = False,
) -> None:
    """One piece of failed work, with everything that is known of it."""
    from sync_worker.wiring import build, failed_work, reach

    loaded = build.read_config(config)
    needs = (reach.Needs.STATE, reach.Needs.LOG) if payload else (reach.Needs.STATE,)
    report = within(timeout, failed_work.show_failed(loaded, id_, payload=payload), reach.parts(loaded, *needs))
    if json:
        print_report(report)
        return
    item = report.item
    lines = [
        f"failed work {item.id}: {item.status.value}{f' ({item.status_reason})' if item.status_reason else ''}",
        f"  index       {item.index}",
        f"  document    {'not known' if item.document_id is None else item.document_id}",
        f"  operation   {item.operation}",
        f"  reason      {item.reason_class.value}, {item.code}: {item.reason}",
        f"  retryable   {'yes' if item.retryable else 'no'}",
        f"  attempts    {item.attempts}, first {moment(item.first_failed_at)}, last {moment(item.last_failed_at)}",
        f"  came from   {_origin(item)}",
    ]
    place = item.dead_letter
    lines.append(f"  payload     {'erased' if place is None else f'{place.topic}:{place.partition} at {place.offset}'}")
    if report.restored:
        lines.append("  made from its dead letter: a retry takes the row as it is now")
    print_lines(lines)
    if payload:
        print_lines(_payload(report.payload))


def _origin(item: FailedItem) -> str:
    place = f"{item.topic}:{item.partition}"
    at = moment(item.source_ms / 1000)
    if item.request is None:
        return f"{place} at {item.offset}, committed {at}"
    return f"the source: the row {item.request} was asked for and read {at}, behind {place} at {item.offset}"


def _payload(payload: Payload | None) -> list[str]:
    if payload is None:
        return ["  its record is gone"]
    lines = [f"  record ({payload.encoding}), {moment(payload.timestamp / 1000)}"]
    lines += [f"    header {name}: {value}" for name, value in payload.headers]
    return [*lines, f"    key   {payload.key}", f"    value {payload.value}"]


@app.command()
def counts(
    index: IndexOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = 30,
    debug: DebugOption = False,
) -> None:
    """How much failed work there is, by index, class and status. Exit status 3 when something is open or being tried again."""
    from sync_worker.wiring import build, failed_work, reach

    loaded = build.read_config(config)
    report = within(timeout, failed_work.failed_work_counts(loaded, index), reach.parts(loaded, reach.Needs.STATE))
    if json:
        print_report(report)
    else:
        statuses = [status.value for status in FailureStatus]
        rows = [
            [name, reason, *(str(by_status[status]) for status in statuses)]
            for name, by_class in report.counts.items()
            for reason, by_status in by_class.items()
            if any(by_status.values())
        ]
        print_table(["index", "class", *statuses], [*rows, ["all", "", *(str(report.by_status[status]) for status in statuses)]])
    raise typer.Exit(ExitStatus.FOUND if report.unsettled else ExitStatus.OK)
