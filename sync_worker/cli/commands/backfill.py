"""`sync-worker backfill INDEX`, and `backfill status|pause|resume|stop`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from sync_worker.cli.backfill_progress import Shown
from sync_worker.cli.console import print_lines, print_report, print_table, say
from sync_worker.cli.grammar import Verbs
from sync_worker.cli.options import (
    DEFAULT_CONFIG,
    AdminKeyFileOption,
    ConfigOption,
    DebugOption,
    JsonOption,
    TimeoutOption,
    admin_key,
)
from sync_worker.cli.outcome import ExitStatus
from sync_worker.cli.running import SILENCE_S, within
from sync_worker.operations.wording import counted

if TYPE_CHECKING:
    from sync_worker.operations.backfill.report import BackfillPlan, BackfillProgress, BackfillReport, BackfillWished
    from sync_worker.operations.reach import Part

_A_WEEK_S = 604_800.0


class _StartsByDefault(TyperGroup):
    """`backfill INDEX` is `backfill start INDEX`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["start", *args]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return ["[OPTIONS] INDEX, or: COMMAND [ARGS]..."]


app = Verbs(cls=_StartsByDefault, no_args_is_help=True, help="Write a table's rows into its index once more: backfill INDEX.")

IndexArgument = Annotated[str, typer.Argument(metavar="INDEX", help="As the configuration names it.")]


