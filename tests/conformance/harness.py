"""A server under test, and the few calls that the conformance tests are written in."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any

import httpx
import orjson
from recordings import busy_documents

_numbers = itertools.count()


class Server:
    """`payload_limit` is in bytes; None when the server was not started by the suite."""

    def __init__(self, url: str, master_key: str, payload_limit: int | None) -> None:
        self.url = url
        self.master_key = master_key
        self.payload_limit = payload_limit
        # A connection for each request: a real server closes the one whose body it refused to read, when nobody expects it.
        self.client = httpx.Client(base_url=url, timeout=120, limits=httpx.Limits(max_keepalive_connections=0))

    def call(self, method: str, path: str, body: Any = None, key: str | None = None, **headers: str) -> httpx.Response:
        headers["Authorization"] = f"Bearer {key or self.master_key}"
        if body is not None and "content_type" not in headers:
            headers["Content-Type"] = "application/json"
        elif "content_type" in headers:
            headers["Content-Type"] = headers.pop("content_type")
        content = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
        return self.client.request(method, path, content=content, headers=headers)

    def get(self, path: str, key: str | None = None) -> Any:
        return self.call("GET", path, key=key).json()

    def enqueue(self, method: str, path: str, body: Any = None, key: str | None = None) -> int:
        response = self.call(method, path, body, key)
        assert response.status_code in {200, 202}, response.text
        return int(response.json()["taskUid"])

    def finished(self, *uids: int) -> list[dict[str, Any]]:
        """The tasks, once all are finished, in the order asked for."""
        deadline = time.monotonic() + 120
        asked = ",".join(map(str, uids))
        while True:
            tasks = {task["uid"]: task for task in self.get(f"/tasks?uids={asked}&limit={len(uids)}")["results"]}
            if all(uid in tasks and tasks[uid]["finishedAt"] for uid in uids):
                return [tasks[uid] for uid in uids]
            assert time.monotonic() < deadline, f"tasks {asked} did not finish"
            time.sleep(0.01)

    def done(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        return self.finished(self.enqueue(method, path, body))[0]

    def new_index(self, settings: dict[str, Any] | None = None, prefix: str = "c") -> str:
        uid = f"{prefix}-{time.time_ns()}-{next(_numbers)}"
        self.done("POST", "/indexes", {"uid": uid, "primaryKey": "id"})
        if settings:
            self.done("PATCH", f"/indexes/{uid}/settings", settings)
        return uid

    def keep_busy(self) -> int:
        """A batch that lasts long enough for what is enqueued next to wait behind it."""
        busy = f"busy-{time.time_ns()}"
        task = self.call(
            "POST", f"/indexes/{busy}/documents?primaryKey=id", busy_documents(), content_type="application/x-ndjson"
        )
        uid = int(task.json()["taskUid"])
        deadline = time.monotonic() + 10
        while self.get(f"/tasks/{uid}")["status"] == "enqueued" and time.monotonic() < deadline:
            time.sleep(0.001)
        return uid

    def documents(self, index_uid: str) -> list[dict[str, Any]]:
        return list(self.call("POST", f"/indexes/{index_uid}/documents/fetch", {"limit": 1000}).json()["results"])

    def scoped_key(self, actions: Sequence[str], indexes: Sequence[str]) -> str:
        body = {"description": "conformance", "actions": list(actions), "indexes": list(indexes), "expiresAt": None}
        return str(self.call("POST", "/keys", body).json()["key"])
