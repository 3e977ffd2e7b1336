"""The task lists that settling polls."""

from __future__ import annotations

import gzip

import pytest
from harness import Server


def _uids(server: Server, query: str) -> list[int]:
    return [task["uid"] for task in server.get(f"/tasks?{query}")["results"]]


def test_the_oldest_unfinished_task_of_an_index(server: Server) -> None:
    """All tasks of the index below it are finished."""
    index = server.new_index()
    finished = server.done("POST", f"/indexes/{index}/documents", [{"id": 0}])["uid"]
    server.keep_busy()
    waiting = [server.enqueue("POST", f"/indexes/{index}/documents", [{"id": number}]) for number in (1, 2)]
    oldest = _uids(server, f"indexUids={index}&statuses=enqueued,processing&reverse=true&limit=1")
    assert oldest == waiting[:1]
    assert finished < oldest[0]
    server.finished(*waiting)
    assert _uids(server, f"indexUids={index}&statuses=enqueued,processing&reverse=true&limit=1") == []


def test_failures_from_a_watermark_on(server: Server) -> None:
    """`from` with `reverse` walks upwards and includes the watermark."""
    index = server.new_index()
    bad = [server.done("POST", f"/indexes/{index}/documents", [{"id": "a b"}])["uid"] for _ in range(3)]
    server.done("POST", f"/indexes/{index}/documents", [{"id": 1}])
    query = f"indexUids={index}&statuses=failed,canceled&reverse=true"
    assert _uids(server, f"{query}&from={bad[1]}") == bad[1:]
    assert _uids(server, f"{query}&from={bad[1]}&limit=1") == bad[1:2]
    assert server.get(f"/tasks?{query}&limit=2")["next"] == bad[2]


def test_many_tasks_by_uid_in_one_call(server: Server) -> None:
    """Unknown uids do not come back, and are no error."""
    index = server.new_index()
    uids = [server.enqueue("POST", f"/indexes/{index}/documents", [{"id": number}]) for number in range(30)]
    server.finished(*uids)
    asked = ",".join(map(str, [*uids, 99_999_999]))
    assert _uids(server, f"uids={asked}&limit=1000") == uids[::-1]
    assert server.get(f"/tasks?uids={asked}&limit=5")["next"] == uids[24]


def test_deleted_tasks_do_not_come_back(server: Server) -> None:
    """As with tasks that the server pruned by itself."""
    index = server.new_index()
    kept, gone = (server.done("POST", f"/indexes/{index}/documents", [{"id": number}])["uid"] for number in (1, 2))
    server.done("DELETE", f"/tasks?uids={gone}")
    assert _uids(server, f"uids={kept},{gone}") == [kept]
    assert server.call("GET", f"/tasks/{gone}").json()["code"] == "task_not_found"


def test_custom_metadata_comes_back_with_every_write(server: Server) -> None:
    """Additions, deletions and clears carry it into the task list."""
    index = server.new_index()
    server.done("POST", f"/indexes/{index}/documents?customMetadata=g%2F1", [{"id": 1}])
    server.done("POST", f"/indexes/{index}/documents/delete-batch?customMetadata=g%2F2", [1])
    server.done("DELETE", f"/indexes/{index}/documents?customMetadata=g%2F3")
    listed = server.get(f"/tasks?indexUids={index}&limit=3")["results"]
    assert [task["customMetadata"] for task in listed] == ["g/3", "g/2", "g/1"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_payloads_count_decompressed(server: Server, encoding: str) -> None:
    """The payload limit is about the documents, not about the bytes on the wire."""
    import zlib

    if server.payload_limit is None:
        pytest.skip("the payload limit of the server behind MEILI_URL is not known")
    index = server.new_index()
    compress = gzip.compress if encoding == "gzip" else zlib.compress
    documents = b"\n".join(b'{"id":%d,"t":"%s"}' % (number, b"x" * 900) for number in range(10_000))
    path, headers = f"/indexes/{index}/documents", {"content_type": "application/x-ndjson", "Content-Encoding": encoding}
    assert server.call("POST", path, compress(documents), **headers).status_code == 413
    assert server.call("POST", path, compress(documents[:700_000].rpartition(b"\n")[0]), **headers).status_code == 202
