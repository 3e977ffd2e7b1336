"""The bare side: one Meilisearch asked directly, over one kept connection."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import httpx
import orjson

from benchmarks.harness import NotMeasuredError, until
from sync_worker.testing.stack import Stack

PAYLOAD = 50_000
"""Documents in one payload: what Meilisearch's documentation recommends for bulk loads."""


class Server:
    """Everything that a figure asks of Meilisearch, with the master key."""

    def __init__(self, stack: Stack) -> None:
        self._client = httpx.Client(
            base_url=stack.meili_url, headers={"Authorization": f"Bearer {stack.meili_key}"}, timeout=120, trust_env=False
        )

    def create(self, uid: str, settings: Mapping[str, Any]) -> None:
        """An empty index with these settings."""
        self.applied(self._asked("POST", "/indexes", {"uid": uid, "primaryKey": "id"})["taskUid"])
        self.applied(self._asked("PATCH", f"/indexes/{uid}/settings", settings)["taskUid"])

    def delete(self, uid: str) -> None:
        self.applied(self._asked("DELETE", f"/indexes/{uid}")["taskUid"])

    def post(self, uid: str, lines: Sequence[bytes]) -> int:
        """The accepted task's uid."""
        answer = self._client.post(
            f"/indexes/{uid}/documents", content=b"\n".join(lines), headers={"Content-Type": "application/x-ndjson"}
        )
        return int(answer.raise_for_status().json()["taskUid"])

    def load(self, uid: str, lines: Iterator[bytes]) -> int:
        """Post all lines in payloads while they come, and wait until all are searchable; how many."""
        tasks: list[int] = []
        payload: list[bytes] = []
        count = 0
        for line in lines:
            payload.append(line)
            count += 1
            if len(payload) == PAYLOAD:
                tasks.append(self.post(uid, payload))
                payload = []
        if payload:
            tasks.append(self.post(uid, payload))
        for task in tasks:
            self.applied(task)
        return count

    def applied(self, task_uid: int, *, every_s: float = 0.01) -> Mapping[str, Any]:
        """The task once it has succeeded. Raises NotMeasuredError where it did not."""
        while (task := self._asked("GET", f"/tasks/{task_uid}"))["status"] in ("enqueued", "processing"):
            time.sleep(every_s)
        if task["status"] != "succeeded":
            raise NotMeasuredError(f"task {task_uid} {task['status']}: {task['error']}")
        return dict(task)

    def until_searchable(self, uid: str, count: int, *, within_s: float) -> float:
        """Seconds until the index holds `count` documents and has nothing left to do."""

        def all_there() -> bool:
            return self.count(uid) == count and not self.busy(uid)

        return until(all_there, f"{count:,} documents in {uid}", within_s=within_s)

    def count(self, uid: str) -> int:
        return int(self._asked("GET", f"/indexes/{uid}/stats")["numberOfDocuments"])

    def busy(self, uid: str) -> bool:
        return int(self._asked("GET", f"/tasks?indexUids={uid}&statuses=enqueued,processing&limit=1")["total"]) > 0

    def document(self, uid: str, document_id: int, field: str) -> Any:
        """One field of one document as readers see it now."""
        return self._asked("GET", f"/indexes/{uid}/documents/{document_id}?fields={field}")[field]

    def matching(self, uid: str, condition: str) -> int:
        """How many documents match the filter, as readers see the index now."""
        return int(self._asked("POST", f"/indexes/{uid}/documents/fetch", {"filter": condition, "limit": 1})["total"])

    def task(self, task_uid: int) -> Mapping[str, Any]:
        return dict(self._asked("GET", f"/tasks/{task_uid}"))

    def batches(self, uid: str) -> str:
        """The server batches that wrote the index: documents, and from when to when, in seconds since the first began."""
        found = self._asked("GET", f"/batches?indexUids={uid}&types=documentAdditionOrUpdate&limit=1000&reverse=true")["results"]
        times = [
            (moment(batch["startedAt"]), moment(batch["finishedAt"]), batch["details"]["receivedDocuments"]) for batch in found
        ]
        return ", ".join(f"{count:,} {began - times[0][0]:.1f} to {ended - times[0][0]:.1f}" for began, ended, count in times)

    def patch_settings(self, uid: str, settings: Mapping[str, Any]) -> None:
        self.applied(self._asked("PATCH", f"/indexes/{uid}/settings", settings)["taskUid"])

    def close(self) -> None:
        self._client.close()

    def _asked(self, method: str, path: str, body: object = None) -> Any:
        content = None if body is None else orjson.dumps(body)
        answer = self._client.request(method, path, content=content, headers={"Content-Type": "application/json"})
        return orjson.loads(answer.raise_for_status().content)


def moment(text: str) -> float:
    """Seconds since 1970 of Meilisearch's RFC 3339 with nanoseconds."""
    head, _, rest = text.partition(".")
    return datetime.fromisoformat(f"{head}+00:00").timestamp() + float(f"0.{rest.rstrip('Z') or 0}")
