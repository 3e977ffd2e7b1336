"""Put a first declaration into a configuration file, or make the file. Pure: text in, text out."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass

from sync_worker.errors import ConfigurationError

_HEAD = """\
# sync-worker: docs/configuration.md has every key. Secrets stay out of this file: each `key` may be given as `key_file`,
# or as SYNC_WORKER_<SECTION>__<KEY> in the environment.

[kafka]
bootstrap_servers = "127.0.0.1:9092"

[meilisearch]
url = "http://127.0.0.1:7700"
# api_key, scratch_key: `sync-worker keys` prints the lines for the environment.

[source]
# url: SYNC_WORKER_SOURCE__URL in the environment, or
# url_file = "source-url"

"""


@dataclass(frozen=True, slots=True)
class InitReport:
    """A declaration as text.

    Attributes:
        name: of the index.
        text: the declaration alone.
        written_to: the file that holds it now; None where it was only printed.
    """

    name: str
    text: str
    written_to: str | None


def declared_name(declaration: str) -> str:
    """NAME of the `[indexes.NAME]` in a declaration."""
    (name,) = tomllib.loads(declaration)["indexes"]
    return str(name)


def with_declaration(present: str | None, declaration: str) -> str:
    """The file's new text.

    Args:
        present: its text now; None where there is no file, which then starts with the sections that a worker needs.

    Raises ConfigurationError where the file is no TOML, or declares this index already.
    """
    if present is None:
        return _HEAD + declaration
    try:
        parsed = tomllib.loads(present)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([f"the file is no TOML: {error}"], remedy="mend it first; nothing was written") from error
    name = declared_name(declaration)
    if name in parsed.get("indexes", {}):
        raise ConfigurationError(
            [f"[indexes.{name}] is declared already"], remedy="print the new one without --config, and merge the two by hand"
        )
    return f"{present.rstrip()}\n\n{declaration}"
