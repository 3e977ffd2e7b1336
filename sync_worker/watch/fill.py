"""When an index was last filled completely, and with what. Every other document of it came by a change since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class FillProof(StrEnum):
    """How it is known that every row was written."""

    LAST_ROW = "snapshot-last-row"
    """The record that Debezium marks as the last of the table's snapshot was acknowledged."""
    NOTIFICATION = "snapshot-notification"
    """Debezium told that it scanned the table, and everything that was in the topic then was acknowledged. An empty table has
    no record that could carry a mark."""
    BACKFILL = "backfill"
    """A backfill of every row, with ghosts removed, was completed."""


@dataclass(frozen=True, slots=True)
class Fill:
    """The last complete fill of one index.

    Attributes:
        index: name in the configuration.
        uid, created_at: the physical index, as in `ports.IndexRecord`.
        declaration: `document.fingerprint.declaration_fingerprint` of the declaration that its documents were made with.
        columns: fingerprint of the table's columns then; empty where they were not known.
        topic_id, ends: partition number → everything of the fill lies below this offset. A snapshot's row behind it was not
            asked for.
        filled_at: seconds since 1970.
        older_documents: how many documents, at most, may have been made with another declaration than today's.
        older_since: since when (seconds since 1970); None while there are none.
    """

    index: str
    uid: str
    created_at: str
    proof: FillProof
    declaration: str
    columns: str
    topic_id: str
    ends: Mapping[int, int]
    filled_at: float
    older_documents: int = 0
    older_since: float | None = None
