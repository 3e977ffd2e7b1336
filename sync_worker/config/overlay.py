"""`SYNC_WORKER_<SECTION>__<KEY>` over the file: names are matched whatever their case, values read as the key's type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sync_worker.config.model import SECTIONS, secret_keys

PREFIX = "SYNC_WORKER_"
_SEPARATOR = "__"


class Overlay:
    """The variables of one environment.

    Only names with the prefix and a double underscore count, so that a variable such as SYNC_WORKER_CONFIG stays free.
    A value that starts with `[` or `{` is read as JSON; everything else is text and becomes what its key asks for.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._given = {
            name: (tuple(name[len(PREFIX) :].split(_SEPARATOR)), value)
            for name, value in sorted(environ.items())
            if name.startswith(PREFIX) and _SEPARATOR in name[len(PREFIX) :]
        }
        self._variables: dict[tuple[str, ...], str] = {}

    def apply(self, raw: dict[str, Any]) -> None:
        """Write the variables' values into the tables of the file."""
        for variable, (parts, text) in self._given.items():
            table: dict[str, Any] = raw
            path: list[str] = []
            for part in parts[:-1]:
                name = _existing(part, table) or part.lower()
                path.append(name)
                inner = table.get(name)
                if not isinstance(inner, dict):
                    inner = table[name] = {}
                table = inner
            name = _existing(parts[-1], table) or parts[-1].lower()
            table[name] = _value(text)
            self._drop_other_form(table, path, name)
            self._variables[(*path, name)] = variable

    def variable(self, path: tuple[str, ...]) -> str | None:
        """The variable that set this key, or the one below an unknown section of its own making."""
        if path in self._variables:
            return self._variables[path]
        below = [name for given, name in self._variables.items() if given[: len(path)] == path]
        return below[0] if below and path and path[0] not in (*SECTIONS, "indexes") else None

    def _drop_other_form(self, table: dict[str, Any], path: list[str], name: str) -> None:
        """A secret from the environment replaces the file's, whichever of the two forms each has."""
        section = SECTIONS.get(path[0]) if path else None
        if section is None:
            return
        for key in secret_keys(section):
            if name == key:
                other = f"{key}_file"
            elif name == f"{key}_file":
                other = key
            else:
                continue
            if (*path, other) not in self._variables:
                table.pop(other, None)


def _existing(part: str, table: Mapping[str, Any]) -> str | None:
    """The table's own spelling of a name: variables are upper case, and have no hyphens."""
    wanted = part.lower()
    return next((key for key in table if key.lower().replace("-", "_") == wanted), None)


def _value(text: str) -> Any:
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text
