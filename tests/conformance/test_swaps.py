"""What a swap does to names, creation times, history and waiting tasks."""

from __future__ import annotations

from harness import Server


def test_creation_times_travel_with_the_indexes(server: Server) -> None:
    """`createdAt` shows that a swap was done, even to a key that cannot see its task."""
    one, two = server.new_index(), server.new_index()
    before = [server.get(f"/indexes/{index}")["createdAt"] for index in (one, two)]
    server.done("POST", "/swap-indexes", [{"indexes": [one, two]}])
    after = [server.get(f"/indexes/{index}")["createdAt"] for index in (one, two)]
    assert after == before[::-1]


def test_a_swap_is_a_barrier(server: Server) -> None:
    """Writes before it land in the old index, writes after it in the new one, whatever waits."""
    one, two = server.new_index(), server.new_index()
    server.keep_busy()
    before = server.enqueue("POST", f"/indexes/{one}/documents", [{"id": "before"}])
    swap = server.enqueue("POST", "/swap-indexes", [{"indexes": [one, two]}])
    after = server.enqueue("POST", f"/indexes/{one}/documents", [{"id": "after"}])
    tasks = server.finished(before, swap, after)
    assert [task["status"] for task in tasks] == ["succeeded"] * 3
    assert server.documents(one) == [{"id": "after"}]
    assert server.documents(two) == [{"id": "before"}]


def test_finished_tasks_change_their_index_with_the_names(server: Server) -> None:
    """So a task is asked for by its uid, never by the index it was sent to."""
    one, two = server.new_index(), server.new_index()
    task = server.done("POST", f"/indexes/{one}/documents", [{"id": 1}])
    server.done("POST", "/swap-indexes", [{"indexes": [one, two]}])
    assert server.get(f"/tasks/{task['uid']}")["indexUid"] == two
    listed = server.get(f"/tasks?indexUids={one}&limit=100")
    assert task["uid"] not in [entry["uid"] for entry in listed["results"]]
    assert all(entry["type"] != "indexSwap" for entry in listed["results"])


def test_renaming_onto_a_taken_name_fails(server: Server) -> None:
    """`rename` wants a free name; both indexes stay as they were."""
    one, two = server.new_index(), server.new_index()
    before = server.get(f"/indexes/{one}")
    task = server.done("POST", "/swap-indexes", [{"indexes": [one, two], "rename": True}])
    assert task["status"] == "failed"
    assert task["error"]["code"] == "index_already_exists"
    assert server.get(f"/indexes/{one}") == before
