"""Our side of `agent`: the real stream and the real pipeline over a sink whose tasks have succeeded when it answers."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.cities import declaration
from sync_worker.adapters.clock import SystemClock
from sync_worker.adapters.kafka import KafkaLog
from sync_worker.adapters.state import StateDatabase
from sync_worker.adapters.telemetry.prometheus import PrometheusTelemetry
from sync_worker.batch.pace import Limits
from sync_worker.config.model import WorkerSection
from sync_worker.document.projection import Projector
from sync_worker.failure.flood import FloodLimits
from sync_worker.pipeline.model import Index, WorkerIdentity
from sync_worker.pipeline.pipeline import Pipeline
from sync_worker.ports import Chunk, IndexIdentity, Task, TaskStatus, TaskUid
from sync_worker.stream.membership import GroupMembership
from sync_worker.stream.run import run_stream
from sync_worker.stream.settings import StreamSettings
from sync_worker.testing.memory import MemoryDeadLetters, MemorySource
from sync_worker.wiring.collector import calm_collector


class InstantSink:
    """Implements `ports.Sink`: every write has succeeded as soon as it is asked for."""

    def __init__(self) -> None:
        self._tasks: list[Task] = []
        self.documents = 0

    def _applied(self, index_uid: str, metadata: str) -> TaskUid:
        uid = TaskUid(len(self._tasks))
        kind = "documentAdditionOrUpdate"
        self._tasks.append(Task(uid, TaskStatus.SUCCEEDED, kind, index_uid, uid, metadata, duration_s=0.0))
        return uid

    async def write(self, index_uid: str, ndjson: bytes, *, metadata: str) -> TaskUid:
        self.documents += ndjson.count(b"\n") + 1
        return self._applied(index_uid, metadata)

    async def delete(self, index_uid: str, document_ids: Sequence[str], *, metadata: str) -> TaskUid:
        return self._applied(index_uid, metadata)

    async def clear(self, index_uid: str, *, metadata: str) -> TaskUid:
        return self._applied(index_uid, metadata)

    async def tasks(self, uids: Collection[TaskUid]) -> Mapping[TaskUid, Task]:
        return {uid: self._tasks[uid] for uid in uids}

    async def tasks_from(self, index_uid: str, uid: int, *, limit: int = 1000) -> Sequence[Task]:
        return self._tasks[max(0, uid) :][:limit]

    async def last_task(self, index_uid: str) -> Task | None:
        return self._tasks[-1] if self._tasks else None

    async def oldest_task_uid(self, index_uid: str) -> TaskUid | None:
        return TaskUid(0) if self._tasks else None

    async def tasks_in_batch(self, batch_uid: int) -> int:
        return 1

    async def identity(self, index_uid: str) -> IndexIdentity | None:
        return IndexIdentity(index_uid, "2026-01-01T00:00:00Z", "id")

    async def settings(self, index_uid: str) -> Mapping[str, Any]:
        return {}

    async def document_count(self, index_uid: str) -> int:
        return self.documents

    async def close(self) -> None:
        """Nothing is open."""


class _Watched(GroupMembership):
    """Notes when everything is acknowledged, and asks the worker to end as an orchestrator does."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count
        self.ended_at = self.processor_end = 0.0

    def acknowledge(self, partition: Any, generation: int, next_offset: int) -> None:
        super().acknowledge(partition, generation, next_offset)
        if next_offset >= self._count and not self.ended_at:
            self.ended_at, self.processor_end = time.perf_counter(), time.process_time()
            signal.raise_signal(signal.SIGTERM)


class _Timed(Pipeline):
    """Notes when the first records came: a bare consumer does not join a group either."""

    began_at = processor_began = 0.0

    async def take(self, chunk: Chunk) -> None:
        if not self.began_at:
            self.began_at, self.processor_began = time.perf_counter(), time.process_time()
        await super().take(chunk)


async def run(servers: str, topic: str, count: int, folder: Path) -> dict[str, float]:
    """Seconds, and seconds of processor time, from the first fetch to the last acknowledgement."""
    calm_collector()
    state = await StateDatabase.open(f"sqlite:///{folder}/state.db")
    index = declaration()
    worker = WorkerSection.model_validate({})
    membership = _Watched(count)
    sink = InstantSink()
    pipeline = _Timed(
        [
            Index("cities", "cities", index.table, topic, index.id_field, Projector(index), sink, None, "clear", 90_000_000),
        ],
        state=state,
        log_port=KafkaLog(servers, folder.name, {}),
        dead_letters=MemoryDeadLetters(),
        source=MemorySource(),
        membership=membership,
        clock=SystemClock(),
        telemetry=PrometheusTelemetry(),
        random=Random(),
        worker=WorkerIdentity(group=folder.name, run="bench"),
        worker_name="bench",
        limits=Limits(
            flush_documents=worker.flush_documents,
            in_flight_documents=worker.max_in_flight_documents,
            in_flight_bytes=worker.max_in_flight_bytes,
        ),
        flood=FloodLimits(),
    )
    settings = StreamSettings(bootstrap_servers=(servers,), group=f"{folder.parent.name}-{folder.name}", topics=(topic,))
    status = await run_stream(settings, pipeline, membership, drain_s=1.0)
    await state.close()
    if status or sink.documents < count:
        raise SystemExit(f"the worker ended with {status} after {sink.documents} of {count} documents")
    return {
        "wall_s": membership.ended_at - pipeline.began_at,
        "processor_s": membership.processor_end - pipeline.processor_began,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])))))
