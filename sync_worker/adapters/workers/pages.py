"""What each living worker's own pages say of it: readiness, holds, positions, lag."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from sync_worker.change.model import TopicPartition
from sync_worker.metrics import exported_name

_ANSWER_S = 1.0


class WorkerRow(Protocol):
    @property
    def worker(self) -> str: ...
    @property
    def address(self) -> str: ...


@dataclass(frozen=True, slots=True)
class WorkerPage:
    """One worker.

    Attributes:
        applied: everything below these offsets is applied, superseded or recorded.
        lag_messages, lag_s: what waits, and the age of the oldest of it.
        holds: as `/readyz` lists them.
        canary_age_s: None before the first message.
    """

    ready: bool
    alive: bool
    canary_age_s: float | None
    applied: Mapping[TopicPartition, int]
    lag_messages: Mapping[TopicPartition, int]
    lag_s: Mapping[TopicPartition, float]
    holds: tuple[Mapping[str, Any], ...] = field(default=())


async def worker_pages(
    workers: Collection[WorkerRow], *, transport: httpx.AsyncBaseTransport | None = None
) -> Mapping[str, WorkerPage]:
    """Worker → its pages, all asked at once; those that do not answer within a second are left out."""
    async with httpx.AsyncClient(timeout=_ANSWER_S, transport=transport, trust_env=False) as http:
        asked = [worker for worker in workers if worker.address]
        answers = await asyncio.gather(*(_page(http, worker) for worker in asked))
    return {worker.worker: answer for worker, answer in zip(asked, answers, strict=True) if answer is not None}


async def _page(http: httpx.AsyncClient, worker: WorkerRow) -> WorkerPage | None:
    try:
        positions, ready, metrics = await asyncio.gather(
            http.get(f"{worker.address}/positions"), http.get(f"{worker.address}/readyz"), http.get(f"{worker.address}/metrics")
        )
        told, readiness = positions.raise_for_status().json(), ready.json()
        # Somebody else may have got the port of one that ended.
        if told["worker"] != worker.worker:
            return None
        samples = list(_samples(metrics.raise_for_status().text))
        return WorkerPage(
            ready=bool(readiness["ready"]),
            alive=bool(readiness["alive"]),
            canary_age_s=readiness["canary_age_s"],
            applied={TopicPartition(one["topic"], one["partition"]): int(one["applied"]) for one in told["positions"]},
            lag_messages={place: int(value) for name, place, value in samples if name == exported_name("lag_messages")},
            lag_s={place: value for name, place, value in samples if name == exported_name("lag_seconds")},
            holds=tuple(readiness["holds"]),
        )
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
        return None


def _samples(text: str) -> Iterator[tuple[str, TopicPartition, float]]:
    from prometheus_client.parser import text_string_to_metric_families

    # Only these: a worker's page has hundreds of others.
    names = (exported_name("lag_messages"), exported_name("lag_seconds"))
    wanted = "\n".join(line for line in text.splitlines() if line.startswith(names)) + "\n"
    for family in text_string_to_metric_families(wanted):
        for sample in family.samples:
            yield sample.name, TopicPartition(sample.labels["topic"], int(sample.labels["partition"])), sample.value
