"""Making and removing indexes and keys, over the official client."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from sync_worker.adapters.meilisearch.admin import MeilisearchAdmin
from sync_worker.adapters.meilisearch.keys import SCRATCH_ACTIONS, WORKER_ACTIONS, make_worker_keys
from sync_worker.adapters.meilisearch.probe import missing_actions
from sync_worker.errors import SinkDenied, SinkUnavailable

ENQUEUED = {"taskUid": 7, "indexUid": "i", "status": "enqueued", "type": "x", "enqueuedAt": "2026-01-01T00:00:00.000000001Z"}
DENIED = {"code": "invalid_api_key", "message": "The provided API key is invalid."}


def task(status: str, code: str | None = None) -> dict[str, Any]:
    error = {"code": code, "message": "words"} if code else None
    return {"results": [{"uid": 7, "status": status, "type": "x", "error": error}]}


def an_admin_on(script: Any) -> MeilisearchAdmin:
    async def at_once(_: float) -> None:
        await asyncio.sleep(0)

    script.on("POST /indexes", ENQUEUED, status=202)
    script.on("PATCH /indexes/i/settings", ENQUEUED, status=202)
    script.on("DELETE /indexes/i", ENQUEUED, status=202)
    script.on("GET /tasks", task("succeeded"))
    script.on("GET /indexes/i", {"uid": "i", "createdAt": "2026-01-01T00:00:00Z", "primaryKey": "id"})
    return MeilisearchAdmin(script.url, "secret", sleep=at_once)


async def test_an_index_is_made_with_key_and_settings(script: Any) -> None:
    """Primary key first, then the settings, each awaited, then read back."""
    statuses = iter(["enqueued", "processing", "succeeded", "succeeded"])
    admin = an_admin_on(script)
    script.answers["GET /tasks"] = lambda _: web.json_response(task(next(statuses)))
    identity = await admin.create_index("i", "id", {"filterableAttributes": ["k"]})
    await admin.close()
    assert (identity.created_at, identity.primary_key) == ("2026-01-01T00:00:00Z", "id")
    writes = [(asked.method, json.loads(asked.body)) for asked in script.asked if asked.method != "GET"]
    assert writes == [("POST", {"primaryKey": "id", "uid": "i"}), ("PATCH", {"filterableAttributes": ["k"]})]


async def test_an_embedder_is_taken_away(script: Any) -> None:
    """By null, as the server wants it; the official client can't send that."""
    admin = an_admin_on(script)
    await admin.update_settings("i", {"embedders": {"taste": None}})
    await admin.close()
    (asked,) = [asked for asked in script.asked if asked.method == "PATCH"]
    assert json.loads(asked.body) == {"embedders": {"taste": None}}


async def test_an_index_that_exists_is_left_alone(script: Any) -> None:
    """SinkDenied with the server's code, and no settings are sent."""
    admin = an_admin_on(script)
    script.on("GET /tasks", task("failed", "index_already_exists"))
    with pytest.raises(SinkDenied) as caught:
        await admin.create_index("i", "id", {"filterableAttributes": ["k"]})
    await admin.close()
    assert caught.value.code == "index_already_exists"
    assert not [asked for asked in script.asked if asked.method in ("PATCH", "DELETE")]


async def test_refused_settings_leave_no_half_made_index(script: Any) -> None:
    """The next start would take it for an index with its settings."""
    admin = an_admin_on(script)
    script.on("PATCH /indexes/i/settings", {"code": "invalid_settings_ranking_rules", "message": "no"}, status=400)
    with pytest.raises(SinkDenied) as caught:
        await admin.create_index("i", "id", {"rankingRules": ["nope"]})
    await admin.close()
    assert caught.value.code == "invalid_settings_ranking_rules"
    assert [asked.path for asked in script.asked if asked.method == "DELETE"] == ["/indexes/i"]


async def test_another_primary_key_was_set_meanwhile(script: Any) -> None:
    """Read back means compared."""
    admin = an_admin_on(script)
    script.on("GET /indexes/i", {"uid": "i", "createdAt": "2026-01-01T00:00:00Z", "primaryKey": "other"})
    with pytest.raises(SinkDenied):
        await admin.create_index("i", "id", {})
    await admin.close()


async def test_deleting_what_is_gone_is_fine(script: Any) -> None:
    """It can be repeated; any other failure is told."""
    admin = an_admin_on(script)
    script.on("GET /tasks", task("failed", "index_not_found"))
    await admin.delete_index("i")
    script.on("GET /tasks", task("canceled"))
    with pytest.raises(SinkUnavailable):
        await admin.delete_index("i")
    await admin.close()


