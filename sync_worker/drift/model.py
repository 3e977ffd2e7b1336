"""What a comparison finds, and what it compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sync_worker.change.model import Row

Document = dict[str, Any]
Key = Mapping[str, Any]
"""A row's key columns → values, as Debezium delivers them."""


class Kind(StrEnum):
    """How a document and its row differ."""

    MISSING = "missing"
    """The row belongs to the index, and its document is not there."""
    GHOST = "ghost"
    """The document is there, and no row that belongs to the index bears its id."""
    DIFFERENT = "different"
    UNREADABLE = "unreadable"
    """The server holds the document and can't read it: every search that finds it fails."""
    REFUSED = "refused"
    """The row can't become a document, so whatever the index holds is not what it says."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One document that is not what its row says.

    Attributes:
        document_id: empty where the row's key can't become one.
        fields: names of those that differ; only for `different`.
        code: why the row is refused; only for `refused`.
    """

    kind: Kind
    document_id: str
    fields: tuple[str, ...] = ()
    code: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document that differed at the first look. `key` is None where no row can bear its id."""

    document_id: str
    key: Key | None


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row as it was read. `version` changes with every change of the row; empty where it was not asked for."""

    key: Key
    row: Row
    version: str = ""
