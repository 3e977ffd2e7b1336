"""The two looks: the first finds what differs, the second tells what differs for good from what is on its way.

At the second look a row is read before a barrier and after it, and its document in between. A row whose version is the same both
times was committed before the barrier and not changed since, so its document has to show it by then: whatever still differs is
no change in flight. That a row is absent both times does not show that it was never there in between, so an absence has to be
seen several times before a document counts as a ghost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sync_worker.drift.expected import Expected, Unreadable, compared, expected_of
from sync_worker.drift.ids import IdSet
from sync_worker.drift.model import Candidate, Difference, Document, Kind, SourceRow
from sync_worker.operations.drift.parts import BarrierPort, Compared

_ABSENT_LOOKS = 3
_MOST_ROUNDS = 10
_CHUNK = 1000


@dataclass(slots=True)
class Seen:
    """What a first look adds up.

    Attributes:
        ids: of all rows that belong to the index; None where nobody asks for ghosts.
        unnamed: rows whose key can't become an id: they are in no index.
    """

    rows: int = 0
    belonging: int = 0
    ids: IdSet | None = None
    unnamed: int = 0


async def look_at_rows(
    target: Compared, rows: Sequence[SourceRow], seen: Seen, *, content: bool, strays: bool
) -> list[Candidate]:
    """Rows whose documents are missing, differ, or are there though they should not be.

    Args:
        strays: look for the last kind here as well, because nobody goes through all documents.
    """
    wanted: list[tuple[SourceRow, Expected]] = []
    seen.rows += len(rows)
    candidates = []
    for row in rows:
        expected = expected_of(target.projector, row)
        if expected.refused:
            if expected.document_id:
                # It has its place in the index; what is there can't be judged by it.
                candidates.append(Candidate(expected.document_id, row.key))
                if seen.ids is not None:
                    seen.ids.add(expected.document_id)
            else:
                seen.unnamed += 1
            continue
        if expected.document is not None:
            seen.belonging += 1
            if seen.ids is not None:
                seen.ids.add(expected.document_id)
        elif not strays:
            continue
        wanted.append((row, expected))
    ids = [expected.document_id for _, expected in wanted]
    if content:
        held = await target.documents.fetch(target.uid, target.id_field, ids, vectors=target.vectors)
        for row, expected in wanted:
            indexed = held.get(expected.document_id)
            if compared(expected.document_id, expected, indexed, quantized=target.quantized) is not None:
                candidates.append(Candidate(expected.document_id, row.key))
        return candidates
    present = await target.documents.present(target.uid, target.id_field, ids)
    for row, expected in wanted:
        if (expected.document is not None) != (expected.document_id in present):
            candidates.append(Candidate(expected.document_id, row.key))
    return candidates


@dataclass(frozen=True, slots=True)
class Settled:
    """What is left of candidates. `moving` rows changed at every look: nothing can be said of them."""

    differences: tuple[tuple[Candidate, Difference], ...]
    moving: int


async def settle(
    target: Compared, candidates: Sequence[Candidate], *, barrier: BarrierPort, content: bool, timeout_s: float
) -> Settled:
    """The second look, as often as it takes. Raises BarrierNotPassed, EnvironmentFault."""
    left = list({candidate.document_id: candidate for candidate in candidates}.values())
    absent: dict[str, int] = {}
    confirmed: list[tuple[Candidate, Difference]] = []
    for _ in range(_MOST_ROUNDS):
        if not left:
            break
        before = await rows_of(target, left)
        await barrier.require([target.index], strict=True, timeout_s=timeout_s)
        held: dict[str, Document | Unreadable] = {}
        for start in range(0, len(left), _CHUNK):
            ids = [candidate.document_id for candidate in left[start : start + _CHUNK]]
            held.update(await target.documents.fetch(target.uid, target.id_field, ids, vectors=target.vectors))
        after = await rows_of(target, left)
        open_ones = []
        for candidate, old, new in zip(left, before, after, strict=True):
            expected = None if new is None else expected_of(target.projector, new)
            indexed = held.get(candidate.document_id)
            difference = compared(candidate.document_id, expected, indexed, quantized=target.quantized)
            if difference is None or (difference.kind is Kind.DIFFERENT and not content):
                continue
            if _version(old) != _version(new):
                absent.pop(candidate.document_id, None)
            elif new is not None or candidate.key is None:
                confirmed.append((candidate, difference))
                continue
            else:
                absent[candidate.document_id] = absent.get(candidate.document_id, 0) + 1
                if absent[candidate.document_id] >= _ABSENT_LOOKS:
                    confirmed.append((candidate, difference))
                    continue
            open_ones.append(candidate)
        left = open_ones
    order = {candidate.document_id: number for number, candidate in enumerate(candidates)}
    confirmed.sort(key=lambda pair: order[pair[0].document_id])
    return Settled(tuple(confirmed), len(left))


async def rows_of(target: Compared, candidates: Sequence[Candidate]) -> list[SourceRow | None]:
    """The rows that bear these ids now. One that only equals a key by its type's own rules (a date written otherwise, a text
    without regard to case) has an id of its own, and is none of these."""
    found: list[SourceRow | None] = []
    for start in range(0, len(candidates), _CHUNK):
        part = candidates[start : start + _CHUNK]
        rows = iter(await target.rows.now([candidate.key for candidate in part if candidate.key is not None]))
        for candidate in part:
            row = None if candidate.key is None else next(rows)
            found.append(row if row is not None and target.projector.document_id(row.key) == candidate.document_id else None)
    return found


def _version(row: SourceRow | None) -> str | None:
    return None if row is None else row.version
