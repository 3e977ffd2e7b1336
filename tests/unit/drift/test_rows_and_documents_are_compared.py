"""What differs is named; what is on its way, and what is being changed at that moment, is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sync_worker.change.model import TopicPartition
from sync_worker.drift.model import Kind
from sync_worker.errors import SyncWorkerError
from sync_worker.failure.findings import FindingKind, found
from sync_worker.failure.model import Failure, ReasonClass
from sync_worker.operations.drift import IndexDrift, Wanted, compare, repair, show
from sync_worker.ports import Depth, WorkerRow
from sync_worker.testing.meilisearch import MeilisearchDouble
from sync_worker.testing.memory import MemoryLog

from .site import Site

CONTENT, IDS, COUNTS = Wanted(), Wanted(Depth.IDS), Wanted(Depth.COUNTS)


async def drifted(site: Site, wanted: Wanted = CONTENT) -> IndexDrift:
    drift, _ = await compare(site.parts, site.target, wanted)
    return drift


def named(drift: IndexDrift) -> list[tuple[str, Kind, tuple[str, ...]]]:
    return [(item.document_id, item.kind, item.fields) for item in drift.items]


async def filled(site: Site, count: int = 250) -> None:
    for key in range(count):
        site.table.put(key, name=f"row {key}", n=key)
    await site.fill()


def failure(document_id: str, offset: int = 7) -> Failure:
    place = TopicPartition("app.public.things", 0)
    return Failure("things", document_id, "update", ReasonClass.REJECTED, "internal", "no", True, "id", place, offset, 1, 1.0)


async def test_nothing_differs(site: Site) -> None:
    """No barrier is needed, the comparison is recorded, and an index that is in sync says so at every depth."""
    await filled(site)
    for wanted in (CONTENT, IDS, COUNTS):
        drift = await drifted(site, wanted)
        assert (drift.in_sync, drift.rows, drift.documents) == (True, 250, 250)
    assert site.barriers == 0
    assert {(one.depth, one.differences, one.rows) for one in await site.state.comparisons()} == {
        (Depth.CONTENT, 0, 250),
        (Depth.IDS, 0, 250),
    }


async def test_each_kind_of_difference_is_named_in_the_order_of_the_keys(site: Site) -> None:
    """Missing, different with the fields' names, ghosts, an id that is none of ours, a row that can become no document."""
    await filled(site)
    await site.remove(17)
    await site.plant({"id": 3, "name": "other", "n": 3})
    await site.plant({"id": 200, "name": "row 200", "n": None, "extra": 1})
    await site.plant({"id": 999, "name": "ghost", "n": 1})
    await site.plant({"id": "not_an-int", "name": "ghost", "n": 1})
    site.table.put(100, n="no integer")
    drift = await drifted(site)
    assert named(drift) == [
        ("3", Kind.DIFFERENT, ("name",)),
        ("17", Kind.MISSING, ()),
        ("100", Kind.REFUSED, ()),
        ("200", Kind.DIFFERENT, ("extra", "n")),
        ("999", Kind.GHOST, ()),
        ("not_an-int", Kind.GHOST, ()),
    ]
    assert drift.counts == {"missing": 1, "ghost": 2, "different": 2, "unreadable": 0, "refused": 1}
    ids = await drifted(site, IDS)
    assert [item.document_id for item in ids.items] == ["17", "100", "999", "not_an-int"]
    assert not (await drifted(site, COUNTS)).in_sync


async def test_what_is_on_its_way_is_not_reported(site: Site) -> None:
    """Rows are committed, and the worker has not applied them yet: after the barrier it has."""
    await filled(site)
    site.table.put(1, name="new", n=1)
    site.table.put(1000, name="inserted", n=1)
    site.table.delete(2)
    site.on_barrier = lambda: site.apply(1, 2, 1000)
    assert (await drifted(site)).in_sync
    assert site.barriers == 1


async def test_a_row_that_changes_at_the_second_look_is_looked_at_again(site: Site) -> None:
    """Between the barrier and the look at the document the row goes on changing: its newest change is in flight, no drift."""
    await filled(site)
    site.table.put(1, n=-1)
    left = [-2, -3, -4]

    async def busy() -> None:
        await site.apply(1)
        if left:
            site.table.put(1, n=left.pop())

    site.on_barrier = busy
    assert (await drifted(site)).in_sync
    assert site.barriers == 4


async def test_a_row_that_never_rests_is_told_as_such(site: Site) -> None:
    """Nothing can be said of it: the comparison is no proof, and no difference either."""
    await filled(site)

    async def busy() -> None:
        site.table.put(1, n=site.barriers)

    site.table.put(1, n=-1)
    site.on_barrier = busy
    drift = await drifted(site)
    assert (drift.in_sync, drift.complete, drift.moving) == (True, False, 1)
    assert await site.state.comparisons() == []


