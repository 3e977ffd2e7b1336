"""From the request to the end: whoever goes on with it, whatever the connector does, and what it proves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sync_worker.backfill.model import Stage, Wish
from sync_worker.errors import ConfigurationError, LogUnavailable, SyncWorkerError
from sync_worker.failure.findings import FindingKind, found
from sync_worker.operations.backfill.request import require_no_filling, wish
from sync_worker.operations.backfill.scanning import ASK_AGAIN_S, STANDS_STILL_S
from sync_worker.rebuild.model import Phase, Rebuild
from sync_worker.watch.fill import FillProof

from .site import NOTICES, PLACE, TOPIC, World


async def test_it_is_done_when_the_workers_have_acknowledged_and_not_before(world: World) -> None:
    """The snapshot's end is no end: while the barrier does not pass it goes on, and says what it waits for."""
    await world.ask()
    world.acknowledges = False
    steward = world.steward()
    waiting = await world.run(steward, lambda one: one.stage is Stage.APPLYING and bool(one.condition))
    assert waiting.condition == "the worker is behind"
    world.acknowledges = True
    done = await world.run(steward)
    assert (done.stage, done.scanned, done.applied, done.failed) == (Stage.DONE, 3, 3, 0)
    assert done.ends == {0: 3}
    assert world.debezium.told == ["scan"]


async def test_a_bookmark_behind_the_last_row_is_not_done(world: World) -> None:
    """The barrier may pass by what a worker says of itself; the stored bookmark decides."""
    await world.ask()
    steward = world.steward()
    await world.run(steward, lambda one: bool(one.ends))
    record = await world.state.bookmarks([PLACE])
    world.rows(9)
    later = replace(await world.now(), ends={0: world.log.end(PLACE)})
    assert await world.state.save_backfill(later, "w1")
    assert record[PLACE].next_offset == 3
    for _ in range(5):
        await steward.round()
    assert (await world.now()).stage is Stage.APPLYING
    await world.acknowledge()
    assert (await world.run(steward)).stage is Stage.DONE


@pytest.mark.parametrize("stage", [Stage.REQUESTED, Stage.SCANNING, Stage.APPLYING, Stage.PRUNING])
async def test_another_worker_goes_on_from_every_stage(world: World, stage: Stage) -> None:
    """The one that held it died; the next one takes it over once the lease is over, and not before."""
    world.documents.held = {"77"}
    await world.ask(prune=True)
    first = world.steward("w1")
    if stage is Stage.REQUESTED:
        assert await world.state.hold_backfill(1, "w1", 12.0)
    else:
        await world.run(first, lambda one: one.stage is stage)
    second = world.steward("w2")
    await second.round()
    assert (await world.now()).stage is stage, "it is still the first one's"
    world.clock.moment += 13
    done = await world.run(second)
    assert (done.stage, done.ghosts) == (Stage.DONE, 1)
    assert world.documents.held == {"1", "2", "3"}


async def test_a_signal_that_was_stored_and_never_sent_is_sent_again(world: World) -> None:
    """A worker dies between the two; and a connector that heard nothing of it is asked again after a while."""
    await world.ask()
    world.debezium.obeys = lambda _: (_ for _ in ()).throw(LogUnavailable("Kafka is away"))
    steward = world.steward()
    stuck = await world.run(steward, lambda one: one.condition == "Kafka is away")
    assert (stuck.stage, len(stuck.signals)) == (Stage.SCANNING, 1)
    world.debezium.obeys = lambda signal: world.scan(signal)
    before = world.clock.moment
    done = await world.run(steward)
    assert done.stage is Stage.DONE
    assert world.clock.moment - before < 3 * ASK_AGAIN_S


async def test_a_small_scan_that_was_dropped_is_asked_for_again(world: World) -> None:
    """Debezium says that it read three rows and completed; none of them is in the log."""
    await world.ask()
    left = [2]

    def loses_twice(signal: str) -> None:
        left[0] -= 1
        world.scan(signal, lose=left[0] >= 0)

    world.debezium.obeys = loses_twice
    steward = world.steward()
    told = await world.run(steward, lambda one: "asked again" in one.condition)
    assert "read 3 of 3 rows, and 0 of them" in told.condition
    done = await world.run(steward)
    assert (done.stage, len(done.signals), done.applied) == (Stage.DONE, 3, 3)


async def test_a_piece_that_debezium_read_twice_is_no_loss(world: World) -> None:
    """It counts such rows twice; rows that go during the scan are in the log with their delete."""
    await world.ask()

    def twice(signal: str) -> None:
        world.notice("STARTED", signal)
        world.rows(1, 2, 1, 2, 3)
        world.ended(signal, 5)

    world.debezium.obeys = twice
    done = await world.run(world.steward())
    assert (done.stage, len(done.signals), done.scanned, done.applied) == (Stage.DONE, 1, 5, 3)


