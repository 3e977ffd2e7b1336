"""The requests that the sink makes, as a server sees them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sync_worker.adapters.meilisearch.client import MeilisearchSink
from sync_worker.adapters.meilisearch.task import seconds
from sync_worker.adapters.meilisearch.transport import _compress_from
from sync_worker.errors import AnswerLost, SinkDenied, SinkUnavailable
from sync_worker.ports import TaskStatus, TaskUid

TASK: dict[str, Any] = {
    "uid": 3,
    "batchUid": 2,
    "indexUid": "cities",
    "status": "failed",
    "type": "documentAdditionOrUpdate",
    "error": {"message": "no", "code": "invalid_document_id", "type": "invalid_request"},
    "duration": "PT1M0.5S",
    "customMetadata": "g/7",
}


async def test_a_write_posts_its_bytes_as_they_are(script: Any) -> None:
    """NDJSON unchanged, metadata as a query parameter, the key as a bearer; the uid comes back."""
    sink = MeilisearchSink(script.url, "secret")
    lines = b'{"id":1}\n{"id":2}\n'
    assert await sink.write("cities", lines, metadata="g/7 &ä%25+#") == 7
    await sink.close()
    (asked,) = script.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/indexes/cities/documents", lines)
    assert asked.query == {"customMetadata": "g/7 &ä%25+#"}
    assert asked.headers["Content-Type"] == "application/x-ndjson"
    assert asked.headers["Authorization"] == "Bearer secret"
    assert asked.headers["User-Agent"].startswith("sync-worker/")
    assert asked.headers["Content-Length"] == str(len(lines))


async def test_ids_are_deleted_as_text(script: Any) -> None:
    """The server keeps every id as text, so an integer key needs no other form."""
    sink = MeilisearchSink(script.url, "secret")
    await sink.delete("cities", ["1", "a_b"], metadata="m")
    await sink.close()
    assert json.loads(script.asked[0].body) == ["1", "a_b"]
    assert script.asked[0].path == "/indexes/cities/documents/delete-batch"


async def test_an_empty_id_is_never_sent(script: Any) -> None:
    """A real server fails the whole batch `internal` for it, and all that was merged with it."""
    sink = MeilisearchSink(script.url, "secret")
    with pytest.raises(ValueError, match="empty document id"):
        await sink.delete("cities", ["1", ""], metadata="m")
    await sink.close()
    assert script.asked == []


@pytest.mark.parametrize("size", [10, 20_000, 1_000_000])
@pytest.mark.parametrize(("compress", "encoded"), [("auto", False), ("none", False), ("gzip", True)])
async def test_compression_over_loopback(script: Any, compress: Any, encoded: bool, size: int) -> None:
    """`auto` wastes no time on this machine's own interface; what arrives is the same in any case, small or large."""
    sink = MeilisearchSink(script.url, "secret", compress=compress)
    body = b"x" * size
    await sink.write("cities", body, metadata="m")
    await sink.close()
    assert script.asked[0].body == body
    assert ("Content-Encoding" in script.asked[0].headers) is encoded


def test_compression_by_host() -> None:
    """`auto` compresses from 10 KiB on for every other host."""
    assert [_compress_from("auto", host) for host in ("127.0.0.1", "::1", "localhost", "a.localhost")] == [None] * 4
    assert _compress_from("auto", "10.0.0.7") == _compress_from("auto", "search") == 10_240
    assert _compress_from("gzip", "localhost") == 0


