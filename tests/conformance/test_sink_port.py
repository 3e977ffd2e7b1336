"""The ports Sink and AdminSink, with the keys that a worker really has, on the double and on a real server."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from harness import Server

from sync_worker.adapters.meilisearch.admin import MeilisearchAdmin
from sync_worker.adapters.meilisearch.client import OLDEST_VERSION, MeilisearchSink
from sync_worker.adapters.meilisearch.keys import SCRATCH_ACTIONS, WORKER_ACTIONS, WorkerKeys, make_worker_keys
from sync_worker.adapters.meilisearch.probe import missing_actions
from sync_worker.errors import PayloadTooLarge, SinkDenied, SinkRejected
from sync_worker.ports import AdminSink, Sink, Task, TaskStatus, TaskUid


@dataclass(frozen=True)
class Parties:
    """`admin` may do everything, `worker` and `scratch` hold the keys that `make_worker_keys` made."""

    server: Server
    keys: WorkerKeys
    admin: AdminSink
    worker: MeilisearchSink
    scratch: AdminSink
    uid: str


@pytest.fixture
async def parties(server: Server) -> AsyncIterator[Parties]:
    keys = await asyncio.to_thread(make_worker_keys, server.url, server.master_key, ["cities-*"])
    admin = MeilisearchAdmin(server.url, server.master_key, key_name="administrator's key")
    worker = MeilisearchSink(server.url, keys.worker_key)
    scratch = MeilisearchAdmin(server.url, keys.scratch_key)
    uid = f"cities-{secrets.token_hex(5)}"
    await admin.create_index(uid, "id", {"filterableAttributes": ["k"]})
    yield Parties(server, keys, admin, worker, scratch, uid)
    await admin.delete_index(uid)
    for sink in (admin, worker, scratch):
        await sink.close()


async def finished(sink: Sink, *uids: TaskUid) -> list[Task]:
    """Conditions are waited for as long as the test runner allows."""
    while True:
        tasks = await sink.tasks(uids)
        if all(uid in tasks and tasks[uid].status.finished for uid in uids):
            return [tasks[uid] for uid in uids]
        await asyncio.sleep(0.01)


async def test_accepted_then_applied(parties: Parties) -> None:
    """A write is accepted with a uid; its task carries our metadata, a batch and a duration once it is applied."""
    metadata = "group/7/cities-0/10-20 ä&%25+?#,"
    (task,) = await finished(parties.worker, await parties.worker.write(parties.uid, b'{"id":1}\n{"id":2}\n', metadata=metadata))
    assert task.status is TaskStatus.SUCCEEDED
    assert (task.metadata, task.index_uid, task.kind) == (metadata, parties.uid, "documentAdditionOrUpdate")
    assert task.batch_uid is not None
    assert task.duration_s is not None
    assert task.duration_s > 0
    assert await parties.worker.document_count(parties.uid) == 2


async def test_deletes_reach_integer_and_text_ids(parties: Parties) -> None:
    """Ids go out as text and find documents whose id is a number as well; an absent one is fine."""
    await parties.worker.write(parties.uid, b'{"id":1}\n{"id":"2"}\n{"id":3}\n', metadata="m")
    (task,) = await finished(parties.worker, await parties.worker.delete(parties.uid, ["1", "2", "99"], metadata="gone"))
    assert (task.status, task.metadata) == (TaskStatus.SUCCEEDED, "gone")
    assert await parties.worker.document_count(parties.uid) == 1


async def test_a_clear_empties_the_index(parties: Parties) -> None:
    """It is a task like any other, with our metadata, in its place behind the write."""
    await parties.worker.write(parties.uid, b'{"id":1}\n', metadata="m")
    (task,) = await finished(parties.worker, await parties.worker.clear(parties.uid, metadata="cleared"))
    assert (task.status, task.metadata) == (TaskStatus.SUCCEEDED, "cleared")
    assert await parties.worker.document_count(parties.uid) == 0


async def test_a_compressed_write(parties: Parties) -> None:
    """gzip arrives as what it was, documents and ids alike."""
    sink = MeilisearchSink(parties.server.url, parties.keys.worker_key, compress="gzip")
    await sink.write(parties.uid, b'{"id":1}\n{"id":2}\n', metadata="m")
    (task,) = await finished(sink, await sink.delete(parties.uid, ["1"], metadata="m"))
    assert task.status is TaskStatus.SUCCEEDED
    assert await sink.document_count(parties.uid) == 1
    await sink.close()


async def test_a_failed_task_keeps_the_server_s_words(parties: Parties) -> None:
    """Code and message name the document."""
    (task,) = await finished(parties.worker, await parties.worker.write(parties.uid, b'{"id":"not valid"}', metadata="m"))
    assert (task.status, task.error_code) == (TaskStatus.FAILED, "invalid_document_id")
    assert task.error_message is not None
    assert "not valid" in task.error_message


async def test_unknown_uids_do_not_come_back(parties: Parties) -> None:
    """Pruned is told from unfinished by absence."""
    uid = await parties.worker.write(parties.uid, b'{"id":1}', metadata="m")
    assert set(await parties.worker.tasks([uid, TaskUid(4_000_000_000)])) == {uid}


async def test_tasks_of_an_index_in_order(parties: Parties) -> None:
    """From a uid on, that one included, oldest first, in pages; and both ends."""
    uids = [await parties.worker.write(parties.uid, b'{"id":%d}' % number, metadata=str(number)) for number in range(5)]
    assert [task.uid for task in await parties.worker.tasks_from(parties.uid, uids[1])] == uids[1:]
    assert [task.metadata for task in await parties.worker.tasks_from(parties.uid, uids[1], limit=2)] == ["1", "2"]
    assert await parties.worker.tasks_from(parties.uid, uids[-1] + 1) == []
    last = await parties.worker.last_task(parties.uid)
    assert last is not None
    assert last.uid == uids[-1]
    oldest = await parties.worker.oldest_task_uid(parties.uid)
    assert oldest is not None
    assert oldest < uids[0]
    await finished(parties.worker, *uids)


async def test_an_index_without_tasks(parties: Parties) -> None:
    """None, and no error."""
    absent = f"cities-{secrets.token_hex(5)}"
    assert await parties.worker.last_task(absent) is None
    assert await parties.worker.oldest_task_uid(absent) is None
    assert await parties.worker.tasks_from(absent, 0) == []


async def test_swaps_hide_no_task(parties: Parties) -> None:
    """Swaps are the newest tasks of their indexes, are shown to nobody who asks by index, and take places on the page.

    After a cut-over and its rollback a page of one would be empty: an index without tasks, it seems.
    """
    other = f"cities-{secrets.token_hex(5)}"
    await parties.admin.create_index(other, "id", {})
    uid = await parties.worker.write(parties.uid, b'{"id":1}', metadata="m")
    await finished(parties.worker, uid)
    for _ in range(2):
        parties.server.done("POST", "/swap-indexes", [{"indexes": [parties.uid, other]}])
    last = await parties.worker.last_task(parties.uid)
    assert last is not None
    assert last.uid == uid
    assert await parties.worker.last_task(other) is not None
    await parties.admin.delete_index(other)


async def test_how_many_shared_a_batch(parties: Parties) -> None:
    """The worker's key counts them although it may not see batches."""
    lines = b"\n".join(b'{"id":%d,"x":"word%d"}' % (number, number) for number in range(5000))
    uids = [await parties.worker.write(parties.uid, lines, metadata="m")]
    uids += [await parties.worker.write(parties.uid, b'{"id":%d}' % number, metadata="m") for number in range(5)]
    tasks = await finished(parties.worker, *uids)
    batches = [task.batch_uid for task in tasks]
    assert len(set(batches)) < len(batches), "nothing was merged, so that nothing is shown"
    for batch in batches:
        assert batch is not None
        assert await parties.worker.tasks_in_batch(batch) == batches.count(batch)


