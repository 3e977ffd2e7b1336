"""`python -m benchmarks.agent_steps [ROWS]`: µs of processor time a record that each step of the agent takes, without a broker.

Chunk by chunk as the worker does it, so that what one step leaves in the caches serves the next; the best of several runs.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from benchmarks import cities
from sync_worker.adapters.clock import SystemClock
from sync_worker.batch.coalesce import Batch
from sync_worker.change.decode import decode
from sync_worker.change.model import TopicPartition
from sync_worker.document.projection import Projector
from sync_worker.pipeline.as_new_as_the_log import RowsAsNewAsTheLog
from sync_worker.pipeline.model import Index
from sync_worker.pipeline.translate import Translator
from sync_worker.testing.memory import MemorySource
from sync_worker.wiring.collector import calm_collector

_ROUNDS = 3
_CHUNK = 5_000
_PAYLOAD = 50_000
_PLACE = TopicPartition("steps.public.cities", 0)
_BATCH_BYTES = 16 * 1024


def main(rows: int) -> None:
    calm_collector()
    batches = list(_batches(rows))
    rounds = [asyncio.run(_round(batches)) for _ in range(_ROUNDS)]
    for step in rounds[0]:
        print(f"{step:45}{min(one[step] for one in rounds):6.2f}")


async def _round(batches: Sequence[bytes]) -> dict[str, float]:
    index = cities.declaration()
    projector = Projector(index)
    target = Index("cities", "cities", index.table, _PLACE.topic, index.id_field, projector, None, None, "clear", 90_000_000)  # type: ignore[arg-type]
    translator = Translator(RowsAsNewAsTheLog(MemorySource()), SystemClock())
    spent: defaultdict[str, float] = defaultdict(float)
    batch, count = Batch(), 0
    source = iter(batches)
    while parsed := _timed(spent, "parse, with checksum", lambda: [r for one in islice(source, 220) for r in _parsed(one)]):
        count += len(parsed)
        for start in range(0, len(parsed), _CHUNK):
            chunk = parsed[start : start + _CHUNK]
            changes = _timed(spent, "decode", lambda chunk=chunk: [decode(record) for record in chunk])
            _timed(spent, "project, encode the line", lambda changes=changes: [projector.project(one) for one in changes])
            del changes
            began = time.thread_time()
            translation = await translator.translate(chunk, _PLACE, "", [target])
            spent["translate: decode, project, note the offset"] += time.thread_time() - began
            steps = translation.steps["cities"]
            _timed(spent, "coalesce", lambda steps=steps, held=batch: held.put_all(steps))
        if len(batch) >= _PAYLOAD:
            _timed(spent, "join into a payload", lambda held=batch: b"\n".join([line for _, line in held.writes()]))
            batch = Batch()
    return {step: 1e6 * seconds / count for step, seconds in spent.items()}


def _timed(spent: dict[str, float], step: str, work: Any) -> Any:
    began = time.thread_time()
    result = work()
    spent[step] += time.thread_time() - began
    return result


def _parsed(raw: bytes) -> Iterator[Any]:
    batch: Any = MemoryRecords(raw).next_batch()
    batch.validate_crc()
    return iter(batch)


def _batches(rows: int) -> Iterator[bytes]:
    builder, number = None, 0
    for key, value in cities.snapshot_events(cities.rows(rows)):
        if builder is None or builder.append(number, 0, key, value, cities.HEADERS) is None:
            if builder is not None:
                yield bytes(builder.build())
            builder, number = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, _BATCH_BYTES), 0
            builder.append(number, 0, key, value, cities.HEADERS)
        number += 1
    if builder is not None:
        yield bytes(builder.build())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else cities.ALL)
