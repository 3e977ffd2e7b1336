"""What a key that names indexes can and cannot see."""

from __future__ import annotations

import time

from harness import Server

WORKER = ["documents.add", "documents.get", "documents.delete", "tasks.get", "stats.get", "settings.get", "indexes.get"]


def _prefix() -> str:
    return f"k{time.time_ns()}"


def test_pages_are_cut_before_what_is_hidden_is_dropped(server: Server) -> None:
    """A page may be short, or empty, while more is to come: the worker asks by uid or by index."""
    prefix = _prefix()
    mine, theirs = server.new_index(prefix=prefix), server.new_index()
    key = server.scoped_key(WORKER, [f"{prefix}*"])
    seen = server.done("POST", f"/indexes/{mine}/documents", [{"id": 1}])["uid"]
    hidden = [server.done("POST", f"/indexes/{theirs}/documents", [{"id": number}])["uid"] for number in range(3)]
    page = server.get(f"/tasks?from={hidden[-1]}&limit=2", key)
    assert (page["results"], page["next"]) == ([], None)
    assert [task["uid"] for task in server.get(f"/tasks?indexUids={mine}&limit=1", key)["results"]] == [seen]


def test_a_swap_is_allowed_and_its_task_hidden(server: Server) -> None:
    """404 by uid, absent from lists; `createdAt` tells."""
    prefix = _prefix()
    one, two = server.new_index(prefix=prefix), server.new_index(prefix=prefix)
    key = server.scoped_key([*WORKER, "indexes.swap"], [f"{prefix}*"])
    before = server.get(f"/indexes/{one}", key)["createdAt"]
    swap = server.enqueue("POST", "/swap-indexes", [{"indexes": [one, two]}], key)
    server.finished(swap)
    assert server.call("GET", f"/tasks/{swap}", key=key).status_code == 404
    assert server.get(f"/tasks?uids={swap}", key)["results"] == []
    assert server.get(f"/indexes/{two}", key)["createdAt"] == before


def test_batches_of_its_own_indexes_are_visible_unless_a_uid_collides(server: Server) -> None:
    """1.50 hides from restricted lists a batch whose uid equals that of a swap's task, so nobody may rely on `/batches`."""
    prefix = _prefix()
    mine = server.new_index(prefix=prefix)
    key = server.scoped_key(WORKER, [f"{prefix}*"])
    task = server.done("POST", f"/indexes/{mine}/documents", [{"id": 1}])
    namesake = server.call("GET", f"/tasks/{task['batchUid']}").json()
    collides = "uid" in namesake and namesake["indexUid"] is None
    answer = server.call("GET", f"/batches/{task['batchUid']}", key=key)
    assert answer.status_code == (404 if collides else 200)


def test_a_write_to_a_missing_index_creates_nothing_without_the_right(server: Server) -> None:
    """The worker's key cannot bring a deleted index back by a late write."""
    prefix = _prefix()
    key = server.scoped_key(WORKER, [f"{prefix}*"])
    uid = server.enqueue("POST", f"/indexes/{prefix}-absent/documents", [{"id": 1}], key)
    (task,) = server.finished(uid)
    assert task["error"]["code"] == "index_not_found"
    assert server.call("GET", f"/indexes/{prefix}-absent").status_code == 404


def test_a_deleted_key_is_refused_at_once(server: Server) -> None:
    """403 `invalid_api_key` on the next request."""
    prefix = _prefix()
    mine = server.new_index(prefix=prefix)
    key = server.scoped_key(WORKER, [mine])
    assert server.call("GET", f"/indexes/{mine}/stats", key=key).status_code == 200
    assert server.call("DELETE", f"/keys/{key}").status_code == 204
    refused = server.call("GET", f"/indexes/{mine}/stats", key=key)
    assert (refused.status_code, refused.json()["code"]) == (403, "invalid_api_key")
