"""The index as a searcher sees it, and the administrator's one hand-made change."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from sync_worker.testing.demo.waiting import NotObservedError

_DOCUMENTS_AT_ONCE = 1_000_000


class Search:
    """Asks one Meilisearch over a kept connection, with the administrator's key."""

    def __init__(self, url: str, key: str) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(base_url=url, headers=headers, timeout=30)

    def close(self) -> None:
        self._client.close()

    def hits(self, uid: str, words: str, *, where: str | None = None) -> Sequence[Mapping[str, Any]]:
        """The first hits of a search, best first."""
        asked = {"q": words, "limit": 5, "filter": where}
        found: Sequence[Mapping[str, Any]] = self._asked("POST", f"/indexes/{uid}/search", asked)["hits"]
        return found

    def count(self, uid: str) -> int:
        return int(self._asked("GET", f"/indexes/{uid}/stats")["numberOfDocuments"])

    def unfinished(self, *uids: str) -> tuple[int, int]:
        """How many tasks of these indexes are enqueued, and how many are being processed."""

        def total(status: str) -> int:
            return int(self._asked("GET", f"/tasks?limit=1&indexUids={','.join(uids)}&statuses={status}")["total"])

        return total("enqueued"), total("processing")

    def ids(self, uid: str, field: str) -> set[str]:
        """The id of every document, from one look at the index."""
        asked = {"fields": [field], "limit": _DOCUMENTS_AT_ONCE}
        return {str(found[field]) for found in self._asked("POST", f"/indexes/{uid}/documents/fetch", asked)["results"]}

    def has_index(self, uid: str) -> bool:
        return self._client.get(f"/indexes/{uid}").status_code != httpx.codes.NOT_FOUND

    def key_uids(self) -> set[str]:
        return {key["uid"] for key in self._asked("GET", "/keys?limit=1000")["results"]}

    def delete_key(self, uid: str) -> None:
        self._client.delete(f"/keys/{uid}").raise_for_status()

    def delete_index(self, uid: str) -> None:
        self._applied(self._client.delete(f"/indexes/{uid}").raise_for_status().json()["taskUid"])

    def add_embedder(self, uid: str, name: str, dimensions: int) -> None:
        """What somebody does by hand: the declaration in the worker's configuration does not know of it."""
        embedder = {name: {"source": "userProvided", "dimensions": dimensions}}
        self._applied(self._asked("PATCH", f"/indexes/{uid}/settings", {"embedders": embedder})["taskUid"])

    def _applied(self, task_uid: int) -> None:
        while (task := self._asked("GET", f"/tasks/{task_uid}"))["status"] in ("enqueued", "processing"):
            time.sleep(0.01)
        if task["status"] != "succeeded":
            raise NotObservedError(f"Meilisearch: task {task_uid} {task['status']}: {task['error']}")

    def _asked(self, method: str, path: str, body: object = None) -> Any:
        return self._client.request(method, path, json=body).raise_for_status().json()
