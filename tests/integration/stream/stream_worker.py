"""A worker process whose intake writes down what happens to it, one JSON object a line.

usage: stream_worker.py PLAN, where PLAN is a JSON file:

    settings      of StreamSettings
    journal       where to write
    hold          while this file exists, `take` waits
    hold_topic    only for this topic
    acknowledge   false: never
    late_acks     while this file exists, acknowledgements wait beside the stream, as behind a flush
    hang_on_stop  `stop` never returns
    patch         module:attribute → value, set before anything starts
    sabotage      name of a function below, called with the app once the first chunk was taken
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from aiokafka.errors import GroupAuthorizationFailedError

from sync_worker.change.model import TopicPartition
from sync_worker.ports import Chunk
from sync_worker.stream import run
from sync_worker.stream.app import StreamApp
from sync_worker.stream.membership import GroupMembership
from sync_worker.stream.settings import StreamSettings


class RecordingIntake:
    app: StreamApp

    def __init__(self, plan: dict[str, Any], membership: GroupMembership) -> None:
        self.plan = plan
        self.membership = membership
        self.journal = Path(plan["journal"]).open("a")  # noqa: SIM115 - open for the life of the process
        self.first_chunk = asyncio.Event()
        self.late: set[asyncio.Task[None]] = set()

    def write(self, event: str, **what: Any) -> None:
        print(json.dumps({"event": event, **what}), file=self.journal, flush=True)

    async def start(self) -> None:
        self.write("start")

    async def assigned(self, partitions: Collection[TopicPartition], generation: int) -> None:
        self.write("assigned", partitions=sorted(partitions), generation=generation)

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        owned = [p for p in partitions for g in range(1000) if self.membership.owns(p, g)]
        self.write("revoked", partitions=sorted(partitions), still_owned=owned)

    async def take(self, chunk: Chunk) -> None:
        most_waiting = 0
        while self._held(chunk):
            if not most_waiting:
                self.write("held", topic=chunk.partition.topic, partition=chunk.partition.partition)
            most_waiting = max(most_waiting, self.app.lanes._lanes[chunk.partition].waiting_bytes)
            await asyncio.sleep(0.02)
        if most_waiting:
            self.write("released", most_waiting=most_waiting)
        self.write(
            "take",
            topic=chunk.partition.topic,
            partition=chunk.partition.partition,
            generation=chunk.generation,
            offsets=[record.offset for record in chunk.records],
            next=chunk.next_offset,
            owned=self.membership.owns(chunk.partition, chunk.generation),
        )
        self.first_chunk.set()
        if self.plan.get("acknowledge", True):
            if "late_acks" in self.plan:
                task = asyncio.create_task(self._acknowledge_late(chunk))
                self.late.add(task)
                task.add_done_callback(self.late.discard)
            else:
                self._acknowledge(chunk)

    def idle(self) -> bool:
        """Waiting for a test is a hold, unless the test is about a pipeline that hangs."""
        return bool(self.plan.get("hangs_idle")) or not (
            ("hold" in self.plan and Path(self.plan["hold"]).exists())
            or ("late_acks" in self.plan and Path(self.plan["late_acks"]).exists())
            or not self.plan.get("acknowledge", True)
        )

    def _held(self, chunk: Chunk) -> bool:
        topic = self.plan.get("hold_topic", chunk.partition.topic)
        return "hold" in self.plan and topic == chunk.partition.topic and Path(self.plan["hold"]).exists()

    async def _acknowledge_late(self, chunk: Chunk) -> None:
        flush_lasts = Path(self.plan["late_acks"]).exists
        while flush_lasts():  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(0.02)
        self._acknowledge(chunk)

    def _acknowledge(self, chunk: Chunk) -> None:
        self.membership.acknowledge(chunk.partition, chunk.generation, chunk.next_offset)
        self.write("acknowledge", partition=chunk.partition.partition, next=chunk.next_offset)

    async def stop(self, *, drain_s: float) -> None:
        self.write("stop", drain_s=drain_s)
        if self.plan.get("hang_on_stop"):
            await asyncio.Event().wait()


async def sabotage(intake: RecordingIntake, name: str) -> None:
    await intake.first_chunk.wait()
    intake.write("sabotage")
    globals()[name](intake.app)


def coordination_ends(app: StreamApp) -> None:
    _in_thread(app, app.batch_consumer.reader.consumer._coordinator._coordination_task.cancel)


def fetching_ends(app: StreamApp) -> None:
    _in_thread(app, app.batch_consumer.reader.consumer._fetcher._fetch_task.cancel)


def drain_ends(app: StreamApp) -> None:
    for task in list(app._fetcher._futures):
        task.cancel()


def commit_loop_ends(app: StreamApp) -> None:
    for task in list(app.batch_consumer._futures):
        task.cancel()


def recovery_ends(app: StreamApp) -> None:
    """Quietly, and then comes a rebalance."""
    for task in list(app.tables.recovery._futures):
        task.cancel()
    _in_thread(app, app.batch_consumer.reader.consumer._coordinator.request_rejoin)


def group_is_forbidden(app: StreamApp) -> None:
    coordinator = app.batch_consumer.reader.consumer._coordinator

    def push() -> None:
        # As if nobody waited for a fetch at this moment: then only asking for the error brings it to light.
        waiters, coordinator._subscription._fetch_waiters = coordinator._subscription._fetch_waiters, ()
        coordinator._push_error_to_user(GroupAuthorizationFailedError("group"))
        coordinator._subscription._fetch_waiters = waiters

    _in_thread(app, push)


def commits_are_refused(app: StreamApp) -> None:
    async def refuse(generation: int, offsets: object) -> bool:
        return False

    app.batch_consumer.reader.commit = refuse  # type: ignore[method-assign]


def a_delivery_vanishes(app: StreamApp) -> None:
    reader = app.batch_consumer.reader
    read, vanished = reader.read, []

    async def losing() -> Any:
        deliveries = await read()
        if deliveries and not vanished:
            vanished.extend(deliveries)
            return ()
        return deliveries

    reader.read = losing  # type: ignore[method-assign]


def reading_stops(app: StreamApp) -> None:
    """All tasks live; only no answer of the broker holds a record any more."""

    async def nothing() -> Any:
        await asyncio.sleep(1.0)
        return ()

    app.batch_consumer.reader.read = nothing  # type: ignore[method-assign]


def thread_blocks(app: StreamApp) -> None:
    _in_thread(app, lambda: time.sleep(3600))


def loop_blocks(app: StreamApp) -> None:
    time.sleep(3600)


def pipeline_hangs(app: StreamApp) -> None:
    """Takes, and never acknowledges; nothing is in flight, nothing held."""
    app.membership.acknowledge = lambda *_: None  # type: ignore[method-assign]


def take_raises(app: StreamApp) -> None:
    async def broken(chunk: Chunk) -> None:
        raise ArithmeticError("a bug of the pipeline")

    app.intake.take = broken  # type: ignore[method-assign]


def _in_thread(app: StreamApp, call: Any) -> None:
    app.batch_consumer._thread.thread_loop.call_soon_threadsafe(call)


async def main(plan: dict[str, Any]) -> int:
    for target, value in plan.get("patch", {}).items():
        module, _, attribute = target.partition(":")
        setattr(importlib.import_module(module), attribute, value)
    membership = GroupMembership()
    intake = RecordingIntake(plan, membership)
    build = run.build_app

    def building(*arguments: Any) -> StreamApp:
        intake.app = build(*arguments)
        if "sabotage" in plan:
            intake.late.add(asyncio.create_task(sabotage(intake, plan["sabotage"])))
        return intake.app

    run.build_app = building
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in plan["settings"].items()}
    status = await run.run_stream(StreamSettings(**settings), intake, membership, drain_s=2)
    intake.write("end", status=status)
    return status


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    sys.exit(asyncio.run(main(json.loads(Path(sys.argv[1]).read_text()))))
