"""Whether a partition may be read on from its committed offset.

Kafka's clients reset silently when a committed offset is outside the log, and can't see that a topic was deleted and
made anew. Both lose events without a word, so the decision is made here, from identities and bounds.
"""

from __future__ import annotations

from sync_worker.change.model import Record
from sync_worker.errors import OperatorNeeded
from sync_worker.failure.findings import FindingKind, needed
from sync_worker.progress.bookmark import Bookmark, Tail, tail_of


def objection(
    bookmark: Bookmark | None, committed: int | None, topic_id: str, start: int, end: int, *, subject: str
) -> OperatorNeeded | None:
    """Why reading on would lose events; None where it is safe.

    Args:
        start, end: the log's first offset, and the one that will be written next.
    """
    if bookmark is not None and bookmark.topic_id != topic_id:
        return made_anew(bookmark.topic_id, topic_id, subject=subject)
    if committed is not None and committed < start:
        what = f"events {committed} to {start - 1} were removed by the topic's retention before they were read"
    elif committed is not None and committed > end:
        what = f"the log ends at {end}, but {committed} was acknowledged: the log was truncated"
    elif committed is None and bookmark is not None and bookmark.next_offset < start:
        what = f"the committed offset is gone, and the log starts at {start}, after the last acknowledged {bookmark.next_offset}"
    elif committed is None and bookmark is not None and bookmark.next_offset > end:
        what = f"the committed offset is gone, and the log ends at {end}, before the last acknowledged {bookmark.next_offset}"
    elif committed is not None and (bookmark is None or committed > bookmark.next_offset):
        return _state_lost(bookmark, committed, subject)
    else:
        return None
    return _log_replaced(what, subject)


def replaced_in_place(known: Tail, found: Record | None, *, subject: str) -> OperatorNeeded | None:
    """Whether another log took the place of ours under its id: a restore, or a broker that lost its disk and was filled again.

    Args:
        found: the record at the remembered offset; None where none is there, which compaction and markers do too.
    """
    if found is None or tail_of(found) == known:
        return None
    return _log_replaced(
        f"the record at {known.offset} has the timestamp {found.timestamp} ms, but the one that was acknowledged there had "
        f"{known.timestamp} ms" + ("" if found.timestamp != known.timestamp else " and another key") + ": the log was replaced",
        subject,
    )


def made_anew(known_id: str, topic_id: str, *, subject: str) -> OperatorNeeded:
    """The topic is not the one that was read so far, though it bears the same name."""
    return _log_replaced(f"the topic was deleted and made anew (id {known_id} is now {topic_id})", subject)


def _log_replaced(what: str, subject: str) -> OperatorNeeded:
    return needed(FindingKind.LOG_REPLACED, subject, f"{subject}: {what}")


def _state_lost(bookmark: Bookmark | None, committed: int, subject: str) -> OperatorNeeded:
    """The bookmark is stored before the offset is committed, so it can't be behind unless one of the two is not ours."""
    known = "nothing of this partition" if bookmark is None else f"no acknowledgement after {bookmark.next_offset}"
    evidence = (
        f"{subject}: the group committed {committed}, but the state database knows {known}: it was lost or is an older copy, "
        "or somebody moved the group's offset"
    )
    return needed(FindingKind.STATE_LOST, subject, evidence)
