"""Whether a partition may be read on from its committed offset.

Kafka's clients reset silently when a committed offset is outside the log, and can't see that a topic was deleted and
made anew. Both lose events without a word, so the decision is made here, from identities and bounds.
"""

from __future__ import annotations

from sync_worker.errors import OperatorNeeded
from sync_worker.progress.bookmark import Bookmark


def objection(
    bookmark: Bookmark | None, committed: int | None, topic_id: str, start: int, end: int, *, subject: str
) -> OperatorNeeded | None:
    """Why reading on would lose events; None where it is safe.

    Args:
        start, end: the log's first offset, and the one that will be written next.
    """
    if bookmark is not None and bookmark.topic_id != topic_id:
        what = f"the topic was deleted and made anew (id {bookmark.topic_id} is now {topic_id})"
    elif committed is not None and committed < start:
        what = f"events {committed} to {start - 1} were removed by the topic's retention before they were read"
    elif committed is not None and committed > end:
        what = f"the log ends at {end}, but {committed} was acknowledged: the log was truncated"
    elif committed is None and bookmark is not None and bookmark.next_offset < start:
        what = f"the committed offset is gone, and the log starts at {start}, after the last acknowledged {bookmark.next_offset}"
    elif committed is None and bookmark is not None and bookmark.next_offset > end:
        what = f"the committed offset is gone, and the log ends at {end}, before the last acknowledged {bookmark.next_offset}"
    else:
        return None
    return OperatorNeeded(
        f"{subject}: {what}",
        kind="log-replaced",
        subject=subject,
        remedy="Changes are missing from the log. Fill the table's indexes again with ghosts removed (`backfill --prune`, once "
        f"that verb is there), then: sync-worker findings clear log-replaced {subject} --reason …",
    )
