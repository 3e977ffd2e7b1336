"""`sync-worker indexes create`."""

from __future__ import annotations

from sync_worker.cli.console import print_lines, print_report
from sync_worker.cli.grammar import Verbs
from sync_worker.cli.options import (
    DEFAULT_CONFIG,
    AdminKeyFileOption,
    ConfigOption,
    DebugOption,
    InstanceOption,
    JsonOption,
    TimeoutOption,
    admin_key,
)
from sync_worker.cli.running import within

app = Verbs(help="The declared indexes.", no_args_is_help=True)


@app.command()
def create(
    config: ConfigOption = DEFAULT_CONFIG,
    instance: InstanceOption = "default",
    admin_key_file: AdminKeyFileOption = None,
    json: JsonOption = False,
    timeout: TimeoutOption = 120,
    debug: DebugOption = False,
) -> None:
    """Create the declared indexes that are missing, with primary key and settings. A live index is never changed.

    The worker's key may not create indexes: this needs an administrator's, from the file, from MEILI_MASTER_KEY, or typed in.
    """
    from sync_worker.wiring import build, reach, verbs

    loaded = build.read_config(config)
    work = verbs.create_indexes(loaded, instance=instance, admin_key=admin_key(admin_key_file))
    needs = reach.parts(loaded, reach.Needs.SINK, reach.Needs.STATE, instance=instance)
    report = within(timeout, work, needs)
    if json:
        print_report(report)
        return
    for index in report.indexes:
        print_lines([f"{index.uid}: {'created' if index.created else 'there already'}"])
        if index.differing:
            print_lines([f"  its settings differ from the declared ones and were left as they are: {', '.join(index.differing)}"])
