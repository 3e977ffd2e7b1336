"""The recorded scenarios, the bodies they only describe, and a replay that lists every difference."""

from __future__ import annotations

import gzip
import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx

RECORDINGS = Path(__file__).parent.parent / "fixtures" / "meilisearch-1.50"

DIFFERS_EACH_RUN = {
    "enqueuedAt",
    "startedAt",
    "finishedAt",
    "updatedAt",
    "lastUpdate",
    "expiresAt",
    "duration",
    "processingTimeMs",
    "requestUid",
    "batchUid",
    "databaseSize",
    "usedDatabaseSize",
    "rawDocumentDbSize",
    "avgDocumentSize",
    "progressTrace",
    "batchStrategy",
    "commitSha",
    "commitDate",
    "key",
}
"""Times, durations, uids of batches and requests, sizes on disk, the build, and secrets: present or null alike, but not equal."""

DIFFERS_IN_BATCH_LISTS = {"uid", "total", "from", "next"}
"""How many batches there were depends on how fast the client was."""


@dataclass(frozen=True)
class Scenario:
    name: str
    about: str
    steps: list[dict[str, Any]]

    @property
    def first_task(self) -> int:
        """The uid that gives the scenario its place; one that enqueues nothing comes last."""
        return min(
            (int(step["answer"]["taskUid"]) for step in self.steps if "taskUid" in (step.get("answer") or {})),
            default=sys.maxsize,
        )


def scenarios() -> list[Scenario]:
    """In the order in which they were recorded."""
    found = []
    for path in RECORDINGS.glob("*.jsonl"):
        head, *steps = [json.loads(line) for line in path.read_text().splitlines()]
        found.append(Scenario(head["scenario"], head["about"], steps))
    return sorted(found, key=lambda scenario: scenario.first_task)


@cache
def busy_documents() -> bytes:
    return b"\n".join(b'{"id":%d,"t":"document number %d"}' % (number, number) for number in range(60_000))


def oversized_documents() -> bytes:
    return b"\n".join(b'{"id":%d,"t":"%s"}' % (number, b"x" * 80) for number in range(100_000))


def body_of(step: dict[str, Any]) -> bytes | None:
    """The bytes that were sent, where the recording only describes them."""
    note, body = step.get("note") or "", step.get("body")
    described: dict[str, Callable[[], bytes]] = {
        "gzip": lambda: gzip.compress(b'{"id":2}\n{"id":3}'),
        "broken gzip": lambda: gzip.compress(b'{"id":2}\n{"id":3}')[:12],
        "invalid UTF-8 in a string: bytes ff fe": lambda: b'{"id":16,"v":"\xff\xfe"}',
        "9196889 bytes NDJSON, plain": oversized_documents,
        "the same, gzip": lambda: gzip.compress(oversized_documents()),
    }
    if body is None and note in described:
        return described[note]()
    if note == "1,500,000 ids to delete":
        return json.dumps(list(range(1_500_000))).encode()
    if isinstance(body, str) and body.startswith("60,000 documents"):
        return busy_documents()
    if body == "id and 500,000 characters of text":
        return json.dumps([{"id": 7, "a": "word " * 100_000}]).encode()
    if body is None:
        return None
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


@dataclass
class Replay:
    """Plays scenarios one after the other against a fresh server, and remembers what links one answer to the next."""

    client: httpx.Client
    master_key: str
    scoped_key: str = ""
    created: dict[str, str] = field(default_factory=dict)
    batches: dict[int, int] = field(default_factory=dict)

    def play(self, scenario: Scenario) -> list[str]:
        """Every difference, as text."""
        found = []
        for step in scenario.steps:
            if "task" in step:
                found += self._compare(f"task {step['task']['uid']}", step["task"], self._finished(step["task"]))
                continue
            found += self._exchange(step)
        return found

    def _exchange(self, step: dict[str, Any]) -> list[str]:
        name = f"{step['method']} {step['path']} {json.dumps(step.get('body'))[:80]}"
        headers = dict(step.get("headers") or {})
        if step.get("contentType"):
            headers["Content-Type"] = step["contentType"]
        token = {"master": self.master_key, "scoped": self.scoped_key, "wrong": "no key of this server"}.get(
            step.get("auth") or ""
        )
        if token:
            headers["Authorization"] = f"Bearer {token}"
        path = re.sub(r"batchUids=(\d+)", lambda match: f"batchUids={self.batches[int(match[1])]}", step["path"])
        response = self.client.request(step["method"], path, content=body_of(step), headers=headers)
        if response.status_code != step["status"]:
            return [f"{name}: status {response.status_code} instead of {step['status']}: {response.text}"]
        answer = response.json() if response.content else None
        if step["path"] == "/keys" and response.status_code == 201:
            self.scoped_key = answer["key"]
        if step["auth"] == "scoped" and step["path"].startswith("/batches"):
            return []  # A coincidence of uids; see the README of the recordings.
        return self._compare(name, step["answer"], answer, extra=DIFFERS_IN_BATCH_LISTS if "/batches" in step["path"] else set())

    def _finished(self, expected: dict[str, Any]) -> Any:
        deadline = time.monotonic() + 60
        while True:
            response = self.client.get(f"/tasks/{expected['uid']}", headers={"Authorization": f"Bearer {self.master_key}"})
            task = response.json()
            if task.get("status") not in {"enqueued", "processing"}:
                if task.get("batchUid") is not None:
                    self.batches[expected["batchUid"]] = task["batchUid"]
                return task
            if time.monotonic() > deadline:
                return task
            time.sleep(0.005)

    def _compare(self, where: str, expected: Any, actual: Any, extra: set[str] | None = None, inside: str = "") -> list[str]:
        if isinstance(expected, dict) and isinstance(actual, dict):
            found = []
            for key in expected.keys() | actual.keys():
                spot = f"{where}: {inside}.{key}"
                if key not in actual or key not in expected:
                    found.append(f"{spot} {'is missing' if key not in actual else f'was not recorded: {actual[key]}'}")
                elif key == "createdAt":
                    found += self._same_moment(spot, expected[key], actual[key])
                elif key in DIFFERS_EACH_RUN | (extra or set()) or (key == "uid" and "actions" in expected):
                    if (expected[key] is None) != (actual[key] is None):
                        found.append(f"{spot} is {actual[key]!r} instead of {expected[key]!r}")
                else:
                    found += self._compare(where, expected[key], actual[key], extra, f"{inside}.{key}")
            return found
        if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
            return [
                difference
                for position, (one, other) in enumerate(zip(expected, actual, strict=True))
                for difference in self._compare(where, one, other, extra, f"{inside}[{position}]")
            ]
        same = expected == actual and type(expected) is type(actual)
        return [] if same else [f"{where}: {inside} is {str(actual)[:600]!r} instead of {str(expected)[:600]!r}"]

    def _same_moment(self, where: str, expected: str, actual: str) -> list[str]:
        """Creation times differ, but one index keeps its own: it travels with a swap."""
        known = self.created.setdefault(expected, actual)
        return [] if known == actual else [f"{where} belongs to another index"]