async def test_rows_that_went_before_it_began_are_not_waited_for(world: World) -> None:
    """They were counted when it was asked for, and were gone when it began."""
    await world.ask()
    world.table.delete(3)
    done = await world.run(world.steward())
    assert (done.stage, len(done.signals), done.total) == (Stage.DONE, 1, 2)


async def test_rows_that_never_come_fail_it_by_name(world: World) -> None:
    """It is not asked for ever."""
    await world.ask()
    world.debezium.obeys = lambda signal: world.scan(signal, lose=True)
    failed = await world.run(world.steward())
    assert failed.stage is Stage.FAILED
    assert "0 of them are in the log, 8 times" in failed.condition


async def test_a_row_that_was_changed_during_the_scan_counts_as_there(world: World) -> None:
    """Debezium leaves the row out, because the change of the same key is in the log."""
    await world.ask()

    def with_a_change(signal: str) -> None:
        world.notice("STARTED", signal)
        world.rows(1, 3)
        world.rows(2)  # the update
        world.ended(signal, 3)

    world.debezium.obeys = with_a_change
    done = await world.run(world.steward())
    assert (done.stage, len(done.signals)) == (Stage.DONE, 1)


@pytest.mark.parametrize("status", ["SQL_EXCEPTION", "NO_PRIMARY_KEY", "UNKNOWN_SCHEMA", "SKIPPED", "SOMETHING_NEW"])
async def test_a_scan_that_failed_fails_it_by_name(world: World, status: str) -> None:
    """The snapshot goes on to COMPLETED as if nothing were."""
    await world.ask()
    world.debezium.obeys = lambda signal: world.scan(signal, lose=True, status=status)
    failed = await world.run(world.steward())
    assert failed.stage is Stage.FAILED
    assert status in failed.condition
    assert failed.ended_at is not None


async def test_a_scan_that_somebody_stopped_at_the_connector_is_asked_for_again(world: World) -> None:
    """Such a one is COMPLETED too, as Debezium tells it, though no table's scan ever was."""
    await world.ask()

    def stopped(signal: str) -> None:
        world.notice("STARTED", signal)
        world.notice("COMPLETED", signal)

    world.debezium.obeys = stopped
    steward = world.steward()
    await world.run(steward, lambda one: "somebody stopped" in one.condition)
    world.debezium.obeys = world.scan
    assert (await world.run(steward)).stage is Stage.DONE


async def test_a_dead_task_is_named_restarted_and_gone_on_from(world: World) -> None:
    """FAILED by Connect's own word; the restart is in the audit log."""
    await world.ask()
    signals: list[str] = []
    world.debezium.obeys = signals.append
    running = world.debezium.seen_as
    assert running is not None
    steward = world.steward()
    await world.run(steward, lambda one: bool(one.signals))
    world.debezium.seen_as = replace(running, running=False, state="connector RUNNING, task 0 FAILED: eventTxId is null")

    def back() -> None:
        world.debezium.seen_as = running
        world.scan(signals[0])

    world.debezium.on_restart = back
    told = await world.run(steward, lambda one: one.restarts == 1)
    assert "eventTxId is null" in told.condition
    assert (await world.run(steward)).stage is Stage.DONE
    assert "connector restart" in world.state.verbs


async def test_a_paused_or_missing_connector_is_waited_for_and_not_restarted(world: World) -> None:
    """Somebody paused it on purpose."""
    await world.ask()
    signals: list[str] = []
    world.debezium.obeys = signals.append
    running = world.debezium.seen_as
    assert running is not None
    steward = world.steward()
    await world.run(steward, lambda one: bool(one.signals))
    for seen, word in ((replace(running, running=False, state="connector PAUSED, task 0 PAUSED"), "PAUSED"), (None, "gone")):
        world.debezium.seen_as = seen
        told = await world.run(steward, lambda one, word=word: word in one.condition)  # type: ignore[misc]
        assert told.stage is Stage.SCANNING
    assert world.debezium.restarts == 0
    world.debezium.seen_as = running
    world.scan(signals[0])
    assert (await world.run(steward)).stage is Stage.DONE


async def test_a_scan_that_stands_still_is_named_restarted_and_then_asked_for_again(world: World) -> None:
    """The task says RUNNING and does nothing: known of chunks as large as the connector's queue."""
    await world.ask()
    world.debezium.obeys = lambda signal: world.notice("STARTED", signal)
    steward = world.steward()
    began = world.clock.moment
    told = await world.run(steward, lambda one: one.restarts == 1)
    assert "stands still" in told.condition
    assert "incremental.snapshot.chunk.size" in told.condition
    assert world.clock.moment - began >= STANDS_STILL_S
    world.debezium.obeys = world.scan
    done = await world.run(steward)
    assert (done.stage, world.debezium.told) == (Stage.DONE, ["scan", "stop", "scan"])


