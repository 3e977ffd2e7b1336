"""`status`: everything at one moment. All parts are asked at once, each with a deadline; one that is down stops no other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sync_worker.document.declaration import IndexDeclaration
from sync_worker.errors import SyncWorkerError
from sync_worker.operations.deadline import by_deadline
from sync_worker.operations.status import judge
from sync_worker.operations.status.compose import Answers, findings_shown, holds_shown, index_status, lags, workers_shown
from sync_worker.operations.status.parts import (
    ConnectPart,
    LogPart,
    SinkPart,
    SinkSeen,
    SlotPart,
    StatePart,
    StateSeen,
    WorkerSeen,
    WorkersPart,
)
from sync_worker.operations.status.report import ConnectorStatus, StatusReport, Unreachable
from sync_worker.operations.workers import ALIVE_S
from sync_worker.ports import Clock

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parts:
    """The chain, as far as it can be asked.

    Attributes:
        sinks: by instance.
        topics: table → topic.
    """

    sinks: Mapping[str, SinkPart]
    log: LogPart
    slot: SlotPart
    connect: ConnectPart
    state: StatePart
    workers: WorkersPart
    connector_name: str
    topics: Mapping[str, str]
    clock: Clock


@dataclass
class _Asking:
    """Answers, and who did not give one."""

    deadline_s: float
    silent: list[Unreachable] = field(default_factory=list)

    async def answer(self, part: str, asked: Awaitable[T]) -> T | None:
        try:
            return await by_deadline(asked, self.deadline_s)
        except TimeoutError:
            cause = f"no answer within {self.deadline_s:g} s"
        except SyncWorkerError as error:
            cause = error.message
        if not any(one.part == part for one in self.silent):
            self.silent.append(Unreachable(part, cause))
        return None


async def status(parts: Parts, indexes: Sequence[IndexDeclaration], *, limits: judge.Limits, deadline_s: float) -> StatusReport:
    """Raises nothing that a part says: what did not answer within `deadline_s` is named in the report."""
    began = parts.clock.monotonic()
    asking = _Asking(deadline_s)

    async def state_and_workers() -> tuple[StateSeen, Mapping[str, WorkerSeen]]:
        seen = await parts.state.seen()
        now = parts.clock.now()
        return seen, await parts.workers.ask([row for row in seen.workers if now - row.last_seen < ALIVE_S])

    async def sink(index: IndexDeclaration) -> tuple[str, tuple[SinkSeen | None] | None]:
        async def seen() -> tuple[SinkSeen | None]:
            return (await parts.sinks[index.meilisearch].seen(index.uid),)

        part = "Meilisearch" if index.meilisearch == "default" else f"Meilisearch {index.meilisearch}"
        return index.name, await asking.answer(part, seen())

    state_answer, log, slot, connector, sinks = await asyncio.gather(
        asking.answer("state database", state_and_workers()),
        asking.answer("Kafka", parts.log.seen()),
        asking.answer("PostgreSQL", parts.slot.seen()),
        asking.answer("Kafka Connect", _connector(parts)),
        asyncio.gather(*(sink(index) for index in indexes)),
    )
    state: StateSeen | None
    told: Mapping[str, WorkerSeen]
    state, told = state_answer if state_answer is not None else (None, {})
    answers = Answers(parts.clock.now(), log, state, told, dict(sinks))
    partitions = lags(answers, {parts.topics[index.table] for index in indexes})
    canary_age_s = answers.canary_age_s()
    alive = None if canary_age_s is None and not told else canary_age_s is not None and canary_age_s <= limits.canary_s
    shown = tuple(index_status(index, parts.topics[index.table], partitions, answers, canary_age_s) for index in indexes)
    workers, holds, findings = workers_shown(answers), holds_shown(answers), findings_shown(answers)
    problems = (
        *judge.unreachable_problems(asking.silent),
        *judge.connector_problems(connector),
        *judge.slot_problems(slot),
        *judge.worker_problems(workers),
        *judge.other_problems(holds, findings, alive, canary_age_s),
        *(p for index, one in zip(indexes, shown, strict=True) for p in judge.index_problems(one, index.id_field, limits)),
    )
    return StatusReport(
        at=answers.now,
        seconds=round(parts.clock.monotonic() - began, 3),
        ok=not problems,
        problems=problems,
        unreachable=tuple(asking.silent),
        alive=alive,
        canary_age_s=None if canary_age_s is None else round(canary_age_s, 3),
        indexes=shown,
        connector=connector,
        slot=slot,
        workers=workers,
        holds=holds,
        findings=findings,
    )


async def _connector(parts: Parts) -> ConnectorStatus:
    state = await parts.connect.seen()
    return ConnectorStatus(parts.connector_name, state is not None and state.running, state)


__all__ = ["Parts", "StatusReport", "status"]