async def test_a_row_that_comes_and_goes_is_no_ghost(site: Site) -> None:
    """It is absent at both ends of a look and was there in between: its document is in flight, not left behind."""
    await filled(site)
    site.table.put(7000, n=1)
    await site.apply(7000)
    site.table.delete(7000)
    applied = [False]

    async def comes_and_goes() -> None:
        if not applied[0]:
            applied[0] = True
        else:
            await site.apply(7000)

    site.on_barrier = comes_and_goes
    assert (await drifted(site)).in_sync


async def test_rows_outside_the_declaration_have_no_documents(site: Site) -> None:
    """A soft-deleted row's document is a ghost, though its row is there; the row itself is nothing that misses."""
    other = Site(site.double, soft_delete="gone")
    other.table = site.table
    other.target = replace(other.target, rows=site.table)
    await filled(site, 5)
    site.table.put(3, name="row 3", n=3, gone="2024-01-01")
    drift = await drifted(other)
    assert named(drift) == [("3", Kind.GHOST, ())]
    assert drift.rows == 4
    sliced = await drifted(other, Wanted(where="n > 1"))
    assert named(sliced) == [("3", Kind.GHOST, ())]
    assert (sliced.complete, sliced.ghosts.value) == (False, "slice")
    await other.close()


async def test_an_open_failure_explains_a_difference(site: Site) -> None:
    """What was dead-lettered is no riddle: the report says which failed work it is."""
    await filled(site, 5)
    site.table.put(2, name="new", n=2)
    await site.state.record_failures([failure("2")], [None])
    drift = await drifted(site)
    assert [(item.document_id, item.failed_work) for item in drift.items] == [("2", 1)]
    assert (drift.explained, drift.in_sync) == (1, False)


async def test_a_clean_comparison_clears_what_it_disproves_and_no_more(site: Site) -> None:
    """Ids prove that no delete was lost, content that no change was; a finding that is newer than the comparison stays."""
    await filled(site, 5)
    for kind in (FindingKind.DELETES_UNPROVEN, FindingKind.CHANGES_LOST, FindingKind.SINK_LOST_MEMORY):
        await site.state.add_finding(found(kind, "things", "seen", now=1.0))
    drift = await drifted(site, IDS)
    assert drift.cleared == ("deletes-unproven things",)
    await site.state.add_finding(found(FindingKind.DELETES_UNPROVEN, "things", "again", now=9e9))
    assert (await drifted(site)).cleared == ("changes-lost things",)
    assert {finding.kind for finding in await site.state.findings()} == {"deletes-unproven", "sink-lost-memory"}


async def test_a_comparison_that_found_something_clears_nothing(site: Site) -> None:
    """One ghost is exactly what the finding is about."""
    await filled(site, 5)
    await site.plant({"id": 999, "name": "ghost", "n": 1})
    await site.state.add_finding(found(FindingKind.DELETES_UNPROVEN, "things", "seen", now=1.0))
    assert (await drifted(site, IDS)).cleared == ()
    [made] = await site.state.comparisons()
    assert made.differences == 1


async def test_a_sample_finds_ghosts_as_well(site: Site) -> None:
    """Documents are drawn too: a sample of rows alone would never meet one whose row is gone."""
    await filled(site, 20)
    await site.plant({"id": 999, "name": "ghost", "n": 1})
    drift = await drifted(site, Wanted(sample=100))
    assert named(drift) == [("999", Kind.GHOST, ())]
    assert not drift.complete


async def test_counts_that_move_meanwhile_are_no_drift(site: Site) -> None:
    """Rows are inserted all the time, and their documents follow: neither side is ever still."""
    await filled(site, 5)
    site.table.put(100, n=1)

    async def more() -> None:
        await site.apply(100 + site.barriers - 1)
        site.table.put(100 + site.barriers, n=1)

    site.on_barrier = more
    assert (await drifted(site, COUNTS)).in_sync


async def test_more_differences_than_are_listed_are_counted(site: Site) -> None:
    """An empty index must not fill the memory of whoever asks."""
    for key in range(250):
        site.table.put(key, n=key)
    drift = await drifted(site, Wanted(limit=10))
    assert (drift.counts["missing"], len(drift.items), drift.more) == (250, 10, 240)


