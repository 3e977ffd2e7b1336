"""The bare side of `agent`: what anybody would write with confluent-kafka in one process."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence

from confluent_kafka import Consumer, TopicPartition

from benchmarks.cities import declaration
from sync_worker.change.decode import decode
from sync_worker.document.action import Write
from sync_worker.document.projection import Projector

_PAYLOAD = 50_000
_CONSUME = 5_000


class _Record:
    """As little as `decode` needs."""

    __slots__ = ("headers", "key", "offset", "partition", "timestamp", "topic", "value")

    def __init__(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        self.topic, self.key, self.value = topic, key, value
        self.partition = self.offset = self.timestamp = 0
        self.headers: Sequence[tuple[str, bytes]] = ()


def main(servers: str, topic: str, count: int) -> dict[str, float]:
    """Seconds, and seconds of processor time, from the first fetch to the last encoded payload."""
    projector = Projector(declaration())
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "bare", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    lines: dict[str, bytes] = {}
    seen = payload_bytes = 0
    began, processor = time.perf_counter(), time.process_time()
    while seen < count:
        # No more than are left: it waits until it has as many as it was asked for.
        messages = consumer.consume(min(_CONSUME, count - seen), 30.0)
        if not messages:
            raise SystemExit(f"nothing came for 30 s after {seen} of {count} records")
        for message in messages:
            change = decode(_Record(topic, message.key(), message.value()))
            if change is None:
                continue
            action = projector.project(change)
            if isinstance(action, Write):
                lines[action.document_id] = action.line
        seen += len(messages)
        if len(lines) >= _PAYLOAD or seen >= count:
            payload_bytes += len(b"\n".join(lines.values()))
            lines = {}
    took = {"wall_s": time.perf_counter() - began, "processor_s": time.process_time() - processor}
    consumer.close()
    return took


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
