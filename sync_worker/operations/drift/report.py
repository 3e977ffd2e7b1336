"""What a comparison tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sync_worker.drift.model import Kind
from sync_worker.operations.report import report
from sync_worker.ports import Depth


class Ghosts(StrEnum):
    """Of which documents it is known that no row stands behind them."""

    ALL = "all"
    SLICE = "slice"
    """Only of documents whose row is in the slice and does not belong: without a row nobody knows which slice it was in."""
    SAMPLE = "sample"
    """Of as many documents, chosen at random."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class DriftItem:
    """One document that is not what its row says.

    Attributes:
        document_id: empty where the row's key can't become one.
        fields: names of those that differ.
        code: why the row can't become a document; empty for all other kinds.
        failed_work: the open failure that explains it, None where nothing does.
    """

    document_id: str
    kind: Kind
    fields: tuple[str, ...]
    code: str
    failed_work: int | None


@dataclass(frozen=True, slots=True)
class Repair:
    """What was, or would be, made what the rows say.

    Attributes:
        dry_run: nothing was asked of any worker.
        writes, deletes: documents that are written again, and ghosts that are removed.
        left_alone: differences that a rewrite does not mend: refused rows, and what an open failure explains.
        waiting: asked, and not done within the time: the worker goes on without being waited for.
        remaining: of what was rewritten, what differs still.
    """

    dry_run: bool
    writes: tuple[str, ...]
    deletes: tuple[str, ...]
    left_alone: int
    waiting: int
    remaining: tuple[DriftItem, ...]

    @property
    def mended(self) -> bool:
        return not self.dry_run and not self.waiting and not self.remaining


@dataclass(frozen=True, slots=True)
class IndexDrift:
    """One index.

    Attributes:
        complete: every row and every document was looked at, so that no difference proves that there is none.
        rows: rows that belong to the index.
        documents: documents that were looked at.
        counts: kind → how many, zeros included. `counts` of a comparison of counts alone: all are zero, and `in_sync` tells.
        explained: how many of them an open failure explains.
        moving: rows that changed at every look, so that nothing can be said of them.
        items: the first ones, in the order of the rows' keys, ghosts last.
        more: how many are not listed.
        began_at: seconds since 1970: what is proven is as old as this.
        cleared: findings that this comparison settled.
    """

    index: str
    uid: str
    depth: Depth
    in_sync: bool
    complete: bool
    rows: int
    documents: int
    counts: Mapping[str, int]
    explained: int
    moving: int
    ghosts: Ghosts
    items: tuple[DriftItem, ...]
    more: int
    began_at: float
    seconds: float
    cleared: tuple[str, ...]
    repair: Repair | None = None


@report("drift")
@dataclass(frozen=True, slots=True)
class DriftReport:
    """`in_sync`: nothing differs in any index; with a repair, nothing is left that differs."""

    in_sync: bool
    where: str
    sample: int
    indexes: tuple[IndexDrift, ...]
