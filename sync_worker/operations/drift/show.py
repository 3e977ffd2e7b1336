"""The spot check: one row, the document that it asks for, and the one that the index holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sync_worker.drift.expected import Unreadable, compared, expected_of
from sync_worker.drift.model import Candidate, Kind
from sync_worker.operations.drift.comparing import DriftParts, open_failures
from sync_worker.operations.drift.looks import rows_of
from sync_worker.operations.drift.parts import Compared
from sync_worker.operations.report import report


@report("drift-show")
@dataclass(frozen=True, slots=True)
class DriftShow:
    """One document as it is at this moment: a change that is on its way is a difference here.

    Attributes:
        kind: how it differs, None where it is what its row says.
        row: None where there is none.
        expected: None where the index should hold none, or the row can't become one (`code`).
        indexed: None where the index holds none, or the server can't read it.
        failed_work: an open failure of this document.
    """

    index: str
    uid: str
    document_id: str
    kind: Kind | None
    fields: tuple[str, ...]
    code: str
    failed_work: int | None
    row: Mapping[str, Any] | None
    expected: Mapping[str, Any] | None
    indexed: Mapping[str, Any] | None


async def show(parts: DriftParts, target: Compared, document_id: str) -> DriftShow:
    """Raises SourceUnavailable, SinkUnavailable, SinkDenied, StateUnavailable, ConfigurationError."""
    key = await target.rows.key_of(document_id)
    [row] = await rows_of(target, [Candidate(document_id, key)])
    held = await target.documents.fetch(target.uid, target.id_field, [document_id], vectors=target.vectors)
    indexed = held.get(document_id)
    expected = None if row is None else expected_of(target.projector, row)
    difference = compared(document_id, expected, indexed, quantized=target.quantized)
    return DriftShow(
        index=target.index,
        uid=target.uid,
        document_id=document_id,
        kind=None if difference is None else difference.kind,
        fields=() if difference is None else difference.fields,
        code="" if difference is None else difference.code,
        failed_work=(await open_failures(parts.state, target.index)).get(document_id),
        row=None if row is None else row.row,
        expected=None if expected is None else expected.document,
        indexed=None if isinstance(indexed, Unreadable) else indexed,
    )
