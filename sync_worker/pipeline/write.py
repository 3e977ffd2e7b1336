"""Sending one part: the last check before a write, and what to do when its answer is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import uuid4

from sync_worker.batch.coalesce import Entry
from sync_worker.batch.metadata import WriteMetadata, parse_metadata
from sync_worker.change.model import TopicPartition
from sync_worker.errors import AnswerLost, OwnershipLost, PayloadTooLarge, SinkRejected
from sync_worker.pipeline.journal import Journal
from sync_worker.pipeline.model import Part, PartKind, WorkerIdentity
from sync_worker.pipeline.settle import Settler
from sync_worker.ports import Clock, Membership, TaskUid


class Writer:
    """Writes parts to one index, one request at a time.

    Attributes:
        require_leave: called right before each request; raises EnvironmentFault where it is not known whether we may write.
    """

    def __init__(
        self, journal: Journal, settler: Settler, *, worker: WorkerIdentity, membership: Membership, clock: Clock
    ) -> None:
        self.journal = journal
        self._settler = settler
        self._worker = worker
        self._membership = membership
        self._clock = clock
        self.require_leave: Callable[[], None] = lambda: None

    async def send(self, part: Part, entries: Mapping[str, Entry]) -> None:
        """Send the part unless it is accepted already; a refused one is settled at once, as failed.

        Raises OwnershipLost, PayloadTooLarge (for more than one document), and the faults of `Sink`. May be called
        again after a fault: it looks first whether an earlier request arrived after all.
        """
        if part.uid is not None or part.settled.done():
            return
        # Requests go out one at a time: what others left open was given up, and its task, should it come, is late.
        self.journal.pending.intersection_update(part.nonces)
        if part.nonces and (found := await self._find(part)) is not None:
            self._accept(part, *found)
            return
        for partition in part.ranges:
            if not self.owns(partition, part.generation):
                raise OwnershipLost(f"{partition.topic}:{partition.partition} is not ours in generation {part.generation}")
        self.require_leave()
        nonce = uuid4().hex[:16]
        metadata = WriteMetadata(
            part.kind.value, self._worker.group, self._worker.run, part.generation, nonce, part.ranges, part.topic_id
        ).encode()
        part.nonces.append(nonce)
        self.journal.pending.add(nonce)
        try:
            uid = await self._request(part, entries, metadata)
        except AnswerLost:
            # Still pending: the next attempt looks for it first.
            raise
        except PayloadTooLarge as error:
            self._forget(part)
            if len(part.document_ids) > 1:
                raise
            part.refuse("payload_too_large", error.message)
            return
        except SinkRejected as error:
            self._forget(part)
            part.refuse(error.code, error.message)
            return
        except BaseException:
            part.nonces.remove(nonce)
            self.journal.pending.discard(nonce)
            raise
        self._accept(part, uid, metadata)

    def owns(self, partition: TopicPartition, generation: int) -> bool:
        """Whether this worker is the partition's present owner."""
        return self._membership.owns(partition, generation)

    async def _request(self, part: Part, entries: Mapping[str, Entry], metadata: str) -> TaskUid:
        sink, uid = part.index.sink, part.index.uid
        if part.kind is PartKind.CLEAR:
            return await sink.clear(uid, metadata=metadata)
        if part.kind is PartKind.DELETE:
            return await sink.delete(uid, part.document_ids, metadata=metadata)
        # Nearly always the part is the whole flush, and then nothing has to be looked up.
        whole = len(part.document_ids) == len(entries)
        chosen = entries.values() if whole else map(entries.__getitem__, part.document_ids)
        payload = b"\n".join([entry.line or b"" for entry in chosen])
        return await sink.write(uid, payload, metadata=metadata)

    def _forget(self, part: Part) -> None:
        self.journal.pending.difference_update(part.nonces)
        part.nonces.clear()

    async def _find(self, part: Part) -> tuple[TaskUid, str] | None:
        start = self.journal.newest + 1
        while True:
            tasks = await part.index.sink.tasks_from(part.index.uid, start)
            for task in tasks:
                written = parse_metadata(task.metadata)
                if written is not None and written.worker == self._worker.run and written.nonce in part.nonces:
                    return task.uid, task.metadata or ""
            if len(tasks) < 1000:
                return None
            start = tasks[-1].uid + 1

    def _accept(self, part: Part, uid: TaskUid, metadata: str) -> None:
        part.uid, part.metadata = uid, metadata
        part.accepted_at = self._clock.monotonic()
        # Answered after the partition changed hands: late like anybody's, for another owner may have written meanwhile.
        if all(self.owns(partition, part.generation) for partition in part.ranges):
            self.journal.accepted(uid, part.ranges)
        self.journal.pending.difference_update(part.nonces)
        self._settler.watch(part)
