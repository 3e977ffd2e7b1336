"""The same broker and consumer group, driven from a test: topics, records, worker processes and what they wrote down."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

PROGRAM = Path(__file__).with_name("stream_worker.py")


def eventually(condition: Callable[[], Any], within_s: float = 60.0, what: str = "") -> Any:
    """The first true value of the condition."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {within_s} s: {what or condition}")


@dataclass
class Worker:
    """One worker process and its journal."""

    process: subprocess.Popen[bytes]
    journal: Path
    output: Path

    def events(self, *names: str) -> list[dict[str, Any]]:
        if not self.journal.exists():
            return []
        lines = self.journal.read_text().splitlines(keepends=True)
        events = [json.loads(line) for line in lines if line.endswith("\n")]
        return [event for event in events if not names or event["event"] in names]

    def taken(self) -> dict[int, set[int]]:
        """Partition → offsets."""
        offsets: dict[int, set[int]] = defaultdict(set)
        for event in self.events("take"):
            offsets[event["partition"]].update(event["offsets"])
        return offsets

    def owned(self) -> list[list[Any]]:
        changes = self.events("assigned", "revoked")
        return changes[-1]["partitions"] if changes and changes[-1]["event"] == "assigned" else []

    def log(self) -> str:
        return self.output.read_text()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def wait(self, within_s: float) -> int:
        return self.process.wait(within_s)


@dataclass
class Group:
    """A consumer group of worker processes over topics of its own."""

    bootstrap: str
    folder: Path
    name: str
    topics: list[str]
    workers: list[Worker] = field(default_factory=list)

    def start(self, settings: Mapping[str, Any] | None = None, **plan: Any) -> Worker:
        number = len(self.workers)
        journal, output = self.folder / f"journal-{number}", self.folder / f"output-{number}"
        plan["settings"] = {
            "bootstrap_servers": [self.bootstrap],
            "group": self.name,
            "topics": self.topics,
            "session_timeout_s": 6.0,
            "metadata_max_age_s": 1.0,
            **(settings or {}),
        }
        plan["journal"] = str(journal)
        plan_file = self.folder / f"plan-{number}.json"
        plan_file.write_text(json.dumps(plan))
        with output.open("wb") as to:
            process = subprocess.Popen([sys.executable, str(PROGRAM), str(plan_file)], stdout=to, stderr=to)
        worker = Worker(process, journal, output)
        self.workers.append(worker)
        return worker

    def stop(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.kill()

    # -- the broker

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def create(self, topic: str, partitions: int = 1, **config: str) -> None:
        new = NewTopic(topic, partitions, 1, config={name.replace("_", "."): value for name, value in config.items()})
        for created in self.admin.create_topics([new]).values():
            created.result(10)

    def grow(self, topic: str, partitions: int) -> None:
        for grown in self.admin.create_partitions([NewPartitions(topic, partitions)]).values():
            grown.result(10)

    def producer(self, **config: Any) -> Producer:
        return Producer({"bootstrap.servers": self.bootstrap, "log_level": 0, "linger.ms": 5, **config})

    def produce(self, topic: str, count: int, *, partitions: int = 1, value: bytes = b"v" * 100, first: int = 0) -> None:
        producer = self.producer()
        for i in range(first, first + count):
            producer.produce(topic, key=str(i).encode(), value=value, partition=i % partitions)
            if i % 1000 == 0:
                producer.poll(0)
        assert producer.flush(30) == 0

    def committed(self, topic: str, partition: int = 0) -> int:
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.name, "log_level": 0})
        try:
            return int(consumer.committed([TopicPartition(topic, partition)], timeout=10)[0].offset)
        finally:
            consumer.close()

    def commit(self, topic: str, offset: int, partition: int = 0) -> None:
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.name, "log_level": 0})
        consumer.commit(offsets=[TopicPartition(topic, partition, offset)], asynchronous=False)
        consumer.close()

    # -- what the journals say

    def taken(self, topic: str | None = None) -> dict[int, set[int]]:
        offsets: dict[int, set[int]] = defaultdict(set)
        for worker in self.workers:
            for event in worker.events("take"):
                if topic in (None, event["topic"]):
                    offsets[event["partition"]].update(event["offsets"])
        return offsets

    def has_all(self, count: int, *, partitions: int = 1, topic: str | None = None) -> bool:
        taken = self.taken(topic)
        return sum(len(offsets) for offsets in taken.values()) >= count

    def tenures(self) -> Iterator[tuple[Worker, int, str, int, list[dict[str, Any]]]]:
        """Worker, generation, topic, partition, and the chunks taken under them, in order."""
        for worker in self.workers:
            chunks: dict[tuple[int, str, int], list[dict[str, Any]]] = defaultdict(list)
            for event in worker.events("take"):
                chunks[event["generation"], event["topic"], event["partition"]].append(event)
            for (generation, topic, partition), taken in chunks.items():
                yield worker, generation, topic, partition, taken

    def assert_nothing_skipped_or_repeated(self, *, gaps: bool = False) -> None:
        """Each owner saw each offset once, in order, without a hole, and only while it owned the partition.

        `gaps`: the log itself has holes (markers, compaction), so only order counts.
        """
        for worker, generation, topic, partition, chunks in self.tenures():
            offsets = [offset for chunk in chunks for offset in chunk["offsets"]]
            where = f"{topic}/{partition} in generation {generation} of {worker.journal.name}"
            assert offsets == sorted(set(offsets)), f"repeated or out of order: {where}"
            if not gaps:
                assert offsets == list(range(offsets[0], offsets[-1] + 1)), f"skipped: {where}"
            assert all(chunk["next"] > chunk["offsets"][-1] for chunk in chunks), where
        for worker in self.workers:
            owned: set[tuple[str, int]] = set()
            generation = None
            for event in worker.events("assigned", "revoked", "take"):
                if event["event"] == "assigned":
                    owned, generation = {tuple(p) for p in event["partitions"]}, event["generation"]
                elif event["event"] == "revoked":
                    owned = set()
                    assert event["still_owned"] == [], "owned after its revocation"
                else:
                    assert (event["topic"], event["partition"]) in owned, "taken without being assigned"
                    assert event["generation"] == generation
