"""Writes the JSON Schema of every report: `python -m sync_worker.operations.schemas docs/schemas`."""

from __future__ import annotations

import json
import pkgutil
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import sync_worker.operations
from sync_worker.operations.report import REPORTS, schema_of


def schema_files() -> Mapping[str, str]:
    """File name → its text, for every report that any operation declares."""
    for module in pkgutil.walk_packages(sync_worker.operations.__path__, "sync_worker.operations."):
        if module.name != __name__:
            import_module(module.name)
    return {
        f"{name}.schema.json": json.dumps(schema_of(made), indent=2, ensure_ascii=False) + "\n"
        for name, made in sorted(REPORTS.items())
    }


if __name__ == "__main__":
    for file_name, text in schema_files().items():
        (Path(sys.argv[1]) / file_name).write_text(text, encoding="utf-8")
