"""`sync-worker reindex`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sync_worker.cli.console import moment, print_lines, print_report, say
from sync_worker.cli.options import (
    DEFAULT_CONFIG,
    AdminKeyFileOption,
    ConfigOption,
    DebugOption,
    IndexArguments,
    JsonOption,
    TimeoutOption,
    admin_key,
)
from sync_worker.cli.outcome import ExitStatus
from sync_worker.cli.running import SILENCE_S, within
from sync_worker.operations.wording import counted

if TYPE_CHECKING:
    from sync_worker.config import Config
    from sync_worker.operations.reach import Part
    from sync_worker.operations.reindex.report import IndexPlan, RebuildShown, ReindexPlan, ReindexReport

_A_WEEK_S = 604_800.0


def reindex(
    indexes: IndexArguments = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what it would do, how long, and what it needs.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what was begun, and stopped or killed.")] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Swap back to the old index; nothing is lost.")] = False,
    finish: Annotated[bool, typer.Option("--finish", help="Write to the new index alone, and delete the old one.")] = False,
    abort: Annotated[bool, typer.Option("--abort", help="Write to the old index alone, and delete the new one.")] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Which index is live, which step it is at, what it waits for.")
    ] = False,
    gates: Annotated[
        Path | None, typer.Option("--gates", metavar="FILE", help="TOML: min_documents, and samples of searches and ids.")
    ] = None,
    auto_cutover: Annotated[
        bool, typer.Option("--auto-cutover", help="Swap once every gate is passed, without stopping before it.")
    ] = False,
    admin_key_file: AdminKeyFileOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = 120,
    debug: DebugOption = False,
) -> None:
    """Build an index anew beside the live one, and put it in its place while searches go on.

    It stops before the swap, unless --auto-cutover is given, and again after it. --timeout is of each wait for the workers.
    Exit status: 0 it is where it stops by itself, 1 something can't be done now, 3 a gate failed: the live index is as it was.
    """
    from sync_worker.wiring import build

    asked = [resume, rollback, finish, abort, status, plan]
    if sum(asked) > 1:
        raise typer.BadParameter("--plan, --resume, --rollback, --finish, --abort and --status exclude each other")
    if auto_cutover and any([rollback, finish, abort, status, plan]):
        raise typer.BadParameter("--auto-cutover goes with a start or with --resume")
    if gates is not None and any(asked):
        raise typer.BadParameter("--gates is given when it is started, and kept")
    if not indexes and not status and not plan:
        raise typer.BadParameter("name the indexes")
    settings = build.read_config(config)
    if plan:
        _plan(settings, indexes or [], admin_key_file, json, timeout)
        return
    report = _run(
        settings,
        indexes or [],
        "resume"
        if resume
        else "rollback"
        if rollback
        else "finish"
        if finish
        else "abort"
        if abort
        else "status"
        if status
        else "",
        gates,
        auto_cutover,
        admin_key_file,
        timeout,
    )
    if json:
        print_report(report)
    else:
        print_lines(line for one in report.rebuilds for line in _lines(one))
        if not report.rebuilds:
            print_lines(["no index is being rebuilt"])


def _run(
    settings: Config,
    indexes: list[str],
    verb: str,
    gates: Path | None,
    auto_cutover: bool,
    key_file: Path | None,
    timeout: float,
) -> ReindexReport:
    from sync_worker.operations.reindex.gates import GateFailed
    from sync_worker.wiring import reach
    from sync_worker.wiring import reindex as wired

    needs = reach.parts(settings, *reach.Needs, indexes=indexes)

    def key() -> str:
        return _key(settings, indexes, key_file)

    if verb == "status":
        return within(
            timeout, wired.reindex_status(settings, indexes), reach.parts(settings, reach.Needs.STATE, reach.Needs.SINK)
        )
    if verb == "rollback":
        return _long(wired.reindex_rollback(settings, indexes, key=key, tell=say, timeout_s=timeout), needs, timeout)
    if verb == "finish":
        return _long(wired.reindex_finish(settings, indexes, key=key, tell=say, timeout_s=timeout), needs, timeout)
    if verb == "abort":
        return _long(wired.reindex_abort(settings, indexes, key=key, tell=say, timeout_s=timeout), needs, timeout)
    if verb == "resume":
        work = wired.reindex_resume(settings, indexes, auto_cutover=auto_cutover, key=key, tell=say, timeout_s=timeout)
    else:
        given = wired.gates_file(gates)
        work = wired.reindex(settings, indexes, gates=given, auto_cutover=auto_cutover, key=key, tell=say, timeout_s=timeout)
    try:
        return _long(work, needs, timeout)
    except GateFailed as failed:
        from sync_worker.cli.outcome import show_error

        show_error(failed)
        raise typer.Exit(ExitStatus.FOUND) from failed


def _long(work: Coroutine[None, None, ReindexReport], needs: Callable[[], list[Part]], timeout: float) -> ReindexReport:
    return within(_A_WEEK_S, work, needs, silence_s=min(timeout, SILENCE_S))


def _key(settings: Config, indexes: list[str], file: Path | None) -> str:
    """An administrator's key: what was given, else the configuration's."""
    from sync_worker.wiring import build

    chosen = next((settings.indexes[name] for name in indexes or settings.indexes if name in settings.indexes), None)
    known = None if chosen is None else settings.meilisearch[chosen.meilisearch].admin_key
    return build.secret(known) if known is not None and file is None else admin_key(file)


def _lines(one: RebuildShown) -> list[str]:
    live = f"the {one.live} index" if one.live != "unknown" else "the old index or the new one: the swap may be on its way"
    lines = [
        f"index {one.index}: {one.phase} since {moment(one.changed_at)}",
        f"  live        {one.live_uid}: {live}{f', created at {one.live_created_at}' if one.live_created_at else ''}",
        f"  beside it   {one.target_uid}",
        f"  waits for   {one.waits_for}",
    ]
    if one.confirmed_by or one.unconfirmed:
        lines.append(f"  confirmed   {', '.join(one.confirmed_by) or 'by nobody'}")
    if one.unconfirmed:
        lines.append(f"  not yet     {', '.join(one.unconfirmed)}")
    if one.paused_s is not None:
        lines.append(f"  stood still {one.paused_s} s for the last swap")
    lines += [f"  gate        {'✓' if gate.passed else '✗'} {gate.gate}: {gate.evidence}" for gate in one.gates]
    if one.phase == "gates" and all(gate.passed for gate in one.gates) and one.gates:
        lines.append(f"  do: sync-worker reindex {one.index} --resume --auto-cutover")
    return lines


def _plan(settings: Config, indexes: list[str], key_file: Path | None, json: bool, timeout: float) -> None:
    from sync_worker.wiring import reach
    from sync_worker.wiring import reindex as wired

    work = wired.reindex_plan(settings, indexes, key=lambda: _key(settings, indexes, key_file))
    needs = reach.parts(settings, reach.Needs.SOURCE, reach.Needs.SINK, reach.Needs.STATE, indexes=indexes)
    report: ReindexPlan = within(timeout, work, needs)
    if json:
        print_report(report)
    else:
        print_lines(line for one in report.indexes for line in _planned(one))


def _planned(one: IndexPlan) -> list[str]:
    took = "not known: no large batch in its history" if one.seconds is None else f"about {one.seconds:.0f} s"
    disk = "not known" if one.disk_bytes is None else f"about {one.disk_bytes / 1_000_000:.1f} MB more"
    lines = [
        f"index {one.index}: {counted(one.rows, 'row')}, {counted(one.documents, 'document')} in {one.uid}",
        f"  time  {took}",
        f"  disk  {disk}",
    ]
    lines += [f"  {number}. {step}" for number, step in enumerate(one.steps, 1)]
    lines += [f"  ! {obstacle}" for obstacle in one.obstacles]
    return [*lines, f"  do: sync-worker reindex {one.index}"]