@app.command()
def start(
    index: IndexArgument,
    where: Annotated[
        str | None, typer.Option("--where", metavar="SQL", help="Only rows that fit, as in a declaration's where.")
    ] = None,
    ids: Annotated[
        str | None,
        typer.Option("--ids", metavar="ID,…", help="Only these documents: written, or deleted where their row is gone."),
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Then remove documents whose rows are gone. Clears findings that a fill proves.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Don't wait: the workers go on with it. `backfill status` tells.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what it would do, and how long each way would take.")] = False,
    admin_key_file: AdminKeyFileOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = _A_WEEK_S,
    debug: DebugOption = False,
) -> None:
    """Write every row of the index's table once more (this is the default sub-command).

    The rows go the way of every change, so nothing older ever overwrites something newer. Returns when they are applied: exit
    status 0, 3 where some failed, 1 where it was stopped, failed, or is not done within --timeout: it goes on without being
    looked at. A missing index is created first, with an administrator's key.
    """
    if ids is not None and (where or prune or detach or plan):
        raise typer.BadParameter("--ids goes with none of --where, --prune, --detach, --plan")
    if ids is not None:
        _by_ids(config, index, [one for one in ids.split(",") if one], json, min(timeout, 600.0))
    elif plan:
        _plan(config, index, where, json, min(timeout, 600.0))
    else:
        _start(config, index, where, prune, detach, admin_key_file, json, timeout)


def _start(
    config: Path,
    index: str,
    where: str | None,
    prune: bool,
    detach: bool,
    admin_key_file: Path | None,
    json: bool,
    timeout: float,
) -> None:
    from sync_worker.wiring import backfill, build, reach

    loaded = build.read_config(config)
    with Shown() as shown:
        work = backfill.backfill(
            loaded,
            index,
            where=where,
            prune=prune,
            detach=detach,
            admin_key=lambda: admin_key(admin_key_file),
            tell=shown.tell,
            timeout_s=timeout,
        )
        needs = reach.parts(loaded, reach.Needs.SOURCE, reach.Needs.SINK, reach.Needs.STATE, indexes=[index])
        report = within(timeout, work, needs, silence_s=SILENCE_S)
    if json:
        print_report(report)
    else:
        print_lines(_lines(report, detach))
    raise typer.Exit(ExitStatus.OK if detach else _status(report.backfill))


def _status(one: BackfillProgress) -> ExitStatus:
    if one.stage != "done":
        return ExitStatus.FAILED
    return ExitStatus.FOUND if one.failed else ExitStatus.OK


def _lines(report: BackfillReport, detach: bool) -> list[str]:
    one = report.backfill
    lines = [f"index {one.index}: created"] if report.created else []
    if report.joined:
        lines.append(f"backfill {one.id} was running already and does what was asked for")
    if detach:
        return [*lines, f"backfill {one.id} of {one.table}: the workers go on with it", "  do: sync-worker backfill status"]
    if one.stage != "done":
        word = one.stage if one.ended_at is not None else f"not done yet ({one.stage})"
        lines.append(f"backfill {one.id} of {one.table}: {word}" + (f": {one.condition}" if one.condition else ""))
        return [*lines, "  do: sync-worker backfill status"] if one.ended_at is None else lines
    took = f"{one.seconds:.1f} s"
    lines.append(
        f"backfill {one.id} of {one.table}: {counted(one.applied, 'row')} applied in {took}, written to {', '.join(report.fed)}"
    )
    if one.failed:
        lines += [f"  {one.failed} of them failed", f"  do: sync-worker failed list --index {one.index}"]
    if one.ghosts is not None:
        ghosts, missing = counted(one.ghosts, "document"), counted(one.missing or 0, "row")
        lines.append(f"  {ghosts} without a row removed, {missing} without a document written")
    return lines


def _by_ids(config: Path, index: str, ids: list[str], json: bool, timeout: float) -> None:
    from sync_worker.wiring import backfill, build, reach

    say("the workers write them; what came of it follows")
    loaded = build.read_config(config)
    work = backfill.backfill_ids(loaded, index, ids, timeout_s=timeout)
    report = within(timeout, work, reach.parts(loaded, *reach.Needs, indexes=[index]))
    if json:
        print_report(report)
    else:
        print_lines(
            [f"{report.index}: {len(report.written) - report.waiting} of {counted(len(report.written), 'document')} written"]
        )
        if report.differing:
            print_lines([f"  still not what their rows say: {', '.join(report.differing)}"])
    raise typer.Exit(ExitStatus.FAILED if report.waiting else ExitStatus.FOUND if report.differing else ExitStatus.OK)


def _plan(config: Path, index: str, where: str | None, json: bool, timeout: float) -> None:
    from sync_worker.wiring import backfill, build, reach

    loaded = build.read_config(config)
    needs = reach.parts(loaded, reach.Needs.SOURCE, reach.Needs.SINK, reach.Needs.STATE, indexes=[index])
    report = within(timeout, backfill.backfill_plan(loaded, index, where=where), needs, silence_s=SILENCE_S)
    if json:
        print_report(report)
    else:
        print_lines(_plan_lines(report))


def _plan_lines(report: BackfillPlan) -> list[str]:
    held = "is missing" if report.documents is None else f"holds {counted(report.documents, 'document')}"
    return [
        f"{counted(report.rows, 'row')} of {report.table}, written to {', '.join(report.fed)}; {report.index} {held}",
        f"  in place: {_seconds(report.in_place_s)} ({report.in_place_from})",
        f"  reindex:  {_seconds(report.reindex_s)} ({report.reindex_from})",
        f"  recommended: {report.recommended.value}: {report.reason}",
        *[f"  first: {obstacle}" for obstacle in report.obstacles],
    ]


def _seconds(seconds: float | None) -> str:
    return "not measured yet" if seconds is None else f"about {seconds:.0f} s"


@app.command()
def status(
    index: Annotated[str | None, typer.Argument(metavar="INDEX", help="As the configuration names it; none: all.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = 30,
    debug: DebugOption = False,
) -> None:
    """Show the backfills that run, or the last ones."""
    from sync_worker.wiring import backfill, build, reach

    loaded = build.read_config(config)
    report = within(timeout, backfill.backfill_status(loaded, index), reach.parts(loaded, reach.Needs.STATE))
    if json:
        print_report(report)
        return
    if not report.backfills:
        print_lines(["no backfill yet"])
        return
    headings = ["id", "index", "stage", "rows", "applied", "failed", "rate", "left", "condition"]
    print_table(headings, [_row(one) for one in report.backfills])


def _row(one: BackfillProgress) -> list[str]:
    stage = f"{one.stage}, paused" if one.paused else one.stage
    rate = "" if one.rate is None else f"{one.rate:.0f}/s"
    left = "" if one.left_s is None else f"{one.left_s:.0f} s"
    return [str(one.id), one.index, stage, str(one.total), str(one.applied), str(one.failed), rate, left, one.condition]


@app.command()
def pause(
    index: IndexArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = 60,
    debug: DebugOption = False,
) -> None:
    """Have Debezium read no further; what was read is applied. Exit status 1 when it is not so within --timeout."""
    from sync_worker.wiring import backfill, build, reach

    loaded = build.read_config(config)
    work = backfill.backfill_pause(loaded, index, timeout_s=timeout)
    _wished(timeout, json, work, reach.parts(loaded, reach.Needs.STATE))


@app.command()
def resume(
    index: IndexArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = 60,
    debug: DebugOption = False,
) -> None:
    """Have Debezium read on."""
    from sync_worker.wiring import backfill, build, reach

    loaded = build.read_config(config)
    work = backfill.backfill_resume(loaded, index, timeout_s=timeout)
    _wished(timeout, json, work, reach.parts(loaded, reach.Needs.STATE))


@app.command()
def stop(
    index: IndexArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = 60,
    debug: DebugOption = False,
) -> None:
    """End it; what was written stays, and nothing is proven."""
    from sync_worker.wiring import backfill, build, reach

    loaded = build.read_config(config)
    work = backfill.backfill_stop(loaded, index, timeout_s=timeout)
    _wished(timeout, json, work, reach.parts(loaded, reach.Needs.STATE))


def _wished(timeout: float, json: bool, work: Coroutine[None, None, BackfillWished], needs: Callable[[], list[Part]]) -> None:
    report = within(timeout, work, needs)
    if json:
        print_report(report)
    else:
        one = report.backfill
        word = {"resume": "goes on", "pause": "paused", "stop": "stopped"}[report.wish]
        ended = f"has ended: {one.stage}" if one.ended_at is not None and one.stage != "stopped" else word
        print_lines([f"backfill {one.id} of {one.table}: {ended if report.done else 'asked; not so yet'}"])
    raise typer.Exit(ExitStatus.OK if report.done else ExitStatus.FAILED)
