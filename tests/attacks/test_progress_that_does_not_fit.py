"""The group's offset, the state database, the topic and the server each from another time."""

from __future__ import annotations

from unit.pipeline.world import PLACE, TOPIC, World

from sync_worker.adapters.state import StateDatabase


async def test_a_committed_offset_ahead_of_the_bookmark_is_not_believed(world: World) -> None:
    """The bookmark is stored before the offset is committed, so a commit ahead of it is not ours: events would be skipped."""
    first = await world.start()
    end = world.change("c", 1, name="a", n=1) + 1
    await first.deliver()
    await world.acknowledged(end)
    await first.die()
    world.change("c", 2, name="b", n=1)
    world.change("c", 3, name="c", n=1)
    world.log.offsets[PLACE] = 3  # somebody's console consumer of the same group, or a state database from yesterday

    second = await world.worker("w2")
    await second.assign(2)
    await world.found("state-lost", timeout_s=3)


async def test_a_lost_state_database_is_noticed(world: World, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """No commit and no bookmark is a first start; a commit without a bookmark is a state database that is gone, with all open
    failures in it."""
    first = await world.start()
    end = world.change("c", 1, name="a", n=1) + 1
    await first.deliver()
    await world.acknowledged(end)
    await first.die()
    await world.state.close()
    world.state = await StateDatabase.open(f"sqlite:///{tmp_path}/new.db")

    second = await world.worker("w2")
    await second.assign(2)
    await world.found("state-lost", timeout_s=3)


async def test_a_topic_made_anew_under_a_running_worker_is_noticed(world: World) -> None:
    """A changed topic id means hold (protocol 14), also while the partition stays assigned: a topic that was deleted and made
    anew between two looks at the metadata, and is longer than the old one was, is read on from the old position."""
    worker = await world.start()
    end = world.change("c", 1, name="a", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)

    world.log.ids[TOPIC] = "id-2"
    world.log.partitions[PLACE].clear()
    world.change("c", 2, name="skipped", n=1)
    world.change("c", 3, name="seen", n=1)
    await worker.deliver()

    await world.found("log-replaced", timeout_s=4)


async def test_the_same_failure_after_the_topic_was_made_anew_has_its_own_dead_letter(world: World) -> None:
    """Acknowledged only once recorded in the dead-letter topic (invariant 1): positions carry the topic's id, so a re-created
    topic's failure at the same offset is another failure."""
    first = await world.start()
    bad = world.change("c", 1, name="a", n="no number")
    await first.deliver()
    await world.acknowledged(bad + 1)
    assert len(world.dead_letters.letters) == 1
    await first.die()

    world.log.ids[TOPIC] = "id-2"
    world.log.partitions[PLACE].clear()
    world.log.offsets.clear()
    world.change("c", 1, name="a", n="no number")
    second = await world.worker("w2")
    await second.assign(2)
    await world.found("log-replaced")
    for finding in await world.state.findings():
        await world.state.clear_finding(finding.kind, finding.subject, by="test")
    third = await world.started_again(second, "w3", 3)
    await third.deliver()
    await world.acknowledged(1)
    assert len(world.dead_letters.letters) == 2


async def test_a_failure_of_the_topic_before_is_superseded_by_the_new_one(world: World) -> None:
    """A later change that is applied closes older failures (protocol 2): everything in the new topic is later than what was in
    the old one, whatever its offset."""
    first = await world.start()
    world.change("c", 9, name="x", n=1)
    bad = world.change("c", 1, name="a", n="no number")
    await first.deliver()
    await world.acknowledged(bad + 1)
    await first.die()

    world.log.ids[TOPIC] = "id-2"
    world.log.partitions[PLACE].clear()
    world.log.offsets.clear()
    world.change("r", 1, name="a", n=5)
    second = await world.worker("w2")
    await second.assign(2)
    await world.found("log-replaced")
    for finding in await world.state.findings():
        await world.state.clear_finding(finding.kind, finding.subject, by="test")
    third = await world.started_again(second, "w3", 3)
    await third.deliver()
    await world.acknowledged(1)
    assert await world.failures() == [("1", "value_misfit", "superseded")]


async def test_a_zombie_is_undone_also_after_the_server_was_restored(world: World) -> None:
    """Every index is scanned from the stored watermark (protocol 5). A restored server gives out smaller task uids than the
    watermark: what it registers from then on has to be looked at all the same."""
    import orjson

    from sync_worker.batch.metadata import WriteMetadata

    first = await world.start()
    world.change("c", 1, name="old", n=1)
    await first.deliver()
    await world.acknowledged(1)
    await world.double.wait_idle()
    dump = world.double.snapshot()
    for n in range(2, 12):
        world.change("u", 1, name="new", n=n)
        await first.deliver()
        await world.acknowledged(n)
    await first.die()
    await world.double.wait_idle()
    world.double.restore(dump)

    second = await world.worker("w2")
    await second.assign(2)
    await world.found("sink-lost-memory")
    for finding in await world.state.findings():
        await world.state.clear_finding(finding.kind, finding.subject, by="test")
    await world.until(lambda: second.pipeline.health.ready() or second.pipeline.tasks.crash, "prepared")
    end = world.change("u", 1, name="newest", n=99) + 1
    await second.deliver()
    await world.acknowledged(end)
    metadata = WriteMetadata("write", "group", "zombie", 1, "late", {PLACE: (0, 0)}).encode()
    await second.sinks[0].write("things", orjson.dumps({"id": 1, "name": "old", "n": 1}), metadata=metadata)
    await world.until(lambda: world.documents()["1"]["name"] == "old", "the zombie lands")
    await world.until(lambda: world.documents()["1"]["name"] == "newest", "and is undone", timeout_s=4)


async def test_a_second_restoration_of_the_same_dump_is_not_accepted_beforehand(world: World) -> None:
    """What an operator accepted was one loss (protocol 13): the same dump loaded a second time is another one."""
    worker = await world.start()
    world.change("c", 1, name="a", n=1)
    await worker.deliver()
    await world.acknowledged(1)
    await world.double.wait_idle()
    dump = world.double.snapshot()
    world.change("u", 1, name="a", n=2)
    await worker.deliver()
    await world.acknowledged(2)
    await worker.die()
    await world.double.wait_idle()
    world.double.restore(dump)

    second = await world.worker("w2")
    await second.assign(2)
    await world.found("sink-lost-memory")
    for finding in await world.state.findings():
        await world.state.clear_finding(finding.kind, finding.subject, by="test")
    await world.until(second.pipeline.health.ready, "prepared")
    end = world.change("u", 1, name="a", n=3) + 1
    await second.deliver()
    await world.acknowledged(end)
    await second.die()
    await world.double.wait_idle()
    world.double.restore(dump)

    third = await world.worker("w3")
    await third.assign(3)
    await world.until(lambda: third.pipeline.health.ready() or third.pipeline.health.holds(), "prepared or held")
    assert third.pipeline.health.holds()


async def test_the_same_uid_on_two_servers_has_two_watermarks(world: World) -> None:
    """An index may name its own Meilisearch, and both may call it the same. The watermark is stored with the commit
    (protocol 5): the one of a server whose tasks are many must not hide late writes on the other."""
    from dataclasses import replace

    import orjson
    from unit.pipeline.world import Worker

    from sync_worker.adapters.meilisearch.admin import MeilisearchAdmin
    from sync_worker.adapters.meilisearch.client import MeilisearchSink
    from sync_worker.batch.metadata import WriteMetadata
    from sync_worker.testing.meilisearch import MeilisearchDouble

    async with MeilisearchDouble("masterKey") as other:
        admin = MeilisearchAdmin(other.url, "masterKey", compress="none")
        for number in range(50):
            await admin.create_index(f"filler-{number}", "id", {})
        await admin.create_index("things", "id", {})
        world.declare("things")
        world.declare("mirror", uid="things")
        sink = MeilisearchSink(other.url, "masterKey", compress="none")
        real = Worker._index

        def on_two_servers(self: Worker, declaration):  # type: ignore[no-untyped-def]
            index = real(self, declaration)
            return replace(index, sink=sink, scratch=None) if declaration.name == "mirror" else index

        Worker._index = on_two_servers  # type: ignore[method-assign]
        try:
            world.declarations, both = world.declarations[:1], world.declarations
            await (await world.start()).die()
            world.declarations = both
            first = await world.worker("w1")
            await first.assign(2)
            world.change("c", 1, name="old", n=1)
            end = world.change("u", 1, name="new", n=2) + 1
            await first.deliver()
            await world.acknowledged(end)
            await first.die()
            metadata = WriteMetadata("write", "group", "zombie", 1, "late", {PLACE: (0, 0)}).encode()
            await first_sink_write(world, orjson.dumps({"id": 1, "name": "old", "n": 1}), metadata)
            await world.double.wait_idle()
            second = await world.worker("w2")
            await second.assign(3)
            await world.until(lambda: world.documents()["1"]["name"] == "new", "the late write is undone", timeout_s=4)
            await second.die()
        finally:
            Worker._index = real  # type: ignore[method-assign]
            await sink.close()
            await admin.close()


async def first_sink_write(world: World, payload: bytes, metadata: str) -> None:
    from sync_worker.adapters.meilisearch.client import MeilisearchSink

    sink = MeilisearchSink(world.double.url, "masterKey", compress="none")
    await sink.write("things", payload, metadata=metadata)
    await sink.close()


async def test_an_index_that_joins_later_is_known_to_lack_what_was_before(world: World) -> None:
    """Loud about everything: an index that is declared when its table is long under way gets only what changes from then on.
    The same after a worker with an older configuration has had the partition."""
    first = await world.start()
    end = world.change("c", 1, name="a", n=1) + 1
    await first.deliver()
    await world.acknowledged(end)
    await first.die()

    world.declare("later")
    from sync_worker.adapters.meilisearch.admin import MeilisearchAdmin

    admin = MeilisearchAdmin(world.double.url, "masterKey", compress="none")
    await admin.create_index("later", "id", {})
    await admin.close()
    second = await world.worker("w2")
    await second.assign(2)
    await world.found("never-filled", timeout_s=3)
    assert [finding.subject for finding in await world.state.findings()] == ["later"]
