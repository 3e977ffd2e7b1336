"""What the rooms of the flush cycle hand to each other."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from sync_worker.batch.coalesce import SPAN_OVERHEAD, Batch, Entry
from sync_worker.batch.packed import PackedEntries
from sync_worker.change.model import TopicPartition
from sync_worker.document.projection import Projector
from sync_worker.ports import AdminSink, Sink, Task, TaskStatus, TaskUid
from sync_worker.rebuild.model import logical

PACK_FROM_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """One declared index, with everything that the pipeline needs of it; while it is rebuilt, one for each of its two lanes.

    Attributes:
        name: in the configuration; the lane's name where it is the second one of a rebuild.
        uid: in Meilisearch.
        topic: Debezium's topic of its table.
        id_field: the field that is the index's primary key.
        scratch: a Sink that may create indexes, for isolation; None where no key for it is configured.
        truncate: `clear`, `ignore` or `hold`.
        max_payload: bytes of one request.
    """

    name: str
    uid: str
    table: str
    topic: str
    id_field: str
    projector: Projector
    sink: Sink
    scratch: AdminSink | None
    truncate: str
    max_payload: int

    @property
    def declared(self) -> str:
        """Its name in the configuration."""
        return logical(self.name)


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """Group, and the id of this run of this process: both travel with every write."""

    group: str
    run: str


class PartKind(StrEnum):
    """The three calls that write."""

    CLEAR = "clear"
    WRITE = "write"
    DELETE = "delete"


@dataclass(slots=True, eq=False)
class Part:
    """One request of a flush and the task that came of it.

    Attributes:
        topic_id: as in `WriteMetadata`.
        nonces: of the requests sent for it; more than one after an answer was lost.
        uid: of the accepted task.
        settled: the finished task; awaits applied or failed.
        packed: its entries, which are no longer in the flush's batch; None while they are.
    """

    index: Index
    kind: PartKind
    document_ids: list[str]
    generation: int
    ranges: dict[TopicPartition, tuple[int, int]]
    topic_id: str = ""
    nonces: list[str] = field(default_factory=list)
    uid: TaskUid | None = None
    metadata: str | None = None
    accepted_at: float = 0.0
    packed: PackedEntries | None = None
    settled: asyncio.Future[Task] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def refuse(self, code: str, message: str) -> None:
        """The request itself was refused: the same to us as a task that failed."""
        self.settled.set_result(Task(TaskUid(-1), TaskStatus.FAILED, "refused", self.index.uid, None, None, code, message))

    def skip(self) -> None:
        """Nothing of it is ours any more."""
        self.settled.set_result(Task(TaskUid(-1), TaskStatus.SUCCEEDED, "skipped", self.index.uid, None, None))

    @property
    def outcome(self) -> Task | None:
        return self.settled.result() if self.settled.done() else None


@dataclass(slots=True, eq=False)
class Flush:
    """One batch on its way.

    Attributes:
        company: it has no parts of its own; an isolation writes its documents together with those of failed flushes.
        sent_bytes: its size when it was sent; a large one is held smaller from then on.
    """

    batch: Batch
    generation: int
    parts: list[Part] = field(default_factory=list)
    clear_part: Part | None = None
    company: bool = False
    sent_bytes: int = 0

    @property
    def finished(self) -> bool:
        return all(part.settled.done() for part in self.parts)

    def failed_parts(self) -> list[Part]:
        return [part for part in self.parts if (task := part.outcome) and task.status is not TaskStatus.SUCCEEDED]

    @property
    def size(self) -> int:
        """Bytes of memory held, roughly."""
        return self.batch.size + sum(part.packed.size for part in self.parts if part.packed is not None)

    @property
    def document_count(self) -> int:
        return len(self.batch) + sum(len(part.packed) for part in self.parts if part.packed is not None)

    def drop(self, partitions: Collection[TopicPartition]) -> None:
        """Forget the documents of these partitions."""
        self.batch.drop(partitions)
        for part in self.parts:
            if part.packed is not None:
                part.packed.drop(partitions)

    def entries_of(self, part: Part) -> dict[str, Entry]:
        if part.packed is not None:
            return part.packed.unpack()
        entries = self.batch.entries
        return {document_id: entries[document_id] for document_id in part.document_ids if document_id in entries}

    def document_ids(self) -> Iterator[str]:
        yield from self.batch.entries
        for part in self.parts:
            if part.packed is not None:
                yield from part.packed.document_ids()

    @property
    def packable(self) -> bool:
        """Large, sent, and not settled. What is small may be wanted at once, and stays as it is."""
        large = bool(self.batch.entries) and self.batch.size >= PACK_FROM_BYTES
        return large and bool(self.parts) and not self.finished

    async def pack(self) -> None:
        """Make it small while it waits for the server."""
        entries = self.batch.entries
        packed = [(part, PackedEntries(held)) for part in self.parts if (held := self.entries_of(part))]
        for _, small in packed:
            await asyncio.to_thread(small.compress)
        if self.batch.entries is not entries:
            return  # a partition was lost meanwhile
        for part, small in packed:
            part.packed, part.document_ids = small, []
        spans = self.batch.spans
        self.batch = Batch(ranges=self.batch.ranges, spans=spans, size=SPAN_OVERHEAD * len(spans))
