"""One partition in one generation of the group."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from sync_worker.change.model import TopicPartition
from sync_worker.change.promise import Watched
from sync_worker.progress.ledger import Ledger


@dataclass(slots=True, eq=False)
class Partition:
    """From its assignment to its revocation.

    Attributes:
        ready: set once it is prepared, or dropped.
        lock: held while records are taken into the lanes, and while a late write is undone.
        saved: the next offset that was stored and handed over for commit.
        saved_at: when that was, on the monotonic clock.
        end_offset: the log's end at the assignment: below it, changes that an earlier owner applied may come once more.
        touched: something was written that no offset shows; the bookmark is to be stored though it does not move.
        promises: key changes whose row was read because their create was not there yet.
        taking: chunks that were handed over and are not in the lanes yet.
        preparing: what is known of its indexes is being read: no lane may come or go meanwhile.
        dropped: revoked; nothing of it may be written or acknowledged any more.
    """

    place: TopicPartition
    generation: int
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    topic_id: str = ""
    ledger: Ledger | None = None
    saved: int = -1
    saved_at: float = 0.0
    end_offset: int = 0
    touched: bool = False
    preparing: bool = False
    dropped: bool = False
    taking: int = 0
    promises: Watched = field(default_factory=Watched)

    @property
    def subject(self) -> str:
        return f"{self.place.topic}:{self.place.partition}"

    @property
    def active(self) -> bool:
        return not self.dropped and self.ledger is not None

    @property
    def caught_up(self) -> bool:
        """Before that, changes that an earlier owner applied may come once more, and are not seen yet."""
        prepared = not self.dropped and self.ready.is_set()
        return prepared and self.ledger is not None and self.ledger.position >= self.end_offset

    def drop(self) -> None:
        self.dropped = True
        self.ready.set()