async def test_what_an_index_is(parties: Parties) -> None:
    """Identity changes when an index is made anew under its name; settings are complete; absence is None."""
    first = await parties.worker.identity(parties.uid)
    assert first is not None
    assert first.primary_key == "id"
    settings = await parties.worker.settings(parties.uid)
    assert settings["filterableAttributes"] == ["k"]
    assert settings["proximityPrecision"] == "byWord"
    await parties.admin.delete_index(parties.uid)
    assert await parties.worker.identity(parties.uid) is None
    again = await parties.admin.create_index(parties.uid, "id", {})
    assert again == await parties.worker.identity(parties.uid)
    assert again.created_at != first.created_at


async def test_creating_what_exists_is_denied(parties: Parties) -> None:
    """The index keeps its identity and its settings."""
    before = await parties.worker.identity(parties.uid)
    with pytest.raises(SinkDenied) as caught:
        await parties.admin.create_index(parties.uid, "other", {"filterableAttributes": []})
    assert caught.value.code == "index_already_exists"
    assert await parties.worker.identity(parties.uid) == before
    assert (await parties.worker.settings(parties.uid))["filterableAttributes"] == ["k"]


async def test_refused_settings_leave_no_index(parties: Parties) -> None:
    """Half made, it would pass for one that has its settings."""
    uid = f"cities-{secrets.token_hex(5)}"
    with pytest.raises(SinkDenied):
        await parties.admin.create_index(uid, "id", {"rankingRules": ["nope"]})
    assert await parties.admin.identity(uid) is None


