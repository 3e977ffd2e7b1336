"""Documentation and schema follow the models, and the schema says yes where we do."""

from __future__ import annotations

import tomllib
from pathlib import Path

import fastjsonschema
import pytest

from sync_worker.config.__main__ import generated
from sync_worker.config.model import SECTIONS
from sync_worker.config.schema import json_schema
from sync_worker.document.declaration import IndexDeclaration
from sync_worker.document.field import FieldDeclaration

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


EXAMPLE = (ROOT / "sync-worker.example.toml").read_text(encoding="utf-8")


def test_an_editor_accepts_the_example() -> None:
    """Short and long forms of fields, named instances, files of secrets, single and composite keys."""
    text = EXAMPLE.replace("# [meilisearch.archive]\n# url", "[meilisearch.archive]\nurl").replace(
        "# api_key_file", "api_key_file"
    )
    table = tomllib.loads(text)
    assert table["meilisearch"]["archive"]["url"]

    fastjsonschema.validate(json_schema(), table)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("bootstrap_servers", "bootstrap_server"),
        ('name = "text"', 'name = "txt"'),
        ('truncate = "hold"', 'truncate = "drop"'),
        ("searchableAttributes", "searchableAttribute"),
        ("[worker]", "[wrker]"),
        ('table = "public.cities"', ""),
        ('log_format = "console"', "http_port = 99999"),
    ],
)
def test_an_editor_marks_a_mistake(right: str, wrong: str) -> None:
    assert right in EXAMPLE
    with pytest.raises(fastjsonschema.JsonSchemaValueException):
        fastjsonschema.validate(json_schema(), tomllib.loads(EXAMPLE.replace(right, wrong, 1)))
