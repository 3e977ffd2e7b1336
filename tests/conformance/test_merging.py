"""How the server merges enqueued tasks into batches: the rules that flushing and isolation rest on."""

from __future__ import annotations

from harness import Server


def _add(server: Server, index: str, *ids: int, value: int = 0) -> int:
    return server.enqueue("POST", f"/indexes/{index}/documents", [{"id": uid, "v": value} for uid in ids])


def test_additions_and_deletions_that_wait_share_one_batch(server: Server) -> None:
    """POST, PUT and deletes by id merge, and their order inside the batch is that of acceptance."""
    index = server.new_index()
    server.keep_busy()
    first = _add(server, index, 1, 2, value=1)
    second = server.enqueue("PUT", f"/indexes/{index}/documents", [{"id": 1, "w": 2}])
    third = server.enqueue("POST", f"/indexes/{index}/documents/delete-batch", [2, 9])
    fourth = _add(server, index, 3, value=4)
    tasks = server.finished(first, second, third, fourth)
    assert len({task["batchUid"] for task in tasks}) == 1
    assert server.documents(index) == [{"id": 1, "v": 1, "w": 2}, {"id": 3, "v": 4}]
    assert tasks[2]["details"]["deletedDocuments"] == 2, "beside additions the server counts the ids it was given"


def test_settings_never_share_a_batch_with_documents(server: Server) -> None:
    """A settings task parts what comes before it from what comes after it."""
    index = server.new_index()
    server.keep_busy()
    before = _add(server, index, 1)
    settings = server.enqueue("PATCH", f"/indexes/{index}/settings", {"filterableAttributes": ["v"]})
    after = _add(server, index, 2)
    batches = [task["batchUid"] for task in server.finished(before, settings, after)]
    assert batches == sorted(batches)
    assert len(set(batches)) == 3


def test_a_delete_by_filter_does_not_join_additions_before_it(server: Server) -> None:
    """It starts a batch of its own, which later additions may join."""
    index = server.new_index({"filterableAttributes": ["v"]})
    server.keep_busy()
    added = _add(server, index, 1, 2, value=1)
    deleted = server.enqueue("POST", f"/indexes/{index}/documents/delete", {"filter": "v = 1"})
    again = _add(server, index, 3, value=1)
    first, second, third = server.finished(added, deleted, again)
    assert first["batchUid"] < second["batchUid"] == third["batchUid"]
    assert server.documents(index) == [{"id": 3, "v": 1}]


def test_clearing_makes_the_whole_batch_a_clear(server: Server) -> None:
    """Additions before a clear are swallowed by it; additions after it wait for the next batch."""
    index = server.new_index()
    _, kept = server.finished(_add(server, index, 1), _add(server, index, 7))
    assert kept["status"] == "succeeded"
    server.keep_busy()
    added = _add(server, index, 2)
    cleared = server.enqueue("DELETE", f"/indexes/{index}/documents")
    after = _add(server, index, 3)
    first, second, third = server.finished(added, cleared, after)
    assert first["batchUid"] == second["batchUid"] < third["batchUid"]
    assert (first["details"]["indexedDocuments"], second["details"]["deletedDocuments"]) == (None, 2)
    assert server.documents(index) == [{"id": 3, "v": 0}]


def test_solitude_shows_in_the_tasks_of_a_batch(server: Server) -> None:
    """`/tasks?batchUids=` names everyone who shared a batch, and nobody else."""
    index, other = server.new_index(), server.new_index()
    server.keep_busy()
    together = [_add(server, index, 1), _add(server, index, 2)]
    alone = _add(server, other, 1)
    first, _, third = server.finished(*together, alone)
    shared = server.get(f"/tasks?batchUids={first['batchUid']}")["results"]
    lonely = server.get(f"/tasks?batchUids={third['batchUid']}")["results"]
    assert [task["uid"] for task in shared] == together[::-1]
    assert [task["uid"] for task in lonely] == [alone]


def test_tasks_of_two_indexes_overtake_each_other(server: Server) -> None:
    """A batch takes all that waits of its index: the newest uid being done proves nothing about another index."""
    one, two = server.new_index(), server.new_index()
    server.keep_busy()
    first, second, third = _add(server, one, 1), _add(server, two, 1), _add(server, one, 2)
    tasks = server.finished(first, second, third)
    assert tasks[0]["batchUid"] == tasks[2]["batchUid"] < tasks[1]["batchUid"]


def test_a_bad_id_fails_its_own_task_and_drops_its_whole_payload(server: Server) -> None:
    """The tasks merged with it succeed; its own good documents do not arrive."""
    index = server.new_index()
    server.keep_busy()
    good = _add(server, index, 1)
    bad = server.enqueue("POST", f"/indexes/{index}/documents", [{"id": 2}, {"id": "not ok"}])
    late = _add(server, index, 3)
    statuses = [task["status"] for task in server.finished(good, bad, late)]
    assert statuses == ["succeeded", "failed", "succeeded"]
    assert [document["id"] for document in server.documents(index)] == [1, 3]


def test_an_empty_id_to_delete_fails_everything_merged_with_it(server: Server) -> None:
    """Not validated, `internal`, and the neighbours go with it."""
    index = server.new_index()
    server.keep_busy()
    added = _add(server, index, 1)
    empty = server.enqueue("POST", f"/indexes/{index}/documents/delete-batch", [""])
    tasks = server.finished(added, empty)
    assert [task["error"]["code"] for task in tasks] == ["internal", "internal"]
    assert server.documents(index) == []


def test_poison_that_is_overwritten_in_its_own_batch_does_no_harm(server: Server) -> None:
    """Only the last version of a document is looked at."""
    index = server.new_index({"filterableAttributes": ["_geo"]})
    server.keep_busy()
    poison = server.enqueue("POST", f"/indexes/{index}/documents", [{"id": 1, "_geo": "bad"}])
    cure = server.enqueue("POST", f"/indexes/{index}/documents", [{"id": 1, "_geo": None}])
    assert [task["status"] for task in server.finished(poison, cure)] == ["succeeded", "succeeded"]


def test_an_index_deletion_takes_the_waiting_writes_with_it(server: Server) -> None:
    """They succeed, and nothing of them remains."""
    index = server.new_index()
    server.keep_busy()
    added = _add(server, index, 1)
    deleted = server.enqueue("DELETE", f"/indexes/{index}")
    tasks = server.finished(added, deleted)
    assert [task["status"] for task in tasks] == ["succeeded", "succeeded"]
    assert tasks[0]["batchUid"] == tasks[1]["batchUid"]
    assert server.call("GET", f"/indexes/{index}").status_code == 404
