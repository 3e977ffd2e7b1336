"""What the index should hold for a row, and how that differs from what it holds."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import orjson

from sync_worker.document.projection import Projector
from sync_worker.drift.equality import differing_fields
from sync_worker.drift.model import Difference, Document, Kind, SourceRow
from sync_worker.errors import RecordError


class Unreadable:
    """Stands for a document that the server holds and can't return."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a row asks of the index.

    Attributes:
        document_id: empty where the key can't become one.
        document: None where the index should hold none.
        refused: why the row can't become a document; empty where it can.
    """

    document_id: str
    document: Document | None
    refused: str = ""


def expected_of(projector: Projector, found: SourceRow) -> Expected:
    """By the stream's own projection. Raises nothing of a row's."""
    document_id = ""
    try:
        document_id = projector.document_id(found.key)
        return Expected(document_id, projector.document(found.row, found.key))
    except RecordError as error:
        return Expected(document_id, None, error.code)


def compared(
    document_id: str, wanted: Expected | None, indexed: Document | Unreadable | None, *, quantized: Collection[str] = ()
) -> Difference | None:
    """None where the index holds what it should.

    Args:
        wanted: None where there is no row.
        indexed: None where there is no document.
    """
    if wanted is not None and wanted.refused:
        return Difference(Kind.REFUSED, document_id, code=wanted.refused)
    if wanted is None or wanted.document is None:
        return None if indexed is None else Difference(Kind.GHOST, document_id)
    if indexed is None:
        return Difference(Kind.MISSING, document_id)
    if isinstance(indexed, Unreadable):
        return Difference(Kind.UNREADABLE, document_id)
    try:
        fields = differing_fields(wanted.document, indexed, quantized=quantized)
    except orjson.JSONEncodeError:
        return Difference(Kind.REFUSED, document_id, code="malformed_payload")
    return Difference(Kind.DIFFERENT, document_id, fields) if fields else None