async def test_no_proxy_is_taken_from_the_environment(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that the operator set for other things must not see, buffer or answer our writes."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    sink = MeilisearchSink(script.url, "secret")
    await sink.write("cities", b"{}", metadata="m")
    await sink.close()
    assert len(script.asked) == 1


async def test_thousands_of_tasks_are_asked_for_in_short_urls(script: Any) -> None:
    """Each URL stays below 8 KB, which proxies commonly limit it to, and every uid is asked for once."""
    script.on("GET /tasks", {"results": [TASK]})
    sink = MeilisearchSink(script.url, "secret")
    uids = [TaskUid(4_000_000_000 + n) for n in range(1500)]
    found = await sink.tasks(uids)
    await sink.close()
    assert found[TaskUid(3)].status is TaskStatus.FAILED
    assert max(len(asked.raw_path) for asked in script.asked) < 8000
    asked_for = [int(uid) for asked in script.asked for uid in asked.query["uids"].split(",")]
    assert asked_for == uids
    assert all(int(asked.query["limit"]) == len(asked.query["uids"].split(",")) for asked in script.asked)


async def test_no_tasks_is_no_request(script: Any) -> None:
    """`uids=` with nothing behind it would be refused."""
    sink = MeilisearchSink(script.url, "secret")
    assert await sink.tasks([]) == {}
    await sink.close()
    assert script.asked == []


async def test_a_page_of_tasks_counts_those_of_one_index_only(script: Any) -> None:
    """The server limits first and takes swaps away afterwards, so kinds are named: else swaps hide the newest task."""
    script.on("GET /tasks", {"results": [TASK]})
    sink = MeilisearchSink(script.url, "secret")
    await sink.tasks_from("cities", 5, limit=9)
    await sink.last_task("cities")
    assert await sink.oldest_task_uid("cities") == 3
    await sink.close()
    page, last, oldest = (asked.query for asked in script.asked)
    for query in (page, last, oldest):
        assert query["indexUids"] == "cities"
        assert "documentDeletion" in query["types"]
        assert "indexSwap" not in query["types"]
    assert (page["from"], page["reverse"], page["limit"]) == ("5", "true", "9")
    assert ("reverse" in last, last["limit"]) == (False, "1")
    assert (oldest["reverse"], oldest["limit"]) == ("true", "1")


async def test_a_task_is_read_whole(script: Any) -> None:
    """All that a verdict needs: status, batch, metadata, the server's code and words, seconds."""
    script.on("GET /tasks", {"results": [TASK]})
    sink = MeilisearchSink(script.url, "secret")
    task = await sink.last_task("cities")
    await sink.close()
    assert task is not None
    assert (task.batch_uid, task.metadata, task.error_code, task.error_message) == (2, "g/7", "invalid_document_id", "no")
    assert task.duration_s == 60.5


def test_durations() -> None:
    """ISO 8601 as the server writes it; what is written in another way costs the figure, not the task."""
    assert seconds("PT0.037201905S") == pytest.approx(0.037201905)
    assert seconds("P1DT2H3M4S") == 93_784
    assert seconds(None) is None
    assert seconds("soon") is None


@pytest.mark.parametrize("answer", ["[]", "{}", '{"results": 5}', '{"results": [{}]}', '{"results": [{"uid": 1}]}', "<html>"])
async def test_tasks_that_are_no_tasks(script: Any, answer: str) -> None:
    """Something else answers: unavailable, and never an empty list, which would read as pruned."""
    script.on("GET /tasks", answer)
    sink = MeilisearchSink(script.url, "secret")
    with pytest.raises(SinkUnavailable):
        await sink.tasks([TaskUid(3)])
    await sink.close()


@pytest.mark.parametrize("answer", ["[]", "{}", '{"taskUid": "1"}', '{"taskUid": null}', "<html>", ""])
async def test_an_acceptance_without_a_uid_is_in_doubt(script: Any, answer: str) -> None:
    """Without the uid nobody can wait for it: the scan for late writes has to find it."""
    script.on("POST /indexes/cities/documents", answer, status=202)
    sink = MeilisearchSink(script.url, "secret")
    with pytest.raises(AnswerLost):
        await sink.write("cities", b"{}", metadata="m")
    await sink.close()


async def test_an_index_that_is_not_there(script: Any) -> None:
    """None only for the server's own `index_not_found`: a proxy's 404 is not an absent index."""
    script.on("GET /indexes/absent", {"code": "index_not_found", "message": "Index `absent` not found."}, status=404)
    script.on("GET /indexes/proxied", "<html>", status=404)
    sink = MeilisearchSink(script.url, "secret")
    assert await sink.identity("absent") is None
    with pytest.raises(SinkDenied):
        await sink.identity("proxied")
    await sink.close()


async def test_the_server_s_version(script: Any) -> None:
    """Three numbers; None where the key may not ask, because a key that is scoped to indexes never may."""
    sink = MeilisearchSink(script.url, "secret")
    script.on("GET /version", {"pkgVersion": "1.50.0-rc.1"})
    assert await sink.server_version() == (1, 50, 0)
    script.on("GET /version", {"code": "invalid_api_key", "message": "The provided API key is invalid."}, status=403)
    assert await sink.server_version() is None
    script.on("GET /version", {"pkgVersion": "unknown"})
    with pytest.raises(SinkUnavailable):
        await sink.server_version()
    await sink.close()


async def test_a_redirect_is_not_followed(script: Any) -> None:
    """The write would go to a server that nobody configured, with our key."""
    script.on("POST /indexes/cities/documents", "", status=307, headers={"Location": "/elsewhere"})
    sink = MeilisearchSink(script.url, "secret")
    with pytest.raises(SinkDenied):
        await sink.write("cities", b"{}", metadata="m")
    await sink.close()
    assert [asked.path for asked in script.asked] == ["/indexes/cities/documents"]
