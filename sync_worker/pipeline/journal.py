"""What this worker wrote to one index, and up to which task it looked for writes that are late.

Settling by uid never shows another writer's tasks, nor one of ours whose answer was lost. The journal knows which
tasks are ours, so that the scan can tell the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sync_worker.change.model import TopicPartition
from sync_worker.progress.ledger import Span


@dataclass(slots=True)
class Journal:
    """Writes of one run of a worker to one physical index.

    Attributes:
        scanned: partition → every task up to this uid was looked at for it and, where it was late, put into the lane again.
        newest: the highest uid of ours.
        pending: nonces of the request whose answer is still awaited, or was lost and is looked for.
        bare: at the last look the server knew no task of this index at all.
        anchor: (uid, metadata) of the newest applied task of ours.
        mending: (uid, partition) of a late write → the span that is done once its effect on that partition is undone. One task
            may cover several partitions, and each is undone by itself.
    """

    scanned: dict[TopicPartition, int] = field(default_factory=dict)
    newest: int = -1
    pending: set[str] = field(default_factory=set)
    bare: bool = False
    anchor: tuple[int, str] | None = None
    mending: dict[tuple[int, TopicPartition], Span] = field(default_factory=dict)
    _ours: dict[int, Mapping[TopicPartition, tuple[int, int]]] = field(default_factory=dict)

    def accepted(self, uid: int, ranges: Mapping[TopicPartition, tuple[int, int]]) -> None:
        self._ours[uid] = ranges
        self.newest = max(self.newest, uid)

    def applied(self, uid: int, metadata: str) -> None:
        if self.anchor is None or uid > self.anchor[0]:
            self.anchor = (uid, metadata)

    def is_ours(self, uid: int) -> bool:
        return uid in self._ours

    def exchange(self, other: Journal) -> None:
        """The two physical indexes bear each other's name from now on."""
        for name in self.__slots__:
            mine, theirs = getattr(self, name), getattr(other, name)
            setattr(self, name, theirs)
            setattr(other, name, mine)

    def forget(self, partition: TopicPartition) -> None:
        """The partition is somebody else's now: what is left to undo there is found by its next owner."""
        self.scanned.pop(partition, None)
        self.pending.clear()
        self.bare = False
        self.mending = {late: span for late, span in self.mending.items() if span.partition != partition}

    def watermark(self, partition: TopicPartition, acknowledged: Mapping[TopicPartition, int]) -> int:
        """The uid to store with this partition: up to it everything was looked at, undone, and acknowledged.

        A task that is not acknowledged stays above, so that the next owner learns from it how far we wrote.
        """
        seen = min(self.scanned.values())

        def done(uid: int, ranges: Mapping[TopicPartition, tuple[int, int]]) -> bool:
            return uid <= seen and all(high < acknowledged.get(place, high + 1) for place, (_, high) in ranges.items())

        self._ours = {uid: ranges for uid, ranges in self._ours.items() if not done(uid, ranges)}
        for late in [late for late, span in self.mending.items() if span.holders == 0]:
            del self.mending[late]
        return min([self.scanned[partition], *(uid - 1 for uid in self._ours), *(uid - 1 for uid, _ in self.mending)])
