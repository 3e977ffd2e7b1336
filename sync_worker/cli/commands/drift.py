"""`sync-worker drift`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sync_worker.cli.console import print_lines, print_report, print_table, say
from sync_worker.cli.options import DEFAULT_CONFIG, ConfigOption, DebugOption, JsonOption, TimeoutOption
from sync_worker.cli.outcome import ExitStatus
from sync_worker.cli.running import within
from sync_worker.operations.wording import counted

if TYPE_CHECKING:
    from sync_worker.operations.drift.report import DriftItem, DriftReport, IndexDrift, Repair
    from sync_worker.operations.drift.show import DriftShow

_SHOWN = 20
_DAY_S = 86_400.0


def drift(
    indexes: Annotated[list[str] | None, typer.Argument(metavar="INDEX", help="Names of indexes; none: all of them.")] = None,
    counts: Annotated[bool, typer.Option("--counts", help="Only how many there are on both sides.")] = False,
    ids: Annotated[bool, typer.Option("--ids", help="Which rows have no document, and which documents no row.")] = False,
    content: Annotated[bool, typer.Option("--content", help="Also what is in them, field by field. The default.")] = False,
    sample: Annotated[int, typer.Option("--sample", min=0, help="Only so many rows and documents, at random; 0: all.")] = 0,
    where: Annotated[
        str | None,
        typer.Option("--where", help="Only rows of which this SQL condition is true. A document without a row is in no slice."),
    ] = None,
    show: Annotated[str | None, typer.Option("--show", metavar="ID", help="One row and its document, side by side.")] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Remove the ghosts that were found.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Write what is missing or differs, and remove the ghosts.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it, not just say what would be done.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Differences to name, and to mend; all are counted.")] = 10_000,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = 60,
    debug: DebugOption = False,
) -> None:
    """Compare every row with its document, while both change: what is on its way is not reported.

    Exit status 0 when nothing differs (or everything was mended), 3 when something does, 1 when it could not be found out.
    --timeout is what one wait may take, for the worker to have applied what was committed, or to have mended; not the comparison.
    """
    from sync_worker.ports import Depth
    from sync_worker.wiring import build, reach
    from sync_worker.wiring import drift as wiring

    if sum((counts, ids, content)) > 1:
        raise typer.BadParameter("--counts, --ids and --content exclude each other")
    if counts and (sample or where or prune or repair):
        raise typer.BadParameter("--counts names no documents: it goes with no other option")
    if prune and repair:
        raise typer.BadParameter("--repair prunes as well: give one of them")
    if sample and where:
        raise typer.BadParameter("--sample and --where exclude each other")
    loaded = build.read_config(config)
    if show is not None:
        if indexes is None or len(indexes) != 1 or counts or ids or sample or where or prune or repair:
            raise typer.BadParameter("--show goes with exactly one INDEX and no other option")
        needs = reach.parts(loaded, reach.Needs.SOURCE, reach.Needs.SINK, reach.Needs.STATE, indexes=indexes)
        _show(within(timeout, wiring.drift_show(loaded, indexes[0], show), needs), json=json)
    depth = Depth.COUNTS if counts else Depth.IDS if ids else Depth.CONTENT
    say(f"comparing {depth.value} of {', '.join(indexes) if indexes else 'all indexes'}")
    report = within(
        _DAY_S,
        wiring.drift(
            loaded,
            indexes or (),
            depth=depth,
            where=where,
            sample=sample,
            limit=limit,
            prune=prune,
            repair=repair,
            execute=yes,
            timeout_s=timeout,
        ),
        reach.parts(loaded, *reach.Needs, indexes=indexes or ()),
        silence_s=timeout,
    )
    if json:
        print_report(report)
    else:
        _print(report)
    raise typer.Exit(_status(report))


def _status(report: DriftReport) -> ExitStatus:
    if report.in_sync:
        return ExitStatus.OK
    waits = any(one.repair is not None and one.repair.waiting for one in report.indexes)
    return ExitStatus.FAILED if waits else ExitStatus.FOUND


def _print(report: DriftReport) -> None:
    for one in report.indexes:
        print_lines([_headline(one)])
        if one.items:
            rows = [[item.document_id or "?", item.kind.value, _why(item)] for item in one.items[:_SHOWN]]
            print_table(["document", "what", "fields or cause"], rows)
        hidden = one.more + len(one.items[_SHOWN:])
        if hidden:
            print_lines([f"  and {hidden} more: --json lists {len(one.items)}"])
        if one.moving:
            print_lines([f"  {one.moving} changed at every look: nothing is said of them"])
        if one.ghosts.value == "slice":
            print_lines(["  documents without a row were not looked for: nobody knows which slice they were in"])
        print_lines(f"  settled: {cleared}" for cleared in one.cleared)
        if one.repair is not None:
            print_lines(_repaired(one.repair))
        elif one.items:
            print_lines([f"  do: sync-worker drift {one.index} --repair"])


def _headline(one: IndexDrift) -> str:
    what = f"{one.index}: {counted(one.rows, 'row')}, {counted(one.documents, 'document')}"
    if one.in_sync:
        return f"{what}, in sync ({one.depth.value}, {one.seconds:.1f} s)"
    if one.depth.value == "counts":
        return f"{what}: they differ (sync-worker drift {one.index} --ids names them)"
    named = ", ".join(f"{count} {kind}" for kind, count in one.counts.items() if count)
    explained = f", {one.explained} of them explained by open failures" if one.explained else ""
    return f"{what}: {named}{explained} ({one.seconds:.1f} s)"


def _why(item: DriftItem) -> str:
    cause = item.code or ", ".join(item.fields)
    failed = "" if item.failed_work is None else f"failed work {item.failed_work}: sync-worker failed show {item.failed_work}"
    return "; ".join(part for part in (cause, failed) if part)


def _repaired(done: Repair) -> list[str]:
    what = f"{len(done.writes)} to write, {len(done.deletes)} to delete"
    if done.left_alone:
        what += f", {done.left_alone} left alone (refused, explained by failed work, or no ghosts)"
    if done.dry_run:
        return [f"  {what}; nothing was done: --yes does it"]
    lines = [f"  {what}"]
    if done.waiting:
        lines.append(f"  {done.waiting} not done yet: the worker goes on without being waited for")
    lines += [f"  differs still: {item.document_id} ({item.kind.value}) {_why(item)}".rstrip() for item in done.remaining]
    if done.mended:
        lines.append("  compared once more: each is what its row says")
    return lines


def _show(report: DriftShow, *, json: bool) -> None:
    if json:
        print_report(report)
    else:
        told = "is what its row says" if report.kind is None else f"{report.kind.value} {report.code}".rstrip()
        failed = "" if report.failed_work is None else f", failed work {report.failed_work}"
        print_lines([f"{report.index} {report.document_id}: {told}{failed}"])
        expected, indexed = report.expected or {}, report.indexed or {}
        rows = [
            ["≠" if name in report.fields else "", name, _value(expected, name), _value(indexed, name)]
            for name in dict.fromkeys([*expected, *indexed])
        ]
        if rows:
            print_table(["", "field", "expected", "indexed"], rows)
        row = report.row or {}
        print_table(["column", "row"], [[name, _value(row, name)] for name in row] or [["", "there is none"]])
    raise typer.Exit(ExitStatus.OK if report.kind is None else ExitStatus.FOUND)


def _value(holder: Any, name: str) -> str:
    import orjson

    return orjson.dumps(holder[name]).decode() if name in holder else "(none)"
