"""Every report that machines read is described by a published schema."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import fastjsonschema
import pytest

from sync_worker.operations.report import REPORTS, as_document, report, schema_of
from sync_worker.operations.schemas import schema_files

PUBLISHED = Path(__file__).parents[3] / "docs" / "schemas"


def test_the_published_schemas_are_those_of_the_reports() -> None:
    """`python -m sync_worker.operations.schemas docs/schemas` writes them."""
    made = schema_files()
    assert {name: (PUBLISHED / name).read_text(encoding="utf-8") for name in made} == made


def test_no_schema_is_left_of_a_report_that_is_gone() -> None:
    """The configuration's schema is made elsewhere."""
    assert {path.name for path in PUBLISHED.iterdir()} - schema_files().keys() == {"sync-worker.schema.json"}


def test_a_schema_wants_every_field_and_no_other() -> None:
    """A field that vanishes, or one that nobody described, is noticed."""

    @report("sample")
    @dataclass(frozen=True, slots=True)
    class Sample:
        name: str
        count: int = 0

    try:
        check = fastjsonschema.compile(schema_of(Sample))
        document = as_document(Sample("a"))
        assert document == {"report": "sample", "schema_version": 1, "name": "a", "count": 0}
        check(document)
        for wrong in (
            document | {"more": 1},
            {k: v for k, v in document.items() if k != "count"},
            document | {"schema_version": 2},
        ):
            with pytest.raises(fastjsonschema.JsonSchemaException):
                check(wrong)
    finally:
        del REPORTS["sample"]
