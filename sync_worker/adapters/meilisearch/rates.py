"""How fast a Meilisearch took documents, from its own task history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sync_worker.adapters.meilisearch.task import seconds
from sync_worker.adapters.meilisearch.transport import DEFAULT_TIMEOUTS, Timeouts, Transport

_PAGE = 1000
_LARGE = 1_000
"""Documents of a batch from which on its time is that of its documents."""

_NEWEST = 20


@dataclass(frozen=True, slots=True)
class Batch:
    """One server batch. `seconds` is of processing."""

    documents: int
    seconds: float


class MeilisearchRates:
    """One Meilisearch with a key that may `tasks.get`. Raises SinkUnavailable, SinkDenied."""

    def __init__(self, url: str, api_key: str, *, timeouts: Timeouts = DEFAULT_TIMEOUTS) -> None:
        self._transport = Transport(url, api_key, key_name="worker key", compress="none", timeouts=timeouts)

    async def close(self) -> None:
        await self._transport.close()

    async def measured(self, index_uid: str) -> tuple[float | None, float | None]:
        """Documents in a second: of the newest large batches, and of the first ones if the history goes back to them."""
        newest = await self._tasks(index_uid, reverse=False)
        oldest = await self._tasks(index_uid, reverse=True)
        from_empty = bool(oldest) and oldest[0].get("type") == "indexCreation"
        return rate(batches(newest)[-_NEWEST:]), rate(batches(oldest)[:2]) if from_empty else None

    async def _tasks(self, index_uid: str, *, reverse: bool) -> list[dict[str, Any]]:
        """Oldest first."""
        kinds = "indexCreation,documentAdditionOrUpdate"
        query = f"/tasks?indexUids={quote(index_uid, safe='')}&types={kinds}&statuses=succeeded&limit={_PAGE}"
        answer = await self._transport.read(query + ("&reverse=true" if reverse else ""), action="tasks.get")
        results = answer.get("results") if isinstance(answer, dict) else None
        tasks = [task for task in results if isinstance(task, dict)] if isinstance(results, list) else []
        return tasks if reverse else tasks[::-1]


def batches(tasks: Sequence[Mapping[str, Any]]) -> list[Batch]:
    """Large ones, in the tasks' order: tasks of one batch share its time."""
    documents: dict[object, int] = {}
    took: dict[object, float] = {}
    for task in tasks:
        uid, details = task.get("batchUid"), task.get("details")
        if uid is None or not isinstance(details, dict) or task.get("type") != "documentAdditionOrUpdate":
            continue
        documents[uid] = documents.get(uid, 0) + int(details.get("indexedDocuments") or 0)
        took[uid] = max(took.get(uid, 0.0), seconds(task.get("duration")) or 0.0)
    return [Batch(count, took[uid]) for uid, count in documents.items() if count >= _LARGE]


def rate(found: Sequence[Batch]) -> float | None:
    took = sum(batch.seconds for batch in found)
    return sum(batch.documents for batch in found) / took if took > 0 else None
