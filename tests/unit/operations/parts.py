"""What the verbs about failed work need, in memory: a topic of letters, a log, an index, a clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import orjson

from sync_worker.adapters.kafka.letter import parse, to_headers
from sync_worker.change.model import Record, StoredRecord, TopicPartition
from sync_worker.errors import DecodeError
from sync_worker.failure.model import Failure, PayloadReference, ReasonClass
from sync_worker.ports import FoundLetter, IndexIdentity
from sync_worker.testing.memory import envelope

PLACE = TopicPartition("app.public.things", 0)
LETTERS = TopicPartition("letters", 0)


def failure(offset: int, document_id: str | None = "1", **changed: Any) -> Failure:
    told: dict[str, Any] = {
        "index": "things",
        "document_id": document_id,
        "operation": "update",
        "reason_class": ReasonClass.REJECTED,
        "code": "internal",
        "message": "something is wrong",
        "retryable": True,
        "topic_id": "id-1",
        "partition": PLACE,
        "offset": offset,
        "source_ms": 1_700_000_000_000,
        "failed_at": time.time() - 3600 + offset,
    }
    return Failure(**(told | changed))


def record(offset: int, key: int = 1, **row: Any) -> StoredRecord:
    after = {"id": key, "name": None, "n": None} | row
    value = envelope("public.things", "u", row=after, before={"id": key}, source_ms=1_700_000_000_000)
    return StoredRecord(PLACE.topic, 0, offset, 1_700_000_000_000, orjson.dumps({"id": key}), value)


class Letters:
    """Implements `ports.LetterTopic`. `start` is the log's; `fault` is raised by the next `delete_before`."""

    def __init__(self) -> None:
        self.records: list[StoredRecord] = []
        self.start = 0
        self.segments: list[int] = []
        self.fault: Exception | None = None
        self.topic = LETTERS.topic

    def _append(self, key: bytes | None, value: bytes | None, headers: Any) -> PayloadReference:
        offset = len(self.records)
        self.records.append(StoredRecord(self.topic, 0, offset, 1, key, value, tuple(headers)))
        return PayloadReference(self.topic, 0, offset)

    async def publish(self, failures: Sequence[tuple[Failure, Record]]) -> Sequence[PayloadReference]:
        return [self._append(record.key, record.value, to_headers(failure, record)) for failure, record in failures]

    async def read(self, references: Collection[PayloadReference]) -> Mapping[PayloadReference, tuple[Failure, Record]]:
        live = [reference for reference in references if self.start <= reference.offset < len(self.records)]
        return {reference: parse(self.records[reference.offset]) for reference in live}

    async def bounds(self) -> Mapping[TopicPartition, tuple[int, int]]:
        return {LETTERS: (self.start, len(self.records))}

    async def letters(self, bounds: Mapping[TopicPartition, tuple[int, int]]) -> AsyncIterator[Sequence[FoundLetter]]:
        ((start, end),) = bounds.values()
        for number in range(max(start, self.start), end, 3):
            chunk = []
            for raw in self.records[number : min(number + 3, end)]:
                try:
                    told, original = parse(raw)
                    chunk.append(FoundLetter(PayloadReference(self.topic, 0, raw.offset), raw, told, original))
                except DecodeError:
                    chunk.append(FoundLetter(PayloadReference(self.topic, 0, raw.offset), raw, None, None))
            yield chunk

    async def ensure_topic(self) -> Sequence[str]:
        return []

    async def copy(self, records: Sequence[Record]) -> Sequence[PayloadReference]:
        return [self._append(raw.key, raw.value, raw.headers) for raw in records]

    async def begin_segment(self) -> None:
        self.segments.append(len(self.records))

    async def delete_before(self, ends: Mapping[TopicPartition, int]) -> None:
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        self.start = ends[LETTERS]

    def told(self) -> list[tuple[str, str | None, int]]:
        """(index, document id, offset) of every letter that can be read."""
        return [(f.index, f.document_id, f.offset) for f, _ in (parse(raw) for raw in self.records[self.start :])]


class QuickClock:
    """A hundred times as fast."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic() * 100

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 100)


async def eventually(condition: Callable[[], Awaitable[Any]]) -> None:
    """Wait for a condition, up to ten seconds."""
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


class Index:
    """The one question that a retry asks of Meilisearch."""

    def __init__(self) -> None:
        self.present: IndexIdentity | None = IndexIdentity("things", "2026-01-01T00:00:00Z", "id")

    async def identity(self, index_uid: str) -> IndexIdentity | None:
        return self.present