async def test_a_task_that_vanished(script: Any) -> None:
    """Pruned or hidden: nobody can say whether it was applied, so it is not claimed."""
    admin = an_admin_on(script)
    script.on("GET /tasks", {"results": []})
    with pytest.raises(SinkUnavailable):
        await admin.delete_index("i")
    await admin.close()


async def test_something_else_answers_the_official_client(script: Any) -> None:
    """HTML with 200, which its models choke on, is translated like all else."""
    admin = an_admin_on(script)
    script.on("POST /indexes", "<html>", status=200)
    with pytest.raises(SinkUnavailable):
        await admin.create_index("i", "id", {})
    script.on("POST /indexes", {"hello": 1}, status=200)
    with pytest.raises(SinkUnavailable):
        await admin.create_index("i", "id", {})
    await admin.close()


def a_key(asked: Any) -> dict[str, Any]:
    return {
        "name": "n",
        "description": "d",
        "key": f"key-of-{asked['uid']}",
        "uid": asked["uid"],
        "actions": asked["actions"],
        "indexes": asked["indexes"],
        "expiresAt": None,
        "createdAt": "2026-01-01T00:00:00.000001Z",
        "updatedAt": "2026-01-01T00:00:00.000001Z",
    }


async def test_keys_are_made_once(script: Any) -> None:
    """The second run returns what the first made; other indexes get another worker key, and the same scratch key."""
    made: dict[str, dict[str, Any]] = {}

    def create(asked: Any) -> web.Response:
        wanted = json.loads(asked.body)
        if wanted["uid"] in made:
            return web.json_response({"code": "api_key_already_exists", "message": "exists"}, status=409)
        made[wanted["uid"]] = a_key(wanted)
        script.answers[f"GET /keys/{wanted['uid']}"] = lambda _: web.json_response(made[wanted["uid"]])
        return web.json_response(made[wanted["uid"]], status=201)

    script.answers["POST /keys"] = create
    first = await asyncio.to_thread(make_worker_keys, script.url, "admin", ["cities*", "shops"])
    again = await asyncio.to_thread(make_worker_keys, script.url, "admin", ["shops", "cities*"])
    other = await asyncio.to_thread(make_worker_keys, script.url, "admin", ["shops"])
    assert first == again
    assert (other.worker_key == first.worker_key, other.scratch_key == first.scratch_key) == (False, True)
    worker, scratch, _ = made.values()
    assert (worker["actions"], worker["indexes"]) == (list(WORKER_ACTIONS), ["cities*", "shops"])
    assert (scratch["actions"], scratch["indexes"]) == (list(SCRATCH_ACTIONS), ["scratch-*"])
    assert first.worker_key not in repr(first)


async def test_an_administrator_s_key_that_is_none(script: Any) -> None:
    """SinkDenied that names the key and the action."""
    script.on("POST /keys", DENIED, status=403)
    with pytest.raises(SinkDenied) as caught:
        await asyncio.to_thread(make_worker_keys, script.url, "wrong", ["cities"])
    assert "administrator's key" in caught.value.remedy
    assert "keys.create" in caught.value.remedy


async def test_a_probe_that_a_proxy_answers_proves_nothing(script: Any) -> None:
    """5xx is neither yes nor no."""
    script.on("GET /indexes/cities/stats", "<html>", status=502)
    with pytest.raises(SinkUnavailable):
        await missing_actions(script.url, "key", ["stats.get"], ["cities"])


async def test_missing_actions_are_named_by_index(script: Any) -> None:
    """403 is no, every other answer of the server is yes."""
    script.on("GET /indexes/cities/settings", {"code": "index_not_found", "message": ""}, status=404)
    script.on("GET /indexes/cities/stats", DENIED, status=403)
    script.on("POST /indexes", DENIED, status=403)
    lacking = await missing_actions(script.url, "key", ["settings.get", "stats.get", "indexes.create"], ["cities"])
    assert lacking == {"cities": {"stats.get", "indexes.create"}}


async def test_an_action_without_a_probe_is_a_mistake() -> None:
    """Never a silent yes."""
    with pytest.raises(ValueError, match=r"no probe for indexes\.swap"):
        await missing_actions("http://127.0.0.1:9", "key", ["indexes.swap"], ["cities"])