async def test_it_begins_after_the_connectors_first_snapshot(world: World) -> None:
    """While a fill of the table runs no other may start."""
    running = world.debezium.seen_as
    assert running is not None
    world.debezium.seen_as = replace(running, snapshotting=True)
    await world.ask()
    steward = world.steward()
    told = await world.run(steward, lambda one: bool(one.condition))
    assert (told.stage, world.debezium.told) == (Stage.REQUESTED, [])
    world.debezium.seen_as = running
    assert (await world.run(steward)).stage is Stage.DONE


async def test_a_topic_made_anew_begins_it_again(world: World) -> None:
    """Its rows were in the topic that is gone."""
    await world.ask()
    signals: list[str] = []
    world.debezium.obeys = signals.append
    steward = world.steward()
    await world.run(steward, lambda one: bool(one.signals))
    world.log.create(TOPIC, topic_id="id-2")
    world.debezium.obeys = world.scan
    done = await world.run(steward)
    assert (done.stage, done.topic_id) == (Stage.DONE, "id-2")


async def test_pause_resume_and_stop(world: World) -> None:
    """Each reaches the connector; stopped it ends, and proves nothing."""
    await world.ask(prune=True)
    world.debezium.obeys = lambda signal: world.notice("STARTED", signal)
    steward = world.steward()
    await world.run(steward, lambda one: bool(one.signals))
    await world.state.wish_backfill(1, Wish.PAUSE)
    paused = await world.run(steward, lambda one: one.paused)
    world.clock.moment += 10 * STANDS_STILL_S
    await steward.round()
    assert world.debezium.restarts == 0, "who is paused stands still on purpose"
    await world.state.wish_backfill(1, Wish.RUN)
    await world.run(steward, lambda one: not one.paused)
    await world.state.wish_backfill(1, Wish.STOP)
    stopped = await world.run(steward)
    assert (paused.stage, stopped.stage) == (Stage.SCANNING, Stage.STOPPED)
    assert world.debezium.told == ["scan", "pause", "resume", "stop"]
    assert await world.state.fills() == {}
    with pytest.raises(SyncWorkerError, match="no backfill"):
        await wish(world.state, "things", Wish.STOP, world.clock, actor="somebody", timeout_s=1)  # type: ignore[arg-type]


async def test_ghosts_are_removed_and_the_fill_is_proven(world: World) -> None:
    """What was seen before it began is cleared; what came since stays open, and so does what only a decision settles."""
    before, later = world.clock.now() - 1, world.clock.now() + 1000
    for kind, subject, moment in (
        (FindingKind.NEVER_FILLED, "things", before),
        (FindingKind.DELETES_UNPROVEN, "things", before),
        (FindingKind.OLDER_DECLARATION, "things", before),
        (FindingKind.PARTITION_COUNT_CHANGED, TOPIC, before),
        (FindingKind.TRUNCATE_OVER_PARTITIONS, "things", later),
        (FindingKind.NEVER_FILLED, "others", before),
    ):
        await world.state.add_finding(found(kind, subject, "seen", now=moment))
    world.documents.held = {"77", "78"}
    await world.ask(prune=True)
    done = await world.run(world.steward())
    assert (done.stage, done.ghosts, done.missing) == (Stage.DONE, 2, 0)
    assert world.documents.held == {"1", "2", "3"}
    fill = (await world.state.fills())["things"]
    assert (fill.proof, fill.declaration, fill.ends, fill.older_documents) == (FillProof.BACKFILL, "declared", {0: 3}, 0)
    still = {(one.kind, one.subject) for one in await world.state.findings()}
    assert still == {("truncate-over-partitions", "things"), ("never-filled", "others")}


async def test_a_row_that_has_no_document_after_the_fill_is_written(world: World) -> None:
    """Whoever removed it meanwhile: the comparison of the ids finds it, and the fill is proven only then."""
    await world.ask(prune=True)
    steward = world.steward()
    await world.run(steward, lambda one: one.stage is Stage.PRUNING)
    world.documents.held.discard("2")
    world.acknowledges_documents = False
    done = await world.run(steward)
    assert (done.stage, done.ghosts, done.missing) == (Stage.DONE, 0, 1)
    assert world.documents.held == {"1", "2", "3"}


