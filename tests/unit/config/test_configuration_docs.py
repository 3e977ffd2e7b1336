"""Documentation and schema follow the models, and the schema says yes where we do."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync_worker.config.__main__ import generated
from sync_worker.config.model import SECTIONS
from sync_worker.document.declaration import FieldDeclaration, IndexDeclaration

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("path", generated(ROOT), ids=lambda path: path.name)
def test_generated_files_are_up_to_date(path: Path) -> None:
    """Run `python -m sync_worker.config` after a change of the models."""
    assert path.read_text(encoding="utf-8") == generated(ROOT)[path]


@pytest.mark.parametrize("model", [*SECTIONS.values(), IndexDeclaration, FieldDeclaration], ids=lambda model: model.__name__)
def test_every_key_is_described(model: type) -> None:
    """A key without a description would be a blank line in the documentation."""
    undescribed = [
        name
        for name, field in model.model_fields.items()
        if not field.description and not field.json_schema_extra  # type: ignore[attr-defined]
    ]
    assert undescribed == []