async def test_deleting_an_index_twice(parties: Parties) -> None:
    """Every command can be run again."""
    uid = f"scratch-{secrets.token_hex(5)}"
    await parties.scratch.delete_index(uid)
    await parties.scratch.create_index(uid, "id", {})
    await parties.scratch.delete_index(uid)
    await parties.scratch.delete_index(uid)
    assert await parties.scratch.identity(uid) is None


async def test_a_late_write_brings_no_index_back(parties: Parties) -> None:
    """The worker's key may not create: the task fails, and the index stays away."""
    uid = f"cities-{secrets.token_hex(5)}"
    (task,) = await finished(parties.worker, await parties.worker.write(uid, b'{"id":1}', metadata="m"))
    assert (task.status, task.error_code) == (TaskStatus.FAILED, "index_not_found")
    assert await parties.worker.identity(uid) is None


async def test_the_scratch_key_does_what_isolation_needs_and_no_more(parties: Parties) -> None:
    """Create, fill, look, delete under `scratch-`; elsewhere it is denied, with the action that it would need."""
    uid = f"scratch-{secrets.token_hex(5)}"
    live = await parties.worker.settings(parties.uid)
    settings = {name: value for name, value in live.items() if value is not None}
    await parties.scratch.create_index(uid, "id", settings)
    assert dict(await parties.scratch.settings(uid)) == dict(live)
    (task,) = await finished(parties.scratch, await parties.scratch.write(uid, b'{"id":1}', metadata="m"))
    assert task.status is TaskStatus.SUCCEEDED
    assert await parties.scratch.tasks_in_batch(task.batch_uid or 0) == 1
    await finished(parties.scratch, await parties.scratch.delete(uid, ["1"], metadata="m"))
    await parties.scratch.delete_index(uid)
    for denied in (
        parties.scratch.write(parties.uid, b'{"id":1}', metadata="m"),
        parties.scratch.delete_index(parties.uid),
        parties.scratch.create_index(f"cities-{secrets.token_hex(5)}", "id", {}),
    ):
        with pytest.raises(SinkDenied) as caught:
            await denied
        assert caught.value.code == "invalid_api_key"
        assert "scratch key" in caught.value.remedy


async def test_keys_are_made_once(parties: Parties) -> None:
    """Running `sync-worker keys` again hands out the same keys."""
    again = await asyncio.to_thread(make_worker_keys, parties.server.url, parties.server.master_key, ["cities-*"])
    assert again == parties.keys