async def test_a_document_that_the_server_can_not_read_is_found_among_its_neighbours() -> None:
    """It fails every answer that contains it; the others are compared all the same."""
    async with MeilisearchDouble("masterKey") as double:
        site = await Site(double, settings={"searchableAttributes": ["name"]}).open()
        await filled(site, 40)
        deep: Any = 1
        for _ in range(128):
            deep = [deep]
        # The server refuses it in a new document, and takes it in an update.
        await site.plant({"id": 7, "name": "row 7", "n": deep})
        await site.remove(9)
        drift = await drifted(site)
        assert named(drift) == [("7", Kind.UNREADABLE, ()), ("9", Kind.MISSING, ())]
        await site.close()


async def test_one_document_is_shown_from_both_sides(site: Site) -> None:
    """Row, expected document and indexed document, and what differs between them."""
    await filled(site, 3)
    await site.plant({"id": 1, "name": "other", "n": 1})
    shown = await show(site.parts, site.target, "1")
    assert (shown.kind, shown.fields) == (Kind.DIFFERENT, ("name",))
    assert shown.expected == {"id": 1, "name": "row 1", "n": 1}
    assert shown.indexed == {"id": 1, "name": "other", "n": 1}
    assert (await show(site.parts, site.target, "2")).kind is None
    assert (await show(site.parts, site.target, "no-int")).row is None


# Mending


async def mended(site: Site, *, execute: bool, ghosts_only: bool = False, owner: bool = True) -> Any:
    drift, candidates = await compare(site.parts, site.target, CONTENT)
    log = MemoryLog()
    log.create("app.public.things")
    if owner:
        now = site.clock.now()
        site.state.seen = [WorkerRow("w", now, now, [], {}, "")]
        sleep = site.clock.sleep

        async def works(seconds: float) -> None:
            await sleep(seconds)
            for asked in list(site.state.rewrites.values()):
                await (site.remove(asked.document_id) if asked.key is None else site.apply(asked.key["id"]))
                await site.state.forget_rewrites([asked])

        site.clock.sleep = works  # type: ignore[method-assign]
    return await repair(
        site.parts,
        site.target,
        list(zip(drift.items, candidates, strict=True)),
        log=log,
        ghosts_only=ghosts_only,
        execute=execute,
        actor="tester",
        timeout_s=10,
    )


async def spoilt(site: Site) -> None:
    await filled(site, 20)
    await site.remove(17)
    await site.plant({"id": 3, "name": "other", "n": 3})
    await site.plant({"id": 999, "name": "ghost", "n": 1})
    await site.plant({"id": "not-an_int", "name": "ghost", "n": 1})
    site.table.put(5, name="new", n=5)
    await site.state.record_failures([failure("5")], [None])


async def test_a_repair_says_first_what_it_will_do(site: Site) -> None:
    """Without a yes, nothing is asked of anybody, and nothing is in the audit log."""
    await spoilt(site)
    plan = await mended(site, execute=False)
    assert (plan.dry_run, plan.writes, plan.deletes, plan.left_alone) == (True, ("3", "17"), ("999", "not-an_int"), 1)
    assert (site.state.rewrites, site.state.entries) == ({}, [])


async def test_exactly_what_was_named_is_mended_and_compared_again(site: Site) -> None:
    """What an open failure explains is left to `retry`; the audit log has the start and the outcome."""
    await spoilt(site)
    done = await mended(site, execute=True)
    assert done.mended
    assert named(await drifted(site)) == [("5", Kind.DIFFERENT, ("name",))]
    assert [(entry[1], entry[3]["outcome"]) for entry in site.state.entries] == [
        ("drift repair", "started"),
        ("drift repair", "done"),
    ]


async def test_a_prune_writes_nothing(site: Site) -> None:
    """Only ghosts go."""
    await spoilt(site)
    done = await mended(site, execute=True, ghosts_only=True)
    assert (done.writes, done.deletes) == ((), ("999", "not-an_int"))
    assert [item[0] for item in named(await drifted(site))] == ["3", "5", "17"]


async def test_a_repair_that_did_not_mend_says_so(site: Site) -> None:
    """The worker was done, and the document differs all the same."""
    await filled(site, 5)
    await site.remove(2)
    site.state.seen = [WorkerRow("w", site.clock.now(), site.clock.now(), [], {}, "")]

    async def forgets(seconds: float) -> None:
        await site.state.forget_rewrites(list(site.state.rewrites.values()))

    site.clock.sleep = forgets  # type: ignore[method-assign]
    done = await mended(site, execute=True, owner=False)
    assert [item.document_id for item in done.remaining] == ["2"]
    assert not done.mended


async def test_without_a_worker_nothing_is_asked(site: Site) -> None:
    """A request that nobody takes up would be carried out whenever one starts."""
    await spoilt(site)
    with pytest.raises(SyncWorkerError, match="no worker is running"):
        await mended(site, execute=True, owner=False)
    assert site.state.rewrites == {}
