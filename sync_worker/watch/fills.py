"""When a fill is proven, and how many documents may be of an older declaration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sync_worker.watch.fill import Fill, FillProof


@dataclass(frozen=True, slots=True)
class PendingFill:
    """A snapshot of the table has ended; the fill is proven once everything below `ends` is acknowledged."""

    proof: FillProof
    topic_id: str
    ends: Mapping[int, int]

    def as_json(self) -> dict[str, Any]:
        return {
            "proof": self.proof.value,
            "topic_id": self.topic_id,
            "ends": {str(partition): end for partition, end in self.ends.items()},
        }

    @staticmethod
    def of_json(value: Mapping[str, Any]) -> PendingFill:
        ends = {int(partition): int(end) for partition, end in value["ends"].items()}
        return PendingFill(FillProof(value["proof"]), str(value["topic_id"]), ends)


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a partition is acknowledged, and the indexes that it was written to meanwhile."""

    topic_id: str
    next_offset: int
    indexes: frozenset[str]


def passed(ends: Mapping[int, int], topic_id: str, marks: Mapping[int, Mark], index: str) -> bool:
    """Whether everything below `ends` is acknowledged, and was written to this index."""
    return all(
        (mark := marks.get(partition)) is not None
        and mark.topic_id == topic_id
        and mark.next_offset >= end
        and index in mark.indexes
        for partition, end in ends.items()
    )


def stands(fill: Fill | None, uid: str, created_at: str) -> Fill | None:
    """The fill, where it went into this physical index: an index that was made anew is empty."""
    return fill if fill is not None and (fill.uid, fill.created_at) == (uid, created_at) else None


def outdated(fill: Fill, declared: str, last_declared: str | None) -> bool:
    """Whether today's declaration is another than the one that some documents were made with, and nobody counted them yet.

    Args:
        last_declared: the declaration at the last look; None where there was none.
    """
    return declared != (fill.declaration if last_declared is None else last_declared)


def with_older(fill: Fill, document_count: int, *, now: float) -> Fill:
    """Every document that is there when the change is noticed may be of an older declaration, until the next fill."""
    return replace(fill, older_documents=document_count, older_since=fill.older_since or now)