@pytest.mark.parametrize(("where", "prune"), [("id < 3", False), ("", False)])
async def test_what_is_not_complete_proves_nothing(world: World, where: str, prune: bool) -> None:
    """Only some rows, or ghosts left."""
    await world.state.add_finding(found(FindingKind.NEVER_FILLED, "things", "seen", now=1.0))
    world.documents.held = {"77"}
    await world.ask(where, prune=prune)
    assert (await world.run(world.steward())).stage is Stage.DONE
    assert await world.state.fills() == {}
    assert len(await world.state.findings()) == 1
    assert "77" in world.documents.held
    assert world.debezium.wheres == [where]


async def test_what_holds_for_want_of_the_fill_is_let_go_and_doubted_until_it_is_done(world: World) -> None:
    """The sink lost its memory, or the log was replaced: nothing could be written into what is to be filled."""
    await world.state.add_finding(found(FindingKind.SINK_LOST_MEMORY, "things", "it is empty", now=1.0))
    await world.state.add_finding(found(FindingKind.LOG_REPLACED, f"{TOPIC}:0", "another log", now=1.0))
    await world.ask(prune=True)
    steward = world.steward()
    world.debezium.obeys = lambda _: None
    await world.run(steward, lambda one: bool(one.signals))
    opened = await world.state.findings()
    assert [(one.kind, one.subject, one.blocking) for one in opened] == [("never-filled", "things", False)]
    world.debezium.obeys = world.scan
    assert (await world.run(steward)).stage is Stage.DONE
    assert await world.state.findings() == []


async def test_what_is_lost_while_it_runs_has_it_begin_again(world: World) -> None:
    """A worker that holds again would be waited for in vain; what it was sent before may be gone. So it is for an index that was
    missing: told to be gone at first, and to be another one once it is created."""
    await world.ask(prune=True)
    steward = world.steward()
    first = await world.run(steward, lambda one: one.stage is Stage.APPLYING)
    await world.state.add_finding(found(FindingKind.SINK_LOST_MEMORY, "things", "it is another one", now=2.0))
    done = await world.run(steward)
    assert (done.stage, len(done.signals)) == (Stage.DONE, len(first.signals) + 1)
    assert await world.state.findings() == []


async def test_one_without_prune_lets_nothing_go(world: World) -> None:
    """It would not show that the index is right."""
    await world.state.add_finding(found(FindingKind.SINK_LOST_MEMORY, "things", "it is empty", now=1.0))
    await world.ask()
    await world.run(world.steward())
    assert [one.kind for one in await world.state.findings()] == ["sink-lost-memory"]


async def test_a_second_one_joins_or_is_refused(world: World) -> None:
    """It joins what does as much; after a TRUNCATE over several partitions it needs a new one."""
    first = await world.ask(prune=True)
    assert (await world.ask()).id == first.id
    assert (await world.ask(prune=True)).id == first.id
    with pytest.raises(SyncWorkerError, match="one at a time"):
        await world.ask("id < 3")
    truncated = found(FindingKind.TRUNCATE_OVER_PARTITIONS, "things", "cleared", now=world.clock.now() + 5)
    await world.state.add_finding(truncated)
    with pytest.raises(SyncWorkerError, match="began before truncate-over-partitions"):
        await world.ask(prune=True)


async def test_what_can_not_be_is_refused_before_anything_is_stored(world: World) -> None:
    """Rows and ghosts at once; and no worker that would do it."""
    with pytest.raises(ConfigurationError, match="exclude each other"):
        await world.ask("id < 3", prune=True)
    world.workers()
    with pytest.raises(SyncWorkerError, match="no worker is running"):
        await world.ask()
    assert await world.state.backfills() == []


async def test_notices_that_were_there_before_are_not_its_own(world: World) -> None:
    """Nor are those of somebody else's scans."""
    world.notice("COMPLETED", "somebody-elses")
    await world.ask()
    world.debezium.obeys = lambda _: world.scan("somebody-elses")
    steward = world.steward()
    await world.run(steward, lambda one: bool(one.signals))
    for _ in range(10):
        await steward.round()
    assert (await world.now()).stage is Stage.SCANNING
    assert NOTICES in world.log.ids


@pytest.mark.parametrize("phase", list(Phase))
async def test_an_operators_rows_do_not_go_astray_into_a_rebuilds_target(phase: Phase) -> None:
    """While a rebuild is filled, the rows of its table go to its target alone; before and after they go to both or to one."""
    rebuild = Rebuild(1, "things", "things", "things-new", phase, 1, "", "", False, 0.0, 0.0, "somebody", {})

    class Running:
        async def rebuilds(self) -> dict[str, Rebuild]:
            return {"things": rebuild}

    if phase is Phase.FILLING:
        with pytest.raises(SyncWorkerError, match="is being rebuilt"):
            await require_no_filling(Running(), ["things", "others"])
    else:
        await require_no_filling(Running(), ["things", "others"])
    await require_no_filling(Running(), ["others"])
