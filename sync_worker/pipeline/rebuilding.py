"""What this worker does for rebuilds: a second lane for the other uid, standing still for a swap, and letting a lane go.

Lanes come and go at a record boundary, while nobody is taking from the table's partitions and none of them is being prepared.
What is recorded is read before each assignment too, so that a worker which joins later knows it before its first write.

To stand still, nothing new is taken, everything in the lanes goes out and is acknowledged, and then the partitions and the keeper
are locked until the rebuild goes on: only that is confirmed. A swap exchanges the two physical indexes behind the names, and all
that is remembered of them with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import structlog

from sync_worker.change.model import TopicPartition
from sync_worker.errors import EnvironmentFault, OperatorNeeded, OwnershipLost, SinkDenied, StartAgain, StateUnavailable
from sync_worker.pipeline.holds import Holds, Patience
from sync_worker.pipeline.journal import Journal
from sync_worker.pipeline.keeper import Keeper
from sync_worker.pipeline.lane import Lane
from sync_worker.pipeline.model import Index
from sync_worker.pipeline.partition import Partition
from sync_worker.pipeline.quarantine import Quarantine
from sync_worker.pipeline.tasks import Tasks
from sync_worker.ports import PAUSED, Clock, IndexRecord, State, Telemetry
from sync_worker.rebuild.model import Phase, Rebuild
from sync_worker.rebuild.steps import asked, waits_for

log = structlog.get_logger(__name__)

_LOOK_S = 0.5
_BUSY_S = 0.05
_DRAIN_S = 10.0
"""How long a lane that is to go may take to finish what it has in flight; then it is dropped: its index is deleted anyway."""

LEASE_S = 20.0
"""A worker that could not read the rebuilds for so long writes to none of their indexes: others may think that it is dead."""

_GONE = "rebuild-target-gone"


@dataclass(slots=True)
class _Still:
    """What is locked while this worker stands still for one rebuild."""

    epoch: int
    locks: list[asyncio.Lock]


@dataclass(slots=True)
class _Known:
    """What this worker does for one rebuild so far.

    Attributes:
        rebuild: as it was read last.
        new_is_live: which physical index this worker's lanes take for the one that `uid` names.
        confirmed: the epoch that was confirmed last.
        closing_since: when its second lane began to be closed.
    """

    rebuild: Rebuild
    new_is_live: bool
    confirmed: int = -1
    still: _Still | None = None
    closing_since: float | None = None


@dataclass(slots=True)
class Site:
    """The parts of the pipeline that come and go with a lane; all shared with it.

    Attributes:
        make_lane: a lane with its journal, not running yet.
        busy: whether work that operators asked for is on its way.
    """

    lanes: dict[str, Lane]
    journals: dict[str, Journal]
    keepers: Mapping[str, Keeper]
    partitions: Mapping[TopicPartition, Partition]
    quarantine: Quarantine
    tasks: Tasks
    make_lane: Callable[[Index], Lane]
    busy: Callable[[], bool]
    known: dict[str, _Known] = field(default_factory=dict)

    def of_topic(self, topic: str) -> list[Partition]:
        return [partition for place, partition in self.partitions.items() if place.topic == topic]

    def preparing(self, topic: str) -> bool:
        return any(partition.preparing for partition in self.of_topic(topic))


class Rebuilding:
    """Keeps this worker's lanes as the recorded rebuilds ask, and confirms it."""

    def __init__(
        self,
        site: Site,
        *,
        worker_name: str,
        state: State,
        holds: Holds,
        patience: Patience,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._site = site
        self._telemetry = telemetry
        self._worker_name = worker_name
        self._state = state
        self._holds = holds
        self._patience = patience
        self._clock = clock
        self._read_at = clock.monotonic()
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._patience.persist("rebuilds", self.round, wanted=lambda: True)
            busy = any(asked(known.rebuild).still or known.closing_since is not None for known in self._site.known.values())
            await self._clock.sleep(_BUSY_S if busy else _LOOK_S)

    async def round(self) -> None:
        """One look. Raises EnvironmentFault to be tried again, StartAgain where a swap was missed."""
        async with self._turn:
            asked_at = self._clock.monotonic()
            recorded = await self._state.rebuilds()
            self._read_at = asked_at
            for name in [name for name in self._site.known if name not in recorded]:
                await self._end(name)
            for rebuild in recorded.values():
                await self._follow(rebuild)

    async def before_preparing(self, partition: Partition) -> None:
        """Returns once the lanes of the partition's table are what is recorded, and nothing stands still; marks it as preparing.

        Raises EnvironmentFault to be tried again, OwnershipLost once it was revoked.
        """
        topic = partition.place.topic
        while True:
            if partition.dropped:
                raise OwnershipLost(f"{partition.subject} was revoked")
            await self.round()
            if not any(self._is_behind(known) for known in self._site.known.values() if self._topic(known.rebuild) == topic):
                partition.preparing = True
                return
            await self._clock.sleep(_BUSY_S)

    def stands_still(self, topic: str) -> bool:
        """Whether nothing new may be taken. A replay is taken to its end first: half of it would show older documents."""
        lanes = [lane for lane in self._site.lanes.values() if lane.index.topic == topic]
        return any(lane.still for lane in lanes) and not any(lane.replay_until for lane in lanes)

    # Inside

    def _show(self, rebuild: Rebuild, value: int) -> None:
        live = "new" if rebuild.new_is_live else "old"
        self._telemetry.gauge(
            "rebuild_phase",
            value,
            index=rebuild.index,
            uid=rebuild.uid,
            target=rebuild.target_uid,
            live=live,
            phase=rebuild.phase.value,
        )

    def _topic(self, rebuild: Rebuild) -> str | None:
        lane = self._site.lanes.get(rebuild.index)
        return None if lane is None else lane.index.topic

    def _is_behind(self, known: _Known) -> bool:
        """Whether its lanes are not what is asked, or stand still."""
        rebuild = known.rebuild
        wanted = asked(rebuild)
        if wanted.still or known.closing_since is not None:
            return True
        there = rebuild.target_lane in self._site.lanes
        held = rebuild.target_lane in self._holds
        return wanted.both != there and not held

    async def _follow(self, rebuild: Rebuild) -> None:
        site = self._site
        known = site.known.get(rebuild.index)
        if known is None or known.rebuild.id != rebuild.id:
            if known is not None:
                await self._end(rebuild.index)
            known = site.known[rebuild.index] = _Known(rebuild, rebuild.new_is_live)
        before, known.rebuild = known.rebuild, rebuild
        self._show(before, 0)
        self._show(rebuild, 1)
        lane = site.lanes.get(rebuild.index)
        wanted = asked(rebuild)
        if lane is None:
            # Another configuration: this worker never writes to it.
            await self._confirm(known)
            return
        if rebuild.new_is_live != known.new_is_live:
            self._exchange(known, before)
        passed = known.still is not None and rebuild.epoch != known.still.epoch and not self._swap_follows(known)
        if passed or (lane.still and not wanted.still):
            self._go_on(known)
        if not wanted.both:
            await self._close(known)
            return
        if not await self._open(known, lane):
            return
        self._route_rows()
        if wanted.still and known.still is None:
            await self._stand_still(known)
            return
        if not wanted.still:
            await self._watch_target(known)
        await self._confirm(known)

    def _swap_follows(self, known: _Known) -> bool:
        """Still since the pause that this swap came out of."""
        return known.rebuild.phase is Phase.SWAPPING and known.still is not None and known.still.epoch == known.rebuild.epoch - 1

    async def _confirm(self, known: _Known) -> None:
        rebuild = known.rebuild
        if asked(rebuild).confirmed and known.confirmed != rebuild.epoch:
            await self._state.confirm_rebuild(rebuild, self._worker_name)
            known.confirmed = rebuild.epoch
            log.info("rebuild confirmed", index=rebuild.index, phase=rebuild.phase.value, target=rebuild.target_uid)

    # The second lane

    async def _open(self, known: _Known, live: Lane) -> bool:
        """Whether its second lane is there."""
        rebuild, site, name = known.rebuild, self._site, known.rebuild.target_lane
        if name in site.lanes:
            return True
        topic = live.index.topic
        if site.preparing(topic):
            return False
        index = replace(live.index, name=name, uid=rebuild.target_uid)
        try:
            identity = await index.sink.identity(index.uid)
        except SinkDenied as denied:
            if rebuild.phase is not Phase.DUAL:
                raise
            # Not confirmed, so nothing is lost by going on without it.
            self._holds.put(name, type(denied).__name__, denied.message, "sync-worker keys: the worker's key must cover it")
            return False
        if identity is None or not self._is_its(rebuild, identity.created_at):
            self._hold_gone(rebuild)
            return False
        self._holds.lift(name, SinkDenied.__name__)
        records = await self._state.index_records([name])
        newest = await index.sink.last_task(index.uid)
        partitions = site.of_topic(topic)
        failures = {p.place: await self._state.open_failures(name, p.place, p.topic_id) for p in partitions if p.active}
        async with _AllOf([partition.lock for partition in partitions]):
            if site.preparing(topic) or any(p.active and p.place not in failures for p in site.of_topic(topic)):
                return False
            lane = site.make_lane(index)
            keeper, journal = site.keepers[topic], site.journals[name]
            keeper.records[name] = records.get(name) or IndexRecord(
                name, index.uid, rebuild.other_created_at, index.id_field, None, None
            )
            site.quarantine.add_index(name)
            for partition in site.of_topic(topic):
                if partition.active:
                    site.quarantine.memory.load(name, failures[partition.place])
                    journal.scanned[partition.place] = newest.uid if newest is not None else -1
                    lane.open(partition.generation, partition.place, partition.topic_id, -1)
                    lane.replay_until.pop(partition.place, None)
            keeper.add(lane)
            site.lanes[name] = lane
            for one in (live, lane):
                one.writer.require_leave = self._require_leave
        site.tasks.spawn(f"index {name}", lane.run())
        log.info("writing to a second index", index=rebuild.index, uid=rebuild.target_uid)
        return True

    @staticmethod
    def _is_its(rebuild: Rebuild, created_at: str) -> bool:
        """While a swap may be on its way, the other name may have either index."""
        either = (rebuild.old_created_at, rebuild.new_created_at)
        return created_at in (either if rebuild.phase is Phase.SWAPPING else (rebuild.other_created_at,))

    def _route_rows(self) -> None:
        """Rows of an incremental snapshot bear nobody's name: while a rebuild is filled, those of its table are its own."""
        lanes = self._site.lanes
        filled = {
            known.rebuild.target_lane: lanes[known.rebuild.target_lane].index.topic
            for known in self._site.known.values()
            if asked(known.rebuild).rows_to_target and known.rebuild.target_lane in lanes
        }
        for name, lane in lanes.items():
            lane.takes_rows = name in filled or lane.index.topic not in filled.values()

    def _require_leave(self) -> None:
        """Raises StateUnavailable where others may go on without this worker, so that a swap would part a pair of writes."""
        if self._clock.monotonic() - self._read_at > LEASE_S:
            raise StateUnavailable("an index is being rebuilt, and how far that is could not be read for too long")

    async def _watch_target(self, known: _Known) -> None:
        rebuild = known.rebuild
        lane = self._site.lanes[rebuild.target_lane]
        # For an index that is gone it would wait for ever, and keep the live one's offsets back.
        try:
            identity = await lane.index.sink.identity(lane.index.uid)
        except EnvironmentFault:
            return
        if identity is None or identity.created_at != rebuild.other_created_at:
            await self._drop(known, lane)
            self._hold_gone(rebuild)

    def _hold_gone(self, rebuild: Rebuild) -> None:
        verb = "--finish" if rebuild.new_is_live else "--abort"
        cause = f"{rebuild.index}: the index {rebuild.target_uid} of its rebuild is gone; {rebuild.uid} is written to alone"
        self._holds.put(rebuild.target_lane, _GONE, cause, f"sync-worker reindex {rebuild.index} {verb}")

    async def _close(self, known: _Known) -> None:
        name = known.rebuild.target_lane
        lane = self._site.lanes.get(name)
        if lane is not None:
            now = self._clock.monotonic()
            if known.closing_since is None:
                known.closing_since = now
                lane.closing = lane.paused = True
                lane.wake()
            if not lane.halted and now - known.closing_since < _DRAIN_S:
                return
            if self._site.preparing(lane.index.topic):
                return
            await self._drop(known, lane)
        self._holds.lift(name, _GONE)
        self._holds.lift(name, SinkDenied.__name__)
        await self._confirm(known)

    async def _drop(self, known: _Known, lane: Lane) -> None:
        site, name, topic = self._site, lane.index.name, lane.index.topic
        await site.tasks.cancel(f"index {name}")
        keeper = site.keepers[topic]
        async with keeper.turn, _AllOf([partition.lock for partition in site.of_topic(topic)]):
            del site.lanes[name]
            keeper.remove(name)
            del site.journals[name]
            site.quarantine.forget_index(name)
            lane.close()
            self._route_rows()
            if (live := site.lanes.get(known.rebuild.index)) is not None:
                live.writer.require_leave = lambda: None
            for partition in site.of_topic(topic):
                partition.touched = True
        known.closing_since = None
        log.info("writing to one index again", index=known.rebuild.index, uid=known.rebuild.uid)

    async def _end(self, index: str) -> None:
        known = self._site.known[index]
        if known.still is not None:
            self._go_on(known)
        lane = self._site.lanes.get(known.rebuild.target_lane)
        if lane is not None:
            await self._drop(known, lane)
        self._holds.lift(known.rebuild.target_lane, _GONE)
        self._holds.lift(known.rebuild.target_lane, SinkDenied.__name__)
        self._show(known.rebuild, 0)
        del self._site.known[index]

    # The swap

    async def _stand_still(self, known: _Known) -> None:
        """One attempt: locked and confirmed once nothing is in flight, isolating, being recorded, or waiting to be stored."""
        rebuild, site = known.rebuild, self._site
        topic = site.lanes[rebuild.index].index.topic
        lanes = [lane for lane in site.lanes.values() if lane.index.topic == topic]
        for lane in lanes:
            lane.still = True
            lane.wake()
        self._holds.put(rebuild.index, PAUSED, f"{rebuild.index}: its rebuild waits for {waits_for(rebuild)}", "")
        keeper = site.keepers[topic]

        def at_rest() -> bool:
            partitions = site.of_topic(topic)
            return (
                all(lane.quiet for lane in lanes)
                and not site.busy()
                and not site.preparing(topic)
                and not keeper.turn.locked()
                and not any(partition.lock.locked() for partition in partitions)
            )

        if not at_rest():
            return
        try:
            await keeper.tick(site.of_topic(topic))
        except OperatorNeeded:
            return  # the keeper's own round tells it
        stored = all(
            partition.ledger is None or (partition.saved == partition.ledger.position and not partition.touched)
            for partition in site.of_topic(topic)
            if partition.active
        )
        if not stored or not at_rest() or any(site.journals[lane.index.name].mending for lane in lanes):
            return
        locks = [keeper.turn, *(partition.lock for partition in site.of_topic(topic))]
        for lock in locks:
            # None of them is held, so this gives way to nobody.
            await lock.acquire()
        known.still = _Still(rebuild.epoch, locks)
        await self._confirm(known)

    def _go_on(self, known: _Known) -> None:
        if known.still is not None:
            for lock in known.still.locks:
                lock.release()
        known.still = None
        index = known.rebuild.index
        live = self._site.lanes.get(index)
        if live is not None:
            for lane in self._site.lanes.values():
                if lane.index.topic == live.index.topic:
                    lane.still = False
                    lane.wake()
        self._holds.lift(index, PAUSED)

    def _exchange(self, known: _Known, before: Rebuild) -> None:
        """The swap was done while this worker stood still; raises StartAgain where it did not."""
        rebuild, site = known.rebuild, self._site
        if known.still is None:
            raise StartAgain(
                f"{rebuild.index}: its index was swapped ({before.phase.value} before) while this worker did not stand still"
            )
        name, other = rebuild.index, rebuild.target_lane
        site.journals[name].exchange(site.journals[other])
        site.quarantine.exchange(name, other)
        site.keepers[site.lanes[name].index.topic].exchange(name, other)
        known.new_is_live = rebuild.new_is_live
        log.info("indexes exchanged", index=name, live=rebuild.live_created_at)


class _AllOf:
    """Holds several locks, taken in the order given."""

    def __init__(self, locks: list[asyncio.Lock]) -> None:
        self._locks = locks
        self._held: list[asyncio.Lock] = []

    async def __aenter__(self) -> None:
        try:
            for lock in self._locks:
                await lock.acquire()
                self._held.append(lock)
        except BaseException:
            self._release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._release()

    def _release(self) -> None:
        for lock in reversed(self._held):
            lock.release()
        self._held.clear()
