"""The handles by which other tests make the Meilisearch double misbehave. What it answers is held to a real server elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from sync_worker.testing.meilisearch import (
    HoldAnswer,
    LoseAnswer,
    LoseRequest,
    MeilisearchDouble,
    Operation,
    Reject,
)

KEY = "unit-key"


@pytest.fixture
async def double() -> AsyncIterator[MeilisearchDouble]:
    async with MeilisearchDouble(KEY) as started:
        yield started


@pytest.fixture
async def client(double: MeilisearchDouble) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=double.url, headers={"Authorization": f"Bearer {KEY}"}) as opened:
        yield opened


async def _add(client: httpx.AsyncClient, *ids: int) -> httpx.Response:
    return await client.post("/indexes/a/documents?primaryKey=id", json=[{"id": uid} for uid in ids])


def _ids(double: MeilisearchDouble) -> set[str]:
    return set(double.core.index("a").documents) if "a" in double.core.state.indexes else set()


async def test_a_rejection_does_nothing(double: MeilisearchDouble, client: httpx.AsyncClient) -> None:
    """Status, code and Retry-After are the test's; no task is enqueued; the next request is served."""
    double.queue_fault(Operation.ADD_DOCUMENTS, Reject(503, "too_many_search_requests", retry_after_s=3))
    refused = await _add(client, 1)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "3")
    assert double.core.state.tasks == {}
    assert (await _add(client, 1)).status_code == 202


async def test_a_lost_answer_was_accepted(double: MeilisearchDouble, client: httpx.AsyncClient) -> None:
    """The caller sees a broken connection, the documents arrive."""
    strike = double.queue_fault(Operation.ADD_DOCUMENTS, LoseAnswer())
    with pytest.raises(httpx.TransportError):
        await _add(client, 1)
    await strike.wait_reached()
    await double.wait_idle()
    assert _ids(double) == {"1"}


async def test_a_lost_request_was_not_accepted(double: MeilisearchDouble, client: httpx.AsyncClient) -> None:
    """The caller sees the same broken connection, and nothing arrives."""
    double.queue_fault(Operation.ADD_DOCUMENTS, LoseRequest())
    with pytest.raises(httpx.TransportError):
        await _add(client, 1)
    assert double.core.state.tasks == {}


async def test_a_held_answer_waits_for_its_release(double: MeilisearchDouble, client: httpx.AsyncClient) -> None:
    """Accepted and applied while the caller still waits."""
    strike = double.queue_fault(Operation.ADD_DOCUMENTS, HoldAnswer())
    call = asyncio.create_task(_add(client, 1))
    await strike.wait_reached()
    await double.wait_idle()
    assert _ids(double) == {"1"}
    assert not call.done()
    strike.release()
    assert (await call).status_code == 202


async def test_paused_tasks_pile_up_and_merge(double: MeilisearchDouble, client: httpx.AsyncClient) -> None:
    """What was enqueued while paused is one batch after resume."""
    double.pause()
    for uid in range(3):
        await _add(client, uid)
    assert _ids(double) == set()
    double.resume()
    await double.wait_idle()
    assert {task.batch_uid for task in double.core.state.tasks.values()} == {0}


async def test_a_full_disk_fails_every_batch_until_there_is_room(double: MeilisearchDouble, client: httpx.AsyncClient) -> None:
    """The task carries the server's code; nothing is applied."""
    double.fill_disk()
    await _add(client, 1)
    await double.wait_idle()
    error = double.core.state.tasks[0].error
    assert error is not None
    assert error["code"] == "no_space_left_on_device"
    double.fill_disk(full=False)
    await _add(client, 1)
    await double.wait_idle()
    assert _ids(double) == {"1"}


async def test_a_restored_server_forgets_what_came_later(double: MeilisearchDouble, client: httpx.AsyncClient) -> None:
    """Documents and task uids go back, `createdAt` stays: the next write reuses a uid that was already handed out."""
    await _add(client, 1)
    await double.wait_idle()
    earlier = double.snapshot()
    created = double.core.index("a").created_at
    later = (await _add(client, 2)).json()["taskUid"]
    await double.wait_idle()
    double.restore(earlier)
    assert _ids(double) == {"1"}
    assert double.core.index("a").created_at == created
    assert (await _add(client, 3)).json()["taskUid"] == later


async def test_a_snapshot_is_not_changed_by_what_follows(double: MeilisearchDouble, client: httpx.AsyncClient) -> None:
    """The same dump can be restored twice."""
    await _add(client, 1)
    await double.wait_idle()
    dump = double.snapshot()
    for _ in range(2):
        await _add(client, 2)
        await double.wait_idle()
        double.restore(dump)
        assert _ids(double) == {"1"}


@pytest.mark.parametrize("after_index_commit", [False, True])
async def test_a_crashed_batch_is_processed_again(
    double: MeilisearchDouble, client: httpx.AsyncClient, after_index_commit: bool
) -> None:
    """Accepted tasks survive, whether or not their documents were already in the index."""
    double.pause()
    await _add(client, 1)
    double.batch_delay_s = 60
    double.resume()
    async with asyncio.timeout(5):
        while (await client.get("/tasks/0")).json()["status"] != "processing":
            pass
    await double.crash(after_index_commit=after_index_commit)
    assert _ids(double) == ({"1"} if after_index_commit else set())
    with pytest.raises(httpx.TransportError):
        await client.get("/health")
    double.batch_delay_s = 0
    await double.start()
    await double.wait_idle()
    assert _ids(double) == {"1"}
    assert double.core.state.tasks[0].status == "succeeded"


async def test_pruned_tasks_are_gone(double: MeilisearchDouble, client: httpx.AsyncClient) -> None:
    """A late poller gets 404, a list leaves them out."""
    await _add(client, 1)
    await double.wait_idle()
    double.prune_tasks([0])
    assert (await client.get("/tasks/0")).json()["code"] == "task_not_found"


async def test_a_revoked_key_is_refused(double: MeilisearchDouble, client: httpx.AsyncClient) -> None:
    """403 from the next request on."""
    made = await client.post("/keys", json={"actions": ["stats.get"], "indexes": ["*"], "expiresAt": None})
    headers = {"Authorization": f"Bearer {made.json()['key']}"}
    assert (await client.get("/stats", headers=headers)).status_code == 200
    double.revoke_key(made.json()["key"])
    assert (await client.get("/stats", headers=headers)).status_code == 403
