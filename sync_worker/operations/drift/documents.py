"""Going through the ids of all documents of an index that changes meanwhile.

The server knows no order in which an id could be asked for after another: a page is a place in the order of its internal ids,
and a document that is deleted moves all behind it forward. So pages overlap, and half of the last page's end has to come back
in the next one; where it does not, it is gone back further. Ids that come twice do no harm.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from sync_worker.operations.drift.parts import Compared

PAGE = 20_000
_OVERLAP = 500


@dataclass(slots=True)
class Place:
    """How far a pass is. `tail` are the last ids that were seen, `offset` the place behind them."""

    offset: int = 0
    tail: Sequence[str] = ()
    overlap: int = _OVERLAP
    ended: bool = False


async def next_ids(target: Compared, place: Place, *, page: int = PAGE) -> Sequence[str]:
    """The next ids, some of them known. Moves `place`; not to be called once it has ended."""
    while True:
        start = max(0, place.offset - place.overlap) if place.tail else place.offset
        limit = page + place.offset - start
        ids = await target.documents.ids(target.uid, target.id_field, offset=start, limit=limit)
        found = set(ids)
        known = sum(document_id in found for document_id in place.tail)
        if start > 0 and 2 * known < len(place.tail):
            place.offset, place.overlap = start, place.overlap * 2
            continue
        place.offset, place.tail, place.overlap = start + len(ids), ids[-_OVERLAP:], _OVERLAP
        place.ended = len(ids) < limit
        return ids


async def all_ids(target: Compared) -> AsyncIterator[Sequence[str]]:
    """Every document that is there from the beginning to the end is among them at least once."""
    place = Place()
    while not place.ended:
        yield await next_ids(target, place)