async def test_missing_actions_are_found_without_a_trace(parties: Parties) -> None:
    """No task, no index, no change: what a key lacks shows in how requests that can't succeed are refused."""
    url, keys = parties.server.url, parties.keys
    scratch_uid = f"scratch-{secrets.token_hex(5)}"
    before = parties.server.get("/tasks?limit=1")["total"], parties.server.get("/indexes?limit=1000")["results"]
    assert await missing_actions(url, keys.worker_key, WORKER_ACTIONS, [parties.uid, "cities-absent"]) == {}
    assert await missing_actions(url, keys.scratch_key, SCRATCH_ACTIONS, [scratch_uid]) == {}
    assert await missing_actions(url, parties.server.master_key, {*WORKER_ACTIONS, *SCRATCH_ACTIONS, "version"}, ["x"]) == {}
    assert await missing_actions(url, keys.worker_key, SCRATCH_ACTIONS, [parties.uid]) == {
        parties.uid: {"settings.update", "indexes.create", "indexes.delete"}
    }
    assert await missing_actions(url, keys.scratch_key, [*WORKER_ACTIONS, "version"], [scratch_uid]) == {
        scratch_uid: {"stats.get", "version"}
    }
    foreign = await missing_actions(url, keys.worker_key, WORKER_ACTIONS, ["shops"])
    assert foreign == {"shops": set(WORKER_ACTIONS) - {"tasks.get"}}
    assert await missing_actions(url, "no such key", WORKER_ACTIONS, [parties.uid]) == {parties.uid: set(WORKER_ACTIONS)}
    after = parties.server.get("/tasks?limit=1")["total"], parties.server.get("/indexes?limit=1000")["results"]
    assert after == before


async def test_a_revoked_key_is_the_environment_s_fault(parties: Parties) -> None:
    """Reads and writes say so, name the key, and blame no document."""
    sink = MeilisearchSink(parties.server.url, "revoked")
    for call in (sink.write(parties.uid, b'{"id":1}', metadata="m"), sink.tasks([TaskUid(1)]), sink.identity(parties.uid)):
        with pytest.raises(SinkDenied) as caught:
            await call
        assert "worker key" in caught.value.remedy
    await sink.close()


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b'[{"id":9}]', "internal"),
        (b'{"id":10}\n3\n', "internal"),
        (b'{"id":5}\n{"id":6', "malformed_payload"),
        (b"", "missing_payload"),
    ],
)
async def test_a_payload_that_is_refused_at_once(parties: Parties, payload: bytes, code: str) -> None:
    """SinkRejected with the server's code, also where it calls the payload's fault its own."""
    with pytest.raises(SinkRejected) as caught:
        await parties.worker.write(parties.uid, payload, metadata="m")
    assert caught.value.code == code


async def test_too_large_is_heard_every_time(parties: Parties) -> None:
    """The server hangs up in the middle of the upload; its answer must not be lost, or the same is sent for ever."""
    limit = parties.server.payload_limit
    if limit is None:
        pytest.skip("the payload limit of a server that the suite did not start is unknown")
    documents = (b'{"id":1,"x":"' + b"y" * 1000 + b'"}\n') * (limit // 400)
    ids = [str(number) for number in range(limit // 3)]
    for _ in range(5):
        with pytest.raises(PayloadTooLarge):
            await parties.worker.write(parties.uid, documents, metadata="m")
        with pytest.raises(PayloadTooLarge):
            await parties.worker.delete(parties.uid, ids, metadata="m")
    assert await parties.worker.last_task(parties.uid) is not None


async def test_an_empty_id_is_never_sent(parties: Parties) -> None:
    """It would fail everything that the server merges it with."""
    with pytest.raises(ValueError, match="empty document id"):
        await parties.worker.delete(parties.uid, ["1", ""], metadata="m")


async def test_the_version(parties: Parties) -> None:
    """Known to an administrator; a key that is scoped to indexes may not ask."""
    version = await parties.admin.server_version()  # type: ignore[attr-defined]
    assert version is not None
    assert version >= OLDEST_VERSION
    assert await parties.worker.server_version() is None
