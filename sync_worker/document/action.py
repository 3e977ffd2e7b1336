"""What one change asks of one index."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Write:
    """Replace the whole document. `line` is its JSON, encoded, without a newline."""

    document_id: str
    line: bytes


@dataclass(slots=True)
class Remove:
    """Delete the document if it is there."""

    document_id: str


@dataclass(slots=True)
class Clear:
    """Delete every document of the index."""


Action = Write | Remove | Clear
