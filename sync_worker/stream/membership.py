"""What this worker owns in the consumer group, and what of it may be committed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sync_worker.change.model import TopicPartition


@dataclass(slots=True)
class _Progress:
    """Offsets of one partition in one generation; each is the next one to be read by whoever takes over there."""

    start: int
    delivered: int
    acknowledged: int | None = None
    committed: int | None = None


@dataclass(slots=True)
class _Tenure:
    """One generation's assignment. `leaving` from the moment the group asks for it back."""

    generation: int
    partitions: frozenset[TopicPartition]
    progress: dict[TopicPartition, _Progress] = field(default_factory=dict)
    leaving: bool = False


class GroupMembership:
    """`ports.Membership` over the consumer's state.

    The consumer's thread calls `leave` and reads `generation`; everything else runs on the worker's loop. Each touches
    one reference only, so that no lock is needed.
    """

    def __init__(self) -> None:
        self._tenure: _Tenure | None = None
        self._group_generation: Callable[[], int | None] = lambda: None
        self._unread: Callable[[TopicPartition], int | None] = lambda _: None
        self._missing: Callable[[], frozenset[str]] = frozenset

    def observe(
        self,
        *,
        generation: Callable[[], int | None],
        unread: Callable[[TopicPartition], int | None],
        missing_topics: Callable[[], frozenset[str]],
    ) -> None:
        """Say where the group's own generation, the unread records and the missing topics are to be looked up."""
        self._group_generation, self._unread, self._missing = generation, unread, missing_topics

    # -- ports.Membership

    def owns(self, partition: TopicPartition, generation: int) -> bool:
        # The coordinator's own generation counts too: after an error that nobody consumed, assignment and generation
        # look right while the group has long gone on without this worker.
        tenure = self._tenure
        return (
            tenure is not None
            and not tenure.leaving
            and tenure.generation == generation
            and partition in tenure.partitions
            and self._group_generation() == generation
        )

    def acknowledge(self, partition: TopicPartition, generation: int, next_offset: int) -> None:
        """See `ports.Membership`. Offsets only rise within a generation.

        Raises:
            ValueError: the offset lies behind what was delivered, so committing it would skip records.
        """
        tenure = self._tenure
        if tenure is None or tenure.generation != generation:
            return
        progress = tenure.progress.get(partition)
        if progress is None:
            return
        if next_offset > progress.delivered:
            raise ValueError(f"{partition} acknowledged up to {next_offset}, but delivered only up to {progress.delivered}")
        if progress.acknowledged is None or next_offset > progress.acknowledged:
            progress.acknowledged = next_offset

    def backlog(self, partition: TopicPartition) -> int | None:
        return self._unread(partition)

    # -- beyond the port

    def missing_topics(self) -> frozenset[str]:
        """Topics that are subscribed to and do not exist (yet)."""
        return self._missing()

    @property
    def generation(self) -> int | None:
        """Of the assignment that may be worked on; None between revocation and assignment."""
        tenure = self._tenure
        return None if tenure is None or tenure.leaving else tenure.generation

    @property
    def partitions(self) -> frozenset[TopicPartition]:
        """Assigned and not yet wound up: these are still to be told to the intake when they go."""
        return frozenset() if self._tenure is None else self._tenure.partitions

    def join(self, partitions: frozenset[TopicPartition], generation: int) -> None:
        self._tenure = _Tenure(generation, partitions)

    def start_at(self, generation: int, positions: Mapping[TopicPartition, int]) -> None:
        """Where reading starts in this generation: nothing can be acknowledged before it is known."""
        tenure = self._tenure
        if tenure is not None and tenure.generation == generation:
            tenure.progress = {partition: _Progress(offset, offset) for partition, offset in positions.items()}

    def delivered(self, partition: TopicPartition, generation: int) -> int | None:
        """The next offset that has to be delivered; None once the generation is over."""
        tenure = self._tenure
        if tenure is None or tenure.leaving or tenure.generation != generation or partition not in tenure.progress:
            return None
        return tenure.progress[partition].delivered

    def deliver(self, partition: TopicPartition, generation: int, next_offset: int) -> None:
        tenure = self._tenure
        if tenure is not None and tenure.generation == generation and partition in tenure.progress:
            tenure.progress[partition].delivered = next_offset

    def progress(self) -> dict[TopicPartition, tuple[int, int]]:
        """Of each partition what was delivered, and what of it is acknowledged: next offsets. Empty between generations."""
        tenure = self._tenure
        if tenure is None or tenure.leaving:
            return {}
        return {
            partition: (one.delivered, one.start if one.acknowledged is None else one.acknowledged)
            for partition, one in tenure.progress.items()
        }

    def leave(self) -> None:
        """The group wants the partitions back: from now on nothing is owned. What was applied may still be committed."""
        if self._tenure is not None:
            self._tenure.leaving = True

    def left(self) -> None:
        """The partitions are wound up: acknowledgements that come now are ignored."""
        self._tenure = None

    def pending(self) -> tuple[int, dict[TopicPartition, int]] | None:
        """Generation and offsets that are acknowledged and not yet committed."""
        tenure = self._tenure
        if tenure is None:
            return None
        offsets = {
            partition: progress.acknowledged
            for partition, progress in tenure.progress.items()
            if progress.acknowledged is not None and progress.acknowledged != progress.committed
        }
        return (tenure.generation, offsets) if offsets else None

    def committed(self, generation: int, offsets: Mapping[TopicPartition, int]) -> None:
        """The broker has confirmed these; only now are they forgotten."""
        tenure = self._tenure
        if tenure is not None and tenure.generation == generation:
            for partition, offset in offsets.items():
                tenure.progress[partition].committed = offset
