"""Settling: asking one Meilisearch for all the tasks in flight at once, until each is finished.

A wait never sends a payload again. The delay follows how long tasks take: the first look comes shortly before a task of
the usual length ends, and looks grow rarer the longer it takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from sync_worker.errors import OperatorNeeded
from sync_worker.failure.findings import FindingKind, needed
from sync_worker.pipeline.holds import Patience
from sync_worker.pipeline.model import Part
from sync_worker.ports import Clock, Sink, Task, TaskStatus, TaskUid, Telemetry

_FORGET = 0.3
_SHORTEST_S = 0.004
_LONGEST_S = 1.0


def next_look(age_s: float, usual_s: float) -> float:
    """Seconds until the next look at tasks of which the youngest was accepted `age_s` ago."""
    due = 0.9 * usual_s - age_s
    wait = min(due, max(age_s, 0.04)) if due > 0 else 0.06 * age_s
    return min(_LONGEST_S, max(_SHORTEST_S, wait))


class Settler:
    """Settles the parts of all indexes of one Meilisearch."""

    def __init__(self, name: str, sink: Sink, *, patience: Patience, clock: Clock, telemetry: Telemetry) -> None:
        self._name = name
        self._sink = sink
        self._patience = patience
        self._clock = clock
        self._telemetry = telemetry
        self._parts: dict[TaskUid, Part] = {}
        self._wake = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []
        self.usual_s = 0.05

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever something settled."""
        self._listeners.append(listener)

    def stop_listening(self, listener: Callable[[], None]) -> None:
        self._listeners.remove(listener)

    def watch(self, part: Part) -> None:
        """Settle this accepted part."""
        assert part.uid is not None
        if part.uid in self._parts:
            # Settled by neither otherwise: the server died with an accepted task and gave its uid to a later one of ours.
            self._lost(part.uid, f"task {part.uid} was accepted, and its uid was given again")
        self._parts[part.uid] = part
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            if not self._parts:
                self._wake.clear()
                continue
            now = self._clock.monotonic()
            youngest = min(now - part.accepted_at for part in self._parts.values())
            await self._clock.sleep(next_look(youngest, self.usual_s))
            uids = list(self._parts)
            tasks = await self._ask(uids)
            for uid in uids:
                task = tasks.get(uid)
                if task is None:
                    await self._missing(uid)
                elif task.metadata != self._parts[uid].metadata:
                    self._lost(uid, f"task {uid} is now somebody else's")
                elif task.status.finished:
                    self._settle(uid, task)
            for listener in self._listeners:
                listener()

    async def _ask(self, uids: list[TaskUid]) -> Mapping[TaskUid, Task]:
        return await self._patience.persist(f"meilisearch:{self._name}", lambda: self._sink.tasks(uids), wanted=lambda: True)

    def _settle(self, uid: TaskUid, task: Task) -> None:
        part = self._parts.pop(uid)
        seconds = self._clock.monotonic() - part.accepted_at
        self.usual_s += _FORGET * (seconds - self.usual_s)
        self._telemetry.observe("task_seconds", seconds, index=part.index.name)
        self._telemetry.count("tasks", index=part.index.name, outcome=task.status.value)
        if not part.settled.done():
            part.settled.set_result(task)

    async def _missing(self, uid: TaskUid) -> None:
        part = self._parts[uid]

        async def oldest() -> TaskUid | None:
            return await self._sink.oldest_task_uid(part.index.uid)

        known = await self._patience.persist(f"meilisearch:{self._name}", oldest, wanted=lambda: True)
        if known is None or known > uid:
            forgotten = Task(uid, TaskStatus.FAILED, "forgotten", part.index.uid, None, None, "task_forgotten", "pruned")
            self._settle(uid, forgotten)
        else:
            self._lost(uid, f"task {uid} was accepted and is unknown now")

    def _lost(self, uid: TaskUid, what: str) -> None:
        part = self._parts.pop(uid)
        if not part.settled.done():
            part.settled.set_exception(lost_memory(part.index.name, what))


def lost_memory(index: str, what: str) -> OperatorNeeded:
    """The finding for a Meilisearch that was restored, or an index that was made anew."""
    evidence = f"{index}: {what}: Meilisearch was restored from an older state, or the index was deleted and made anew"
    return needed(FindingKind.SINK_LOST_MEMORY, index, evidence)
