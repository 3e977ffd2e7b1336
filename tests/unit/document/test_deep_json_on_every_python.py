"""Deep JSON is refused on every Python, though their parsers give up at different depths."""

from __future__ import annotations

import pytest

from sync_worker.change.model import Change, Operation
from sync_worker.document.declaration import IndexDeclaration
from sync_worker.document.projection import Projector
from sync_worker.errors import RecordError


@pytest.mark.parametrize("depth", [128, 500, 1_010, 5_000])
@pytest.mark.parametrize("inner", ["1", "1234567890123456789012"], ids=["a number", "an integer beyond 64 bits"])
def test_a_value_that_is_nested_too_deep_never_becomes_a_document(depth: int, inner: str) -> None:
    """One such value that the server stores breaks every search that finds it."""
    declaration = IndexDeclaration.model_validate(
        {"name": "t", "table": "public.t", "primary_key": "id", "fields": {"data": "json"}, "settings": {}}
    )
    change = Change(
        Operation.CREATE, "public.t", {"id": 1}, {"id": 1, "data": "[" * depth + inner + "]" * depth}, None, (), 0, None
    )

    with pytest.raises(RecordError):
        Projector(declaration).project(change)
