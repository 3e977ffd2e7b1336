"""`sync-worker config show|schema`."""

from __future__ import annotations

from sync_worker.cli.console import print_json
from sync_worker.cli.grammar import Verbs
from sync_worker.cli.options import DEFAULT_CONFIG, ConfigOption, DebugOption

app = Verbs(help="The configuration as the worker understands it.", no_args_is_help=True)


@app.command()
def show(config: ConfigOption = DEFAULT_CONFIG, debug: DebugOption = False) -> None:
    """Print the whole configuration as JSON, file and environment together. Secrets are masked."""
    from sync_worker.wiring import build, verbs

    print_json(verbs.shown_config(build.read_config(config)))


@app.command()
def schema(debug: DebugOption = False) -> None:
    """Print the JSON schema of the configuration file, for editors."""
    from sync_worker.wiring import verbs

    print_json(verbs.config_schema())
