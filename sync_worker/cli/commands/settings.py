"""`sync-worker settings diff|apply` and `sync-worker contract`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sync_worker.cli.console import print_lines, print_report, print_table, say
from sync_worker.cli.grammar import Verbs
from sync_worker.cli.options import (
    DEFAULT_CONFIG,
    AdminKeyFileOption,
    ConfigOption,
    DebugOption,
    IndexArguments,
    InstanceOption,
    JsonOption,
    TimeoutOption,
    admin_key,
)
from sync_worker.cli.outcome import ExitStatus
from sync_worker.cli.running import SILENCE_S, within
from sync_worker.operations.wording import counted

if TYPE_CHECKING:
    from sync_worker.operations.contract import IndexContract
    from sync_worker.operations.settings.diff import IndexSettings

app = Verbs(help="Declared settings against the live ones.", no_args_is_help=True)


@app.command()
def diff(
    indexes: IndexArguments = None,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = 30,
    debug: DebugOption = False,
) -> None:
    """What differs, and what it would cost to change it. Changes nothing. Exit status 3 when something differs."""
    from sync_worker.wiring import build, reach, settings

    loaded = build.read_config(config)
    needs = reach.parts(loaded, reach.Needs.SINK, indexes=indexes or ())
    report = within(timeout, settings.settings_diff(loaded, indexes or ()), needs)
    if json:
        print_report(report)
    else:
        for one in report.indexes:
            _show_differences(one)
    raise typer.Exit(ExitStatus.OK if report.in_step else ExitStatus.FOUND)


def _show_differences(one: IndexSettings) -> None:
    if one.in_step:
        print_lines([f"{one.index}: as declared"])
        return
    if not one.exists:
        print_lines([f"{one.index}: there is no index {one.uid}", f"  do: {one.remedy}"])
        return
    print_lines([f"{one.index}: {_differing(one)}, {counted(one.documents, 'document')}"])
    rows = [[d.setting, d.effect.value, _short(d.declared), _short(d.live)] for d in one.differences]
    print_table(["setting", "effect", "declared", "live"], rows)
    if one.estimate_s >= 1:
        print_lines([f"  the server would work some {one.estimate_s:.0f} s on it, and writes wait meanwhile"])
    print_lines([f"  do: {one.remedy}"])


def _differing(one: IndexSettings) -> str:
    differ = "differs" if len(one.differences) == 1 else "differ"
    return f"{counted(len(one.differences), 'setting')} of {one.uid} {differ}"


def _short(value: Any) -> str:
    import json

    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= 100 else f"{text[:99]}…"


@app.command()
def apply(
    indexes: IndexArguments = None,
    acknowledge_live: Annotated[
        bool, typer.Option("--acknowledge-live", help="I know that live indexes change under their searches.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    instance: InstanceOption = "default",
    admin_key_file: AdminKeyFileOption = None,
    json: JsonOption = False,
    timeout: TimeoutOption = 600,
    debug: DebugOption = False,
) -> None:
    """Make live settings what is declared: only those that differ; waits, reads back, and says whether it is so.

    The worker's key may not change settings: this needs an administrator's, from the file, from MEILI_MASTER_KEY, or typed in.
    Exit status 3 when an index is not as declared afterwards. Interrupted, it can be run again: what is under way is waited for.
    """
    from sync_worker.wiring import build, reach, settings

    loaded = build.read_config(config)
    loaded.chosen(indexes or ())  # before a key is asked for
    say("waiting for Meilisearch to work the settings through")
    work = settings.settings_apply(
        loaded,
        indexes or (),
        acknowledge_live=acknowledge_live,
        admin_key=admin_key(admin_key_file),
        instance=instance,
    )
    report = within(
        timeout, work, reach.parts(loaded, reach.Needs.SINK, reach.Needs.STATE, instance=instance), silence_s=SILENCE_S
    )
    if json:
        print_report(report)
    else:
        for one in report.indexes:
            changed = f": {', '.join(one.changed)} in {one.seconds:.1f} s" if one.changed else ""
            print_lines([f"{one.index}: {one.outcome.value}{changed}"])
            print_lines([*([f"  {one.reason}"] if one.reason else []), *([f"  do: {one.remedy}"] if one.remedy else [])])
    raise typer.Exit(ExitStatus.OK if report.in_step else ExitStatus.FOUND)


def contract(
    indexes: IndexArguments = None,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    timeout: TimeoutOption = 30,
    debug: DebugOption = False,
) -> None:
    """What searches may lean on (attributes, facets, key, fields) as declared and as it is. Changes nothing.

    Exit status 3 when something does not fit.
    """
    from sync_worker.wiring import build, reach, settings

    loaded = build.read_config(config)
    needs = reach.parts(loaded, reach.Needs.SINK, indexes=indexes or ())
    report = within(timeout, settings.contract(loaded, indexes or ()), needs)
    if json:
        print_report(report)
    else:
        for one in report.indexes:
            _show_contract(one)
    raise typer.Exit(ExitStatus.OK if report.in_step else ExitStatus.FOUND)


def _show_contract(one: IndexContract) -> None:
    print_lines(
        [f"{one.index}: {'as declared' if not one.findings else 'drifted'}, {counted(one.documents, 'document')} in {one.uid}"]
    )
    rows = [[part.part, "yes" if part.in_step else "NO", _short(part.declared), _short(part.live)] for part in one.parts]
    if rows:
        print_table(["part", "in step", "declared", "live"], rows)
    for finding in one.findings:
        print_lines([f"  {finding.drift.value}: {finding.evidence}", f"    do: {finding.remedy}"])
