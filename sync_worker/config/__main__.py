"""`python -m sync_worker.config`: write docs/configuration.md and the JSON schema into the checkout."""

from __future__ import annotations

import json
from pathlib import Path

from sync_worker.config.document import configuration_page
from sync_worker.config.schema import json_schema


def generated(root: Path) -> dict[Path, str]:
    """Each generated file and what it should hold."""
    return {
        root / "docs" / "configuration.md": configuration_page(),
        root / "docs" / "schemas" / "sync-worker.schema.json": json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n",
    }


if __name__ == "__main__":
    for path, text in generated(Path.cwd()).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path)
