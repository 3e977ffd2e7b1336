"""The command line's side of a rebuild: killed before and after each of its records, it is taken on and comes to the same end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from sync_worker.adapters.meilisearch.admin import MeilisearchAdmin
from sync_worker.backfill.model import Stage
from sync_worker.errors import AnswerLost, SyncWorkerError
from sync_worker.operations.drift import DriftParts
from sync_worker.operations.reindex import gates
from sync_worker.operations.reindex.gates import GateFailed, Gates, GateSeen, Sample
from sync_worker.operations.reindex.parts import ReindexParts
from sync_worker.operations.reindex.reindex import NotConfirmed, Reindex
from sync_worker.rebuild.model import Rebuild
from sync_worker.watch.facts import WatchedIndex

from .world import PLACE, TABLE, TOPIC, QuickClock, Worker, World


class Killed(BaseException):
    """The command line ends here."""


class Mortal:
    """The state database for a command line that is killed at one of its records.

    Args:
        at: before (even) or after (odd) the at-th half record; None for never.
    """

    def __init__(self, state: Any, at: int | None) -> None:
        self._state = state
        self.left = at
        self.records = 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._state, name)
        if name not in ("add_rebuild", "advance_rebuild", "exchange_rebuild", "end_rebuild", "add_backfill"):
            return real

        async def record(*given: Any, **more: Any) -> Any:
            self._live_on()
            done = await real(*given, **more)
            self.records += 1
            self._live_on()
            return done

        return record

    def _live_on(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed


class Table:
    def __init__(self, world: World) -> None:
        self._world = world

    async def count(self, where: str) -> int:
        return len(self._world.source.tables[TABLE])


class Site:
    """A world whose fills are carried out, with one worker."""

    def __init__(self, world: World, worker: Worker) -> None:
        self.world = world
        self.worker = worker
        self.admin = MeilisearchAdmin(world.double.url, "masterKey", compress="none")
        self.tasks = [asyncio.ensure_future(self._deliver()), asyncio.ensure_future(self._fill())]
        self.said: list[str] = []

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await self.admin.close()

    async def _deliver(self) -> None:
        while True:
            if (chunk := self.worker.group.fetch(PLACE, 10)) is not None:
                await self.worker.pipeline.take(chunk)
            await asyncio.sleep(0.002)

    async def _fill(self) -> None:
        """In the connector's and the steward's place."""
        state = self.world.state
        while True:
            for one in await state.backfills(running_only=True):
                for row in list(self.world.source.tables[TABLE].values()):
                    self.world.snapshot_row(row)
                await self.world.acknowledged(self.world.log.end(PLACE))
                await state.hold_backfill(one.id, "steward", 60)
                ends = {PLACE.partition: self.world.log.end(PLACE)}
                await state.save_backfill(replace(one, stage=Stage.DONE, ended_at=1.0, topic_id="id-1", ends=ends), "steward")
            await asyncio.sleep(0.01)

    def reindex(self, at: int | None = None, *, admin: Any = None, timeout_s: float = 200.0) -> Reindex:
        clock = QuickClock()
        self.mortal = Mortal(self.world.state, at)
        return Reindex(
            ReindexParts(
                state=self.mortal,
                admin=admin or self.admin,
                declaration=self.world.declarations[0],
                table=Table(self.world),
                drift=DriftParts(self.world.state, None, clock, Random(1)),  # type: ignore[arg-type]
                target=lambda rebuild: None,  # type: ignore[arg-type,return-value]
                clock=clock,
                actor="test",
                dead_after_s=30.0,
                timeout_s=timeout_s,
                tell=self.said.append,
                watched=WatchedIndex(TABLE, TOPIC, ("id",), frozenset({"id", "name", "n"}), "declared"),
            )
        )

    def rows(self) -> dict[str, Any]:
        return {str(key): dict(row) for (key,), row in self.world.source.tables[TABLE].items()}

    async def settled(self) -> None:
        await self.world.acknowledged(self.world.log.end(PLACE))
        await self.world.until(lambda: all(lane.quiet for lane in self.worker.pipeline._lanes.values()), "quiet")

    def uids(self) -> set[str]:
        return set(self.world.double.core.state.indexes)


@pytest.fixture
async def site(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    async def drift(parts: ReindexParts, rebuild: Rebuild) -> GateSeen:
        await world.acknowledged(world.log.end(PLACE))
        equal = world.documents(rebuild.target_uid) == made.rows()
        return GateSeen("drift", equal, "compared")

    monkeypatch.setattr(gates, "_drift", drift)
    worker = await world.start()
    for key in range(1, 5):
        world.change("c", key, name="x", n=key)
    made = Site(world, worker)
    await made.settled()
    yield made
    await made.close()


def _some(count: int) -> list[Any]:
    """Every fifth place each time, all of them among the long tests."""
    return [pytest.param(at, marks=() if at % 5 == 2 else (pytest.mark.long,)) for at in range(count)]


async def test_it_stops_before_the_swap_and_after_it(site: Site) -> None:
    """Without `--auto-cutover` somebody decides; the new index is recorded as filled with the swap, and the old one on the way
    back."""
    rebuild = await site.reindex().start(Gates(), auto_cutover=False)
    assert (await site.reindex().shown(rebuild)).live == "old"
    rebuild = await site.reindex().resume(auto_cutover=True)
    shown = await site.reindex().shown(rebuild)
    assert (shown.phase, shown.live, shown.live_uid) == ("swapped", "new", "things")
    fill = (await site.world.state.fills())["things"]
    assert (fill.uid, fill.created_at) == ("things", rebuild.new_created_at)
    with pytest.raises(SyncWorkerError, match="may be, the new index"):
        await site.reindex().abort()
    await site.reindex().rollback()
    await site.reindex().resume(auto_cutover=True)
    site.world.change("u", 1, name="y", n=9)
    await site.settled()
    assert site.world.documents("things") == site.world.documents(rebuild.target_uid) == site.rows()
    done = await site.reindex().finish()
    assert site.uids() == {"things"}
    assert f"deleted: {done.target_uid}" in "\n".join(site.said)


async def test_a_failing_gate_names_what_it_saw_and_changes_nothing(site: Site) -> None:
    """`--resume` looks again; an abort leaves no target."""
    asked = Gates(min_documents=5, samples=[Sample(search={"q": ""}, expect=["no such id"])])
    with pytest.raises(GateFailed) as caught:
        await site.reindex().start(asked, auto_cutover=True)
    assert {one.gate for one in caught.value.seen if not one.passed} == {"count", "sample"}
    with pytest.raises(GateFailed):
        await site.reindex().resume(auto_cutover=True)
    await site.reindex().abort()
    assert site.uids() == {"things"}
    assert site.world.documents("things") == site.rows()


async def test_a_swap_whose_answer_is_lost_is_not_asked_for_twice(site: Site) -> None:
    """Twice is not at all: the old index would bear the name again."""
    swaps = 0

    class Deaf:
        def __getattr__(self, name: str) -> Any:
            return getattr(site.admin, name)

        async def enqueue_swap(self, one: str, other: str) -> None:
            nonlocal swaps
            swaps += 1
            await site.admin.enqueue_swap(one, other)
            raise AnswerLost("cut off")

    rebuild = await site.reindex(admin=Deaf()).start(Gates(), auto_cutover=True)
    assert (swaps, rebuild.new_is_live) == (1, True)
    assert site.world.double.core.state.indexes["things"].created_at == rebuild.new_created_at


async def test_a_worker_that_does_not_confirm_holds_nobody_up(site: Site) -> None:
    """The pause is given up, both are written to again, and it is named who did not come."""
    await site.reindex().start(Gates(), auto_cutover=False)
    await site.world.state.worker_alive("stalled", [], {"things": "waits for something"}, "")
    with pytest.raises(NotConfirmed, match=r"stalled.*waits for something"):
        await site.reindex(timeout_s=10.0).resume(auto_cutover=True)
    site.world.change("u", 1, name="y", n=9)
    await site.settled()
    assert site.world.documents("things") == site.rows()


@pytest.mark.parametrize("at", _some(30))
async def test_killed_at_each_of_its_records_it_is_taken_on(site: Site, at: int) -> None:
    """Before and after each, while rows change: whoever resumes comes to the end, and both indexes show the table."""
    world = site.world
    try:
        await site.reindex(at).start(Gates(), auto_cutover=True)
        alive = True
    except Killed:
        alive = False
    world.change("u", 1, name="killed", n=at)
    world.change("d", 2)
    if not await world.state.rebuilds():
        await site.reindex().start(Gates(), auto_cutover=True)
    elif not alive:
        await site.reindex().resume(auto_cutover=True)
    rebuild = (await world.state.rebuilds())["things"]
    world.change("u", 3, name="after", n=at)
    await site.settled()
    assert (rebuild.phase.value, rebuild.new_is_live) == ("swapped", True)
    assert world.double.core.state.indexes["things"].created_at == rebuild.new_created_at
    assert world.documents("things") == world.documents(rebuild.target_uid) == site.rows()
    assert await world.state.findings() == []


@pytest.mark.parametrize("verb", ["rollback", "finish", "abort"])
@pytest.mark.parametrize("at", _some(8))
async def test_killed_on_its_way_back_or_to_its_end_it_is_taken_on(site: Site, verb: str, at: int) -> None:
    """The same for the other three; an index is deleted only where the live one is another."""
    world = site.world
    await site.reindex().start(Gates(), auto_cutover=verb != "abort")
    try:
        await getattr(site.reindex(at), verb)()
    except Killed:
        if "things" in await world.state.rebuilds() and not (verb != "rollback" and at == 0):
            running = (await world.state.rebuilds())["things"]
            if verb == "rollback" and not running.new_is_live:
                pass  # it had been done
            else:
                await (
                    site.reindex().rollback() if verb == "rollback" and running.phase.value == "swapped" else _again(site, verb)
                )
        elif "things" in await world.state.rebuilds():
            await getattr(site.reindex(), verb)()
    world.change("u", 3, name="after", n=at)
    await site.settled()
    assert world.documents("things") == site.rows()
    if verb == "rollback":
        rebuild = (await world.state.rebuilds())["things"]
        assert not rebuild.new_is_live
        assert world.documents(rebuild.target_uid) == site.rows()
    else:
        assert site.uids() == {"things"}
        assert await world.state.rebuilds() == {}
    assert await world.state.findings() == []


async def _again(site: Site, verb: str) -> None:
    await (site.reindex().resume(auto_cutover=False) if verb == "rollback" else getattr(site.reindex(), verb)())
