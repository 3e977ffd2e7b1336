"""`sync-worker keys`."""

from __future__ import annotations

from sync_worker.cli.console import print_json, print_lines
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


def keys(
    config: ConfigOption = DEFAULT_CONFIG,
    instance: InstanceOption = "default",
    admin_key_file: AdminKeyFileOption = None,
    json: JsonOption = False,
    timeout: TimeoutOption = 30,
    debug: DebugOption = False,
) -> None:
    """Make the worker's two Meilisearch keys, and print them as lines for its environment.

    The first writes to the declared indexes and can't create one; the second makes and deletes scratch indexes only. The same
    keys come again while they exist. The administrator's key is read from the file, from MEILI_MASTER_KEY, or typed in.
    """
    from sync_worker.wiring import build, reach, verbs

    loaded = build.read_config(config)
    work = verbs.make_keys(loaded, instance=instance, admin_key=admin_key(admin_key_file))
    report = within(timeout, work, reach.parts(loaded, reach.Needs.SINK, instance=instance))
    if json:
        print_json(dict(report.environment))
    else:
        print_lines(f"{variable}={key}" for variable, key in report.environment)
