"""Proof that the simulation can see: one guard at a time is taken out, and a run must go wrong.

A guard is taken out by replacing one function or value in this process; no source is changed. Each names the faults that
bring its trouble about, so that it is found soon.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sync_worker.batch.coalesce import Batch
from sync_worker.change import fill
from sync_worker.failure.policy import POLICIES
from sync_worker.pipeline import isolate, keeper, prepare, scan, translate
from sync_worker.pipeline.isolate import Cause, Isolation
from sync_worker.pipeline.journal import Journal
from sync_worker.pipeline.lane import Lane
from sync_worker.pipeline.mend import newest_of
from sync_worker.pipeline.pipeline import Pipeline
from sync_worker.pipeline.quarantine import FailureMemory, Quarantine
from sync_worker.pipeline.scan import Sighting, at_assignment
from sync_worker.pipeline.settle import Settler
from sync_worker.pipeline.write import Writer
from sync_worker.ports import Task, TaskStatus, TaskUid
from sync_worker.progress.ledger import Ledger
from sync_worker.testing.memory_state import MemoryState
from sync_worker.testing.simulation.sink import SimSink
from sync_worker.testing.simulation.world import Focus

Put = Callable[[Any, str, Any], None]


@dataclass(frozen=True, slots=True)
class Sabotage:
    """One guard. `rule` is the invariant or the rule of the protocol that it keeps."""

    rule: str
    take_out: Callable[[Put], None]
    focus: Focus


SABOTAGES: dict[str, Sabotage] = {}

_ZOMBIES = ("worker stalls", "rebalance", "request is late", "server pauses")
_RESTARTS = ("worker dies", "rebalance", "worker leaves")
_PAUSES = ("server pauses", "everything is slow")


def sabotage(rule: str, focus: Focus) -> Callable[[Callable[[Put], None]], Callable[[Put], None]]:
    def listed(take_out: Callable[[Put], None]) -> Callable[[Put], None]:
        SABOTAGES[take_out.__name__.replace("_", "-")] = Sabotage(rule, take_out, focus)
        return take_out

    return listed


@contextmanager
def without(name: str) -> Iterator[None]:
    """The guard is gone inside."""
    changed: list[tuple[Any, str, Any]] = []

    def put(owner: Any, attribute: str, value: Any) -> None:
        if isinstance(owner, dict):
            changed.append((owner, attribute, owner[attribute]))
            owner[attribute] = value
        else:
            changed.append((owner, attribute, owner.__dict__[attribute]))
            setattr(owner, attribute, value)

    SABOTAGES[name].take_out(put)
    try:
        yield
    finally:
        for owner, attribute, value in reversed(changed):
            if isinstance(owner, dict):
                owner[attribute] = value
            else:
                setattr(owner, attribute, value)


def _nothing(*_: Any, **__: Any) -> None:
    pass


async def _nothing_async(*_: Any, **__: Any) -> None:
    pass


# Acknowledging


@sabotage("invariant 1", Focus(faults=_PAUSES, poison=0))
def applied_before_acknowledged(put: Put) -> None:
    put(Batch, "add_span", lambda self, span: self.cover(span.partition, span.first, span.next_offset - 1))


@sabotage("invariant 1", Focus(faults=_PAUSES, second_index=True))
def acknowledged_in_order(put: Put) -> None:
    def advance(self: Ledger) -> bool:
        done = [span.next_offset for span in self._spans if span.holders == 0]
        self.next_offset = max([self.next_offset, *done])
        return bool(done)

    put(Ledger, "advance", advance)


@sabotage("invariant 1", Focus(faults=_PAUSES, poison=0.3))
def recorded_before_acknowledged(put: Put) -> None:
    put(Quarantine, "record", _nothing_async)


@sabotage("invariant 1", Focus(faults=_PAUSES, poison=0.3))
def what_no_index_can_take_is_recorded(put: Put) -> None:
    put(Pipeline, "_record", _nothing_async)


@sabotage("invariant 1", Focus(faults=_PAUSES))
def every_task_is_settled_by_itself(put: Put) -> None:
    real = SimSink.tasks

    async def the_newest_is_done_so_all_are(self: SimSink, uids: Collection[TaskUid]) -> Mapping[TaskUid, Task]:
        found = dict(await real(self, uids))
        done = max((uid for uid, task in found.items() if task.status.finished), default=-1)
        return {
            uid: replace(task, status=TaskStatus.SUCCEEDED) if uid <= done and not task.status.finished else task
            for uid, task in found.items()
        }

    put(SimSink, "tasks", the_newest_is_done_so_all_are)


@sabotage("progress", Focus(faults=_RESTARTS, partitions=1))
def the_bookmark_is_stored_before_the_commit(put: Put) -> None:
    put(MemoryState, "save_progress", _nothing_async)


# Isolating


@sabotage("invariant 2", Focus(faults=_PAUSES, poison=0.3))
def isolation_leaves_out_what_is_newer(put: Put) -> None:
    real = Lane._isolate_what_failed

    def all_of_it(self: Lane) -> Isolation:
        isolation = real(self)
        for flush in reversed(self._flushes):
            for part in flush.failed_parts():
                isolation.pool.update(flush.entries_of(part))
        return isolation

    put(Lane, "_isolate_what_failed", all_of_it)


@sabotage("invariant 2", Focus(faults=_PAUSES, poison=0.3))
def nothing_is_sent_behind_what_failed(put: Put) -> None:
    put(Lane, "_wait_before_flush", lambda self: None if self.buffer.empty or self.buffer.clear or self.replay_until else 0.0)


@sabotage("invariant 4", Focus(faults=(), poison=0.3, scratch=True, partitions=1))
def scratch_only_suspects(put: Put) -> None:
    async def convict(self: Isolation, document_id: str, **_: Any) -> bool:
        entry = self.pool.pop(document_id, None)
        if entry is not None:
            await self._convict(document_id, entry, Cause("internal", ""))
        return False

    put(Isolation, "_alone", convict)
    put(Isolation, "_bisect_on_scratch", Isolation._bisect_in_place)


@sabotage("invariant 4", Focus(faults=_PAUSES, poison=0.3))
def what_is_named_must_be_there(put: Put) -> None:
    put(isolate, "named_document", lambda _message, candidates: next(iter(candidates), None))


@sabotage("invariant 5", Focus(faults=("disk is full", "server pauses")))
def a_full_disk_holds(put: Put) -> None:
    put(POLICIES, "no_space_left_on_device", POLICIES["invalid_document_id"])


@sabotage("invariant 5", Focus(faults=("task is canceled", "server pauses")))
def a_canceled_task_is_sent_again(put: Put) -> None:
    put(POLICIES, "task_canceled", POLICIES["invalid_document_id"])


@sabotage("protocol 1", Focus(faults=("server pauses",), poison=0.3, partitions=2, workers=2, scratch=False, events=40))
def a_verdict_needs_solitude(put: Put) -> None:
    async def alone(*_: Any) -> int:
        return 1

    put(SimSink, "tasks_in_batch", alone)


@sabotage("protocol 1", Focus(faults=("server is sick",), poison=0))
def others_must_pass_meanwhile(put: Put) -> None:
    async def at_once(_: Isolation, documents: Sequence[str]) -> Sequence[str]:
        return documents

    async def passes(*_: Any) -> bool:
        return True

    put(Isolation, "_accused", at_once)
    put(Isolation, "_probe", passes)


@sabotage("protocol 1", Focus(faults=("server is sick",), poison=0, scratch=False))
def a_verdict_needs_more_than_two_refusals(put: Put) -> None:
    put(isolate, "_AGAIN", 0)


@sabotage("protocol 9", Focus(faults=(), poison=0.5, truncates=0.15, scratch=False, partitions=1, second_index=False))
def what_a_clear_takes_is_not_isolated(put: Put) -> None:
    put(Lane, "_leave_out_what_is_cleared", _nothing)


# Recording


@sabotage("protocol 2", Focus(faults=(), poison=0.3))
def a_newer_change_supersedes(put: Put) -> None:
    put(Quarantine, "supersede", _nothing_async)


@sabotage("protocol 2", Focus(faults=_RESTARTS, poison=0.3))
def open_failures_are_loaded(put: Put) -> None:
    put(FailureMemory, "load", _nothing)


@sabotage("protocol 2", Focus(faults=(), poison=0.3))
def a_failure_is_remembered_from_its_conviction(put: Put) -> None:
    put(FailureMemory, "remember", _nothing)


@sabotage("protocol 2", Focus(faults=("worker stalls", "rebalance", "dead letters are away"), poison=0.3, workers=2))
def only_the_owner_records(put: Put) -> None:
    put(Quarantine, "_raise_unless", staticmethod(_nothing))


@sabotage("protocol 9", Focus(faults=(), poison=0.3, truncates=0.1, partitions=1))
def a_clear_closes_older_failures(put: Put) -> None:
    put(Quarantine, "supersede_all", _nothing_async)


# Late writes


@sabotage("invariant 6", Focus(faults=("answer is lost",), poison=0))
def a_lost_request_is_looked_for(put: Put) -> None:
    put(Writer, "_find", _nothing_async)


@sabotage("protocol 5", Focus(faults=_ZOMBIES, poison=0, partitions=1))
def late_writes_are_looked_for_while_owning(put: Put) -> None:
    async def blind(_index: Any, journal: Journal, *_: Any) -> Sighting:
        return Sighting(min(journal.scanned.values()))

    put(keeper, "while_owning", blind)


@sabotage("protocol 5", Focus(faults=(*_ZOMBIES, "worker dies"), poison=0, partitions=1, workers=2))
def late_writes_are_looked_for_at_the_assignment(put: Put) -> None:
    real = at_assignment

    async def blind(*args: Any, **more: Any) -> Sighting:
        sighting = await real(*args, **more)
        sighting.late.clear()
        return sighting

    put(prepare, "at_assignment", blind)


@sabotage("protocol 5", Focus(faults=(*_ZOMBIES, "topic is made anew"), poison=0, partitions=1))
def late_writes_of_another_log_are_told(put: Put) -> None:
    put(Lane, "_topic_id", lambda *_: "")


@sabotage("protocol 5", Focus(faults=(*_ZOMBIES, "history is pruned"), poison=0, partitions=1))
def what_was_forgotten_unseen_is_told(put: Put) -> None:
    put(scan, "_forgotten_behind", _nothing_async)


@sabotage("protocol 5", Focus(faults=_ZOMBIES, poison=0, partitions=1))
def late_writes_are_undone_up_to_the_present(put: Put) -> None:
    real = newest_of

    async def short(late: Any, index: Any, topic_id: str, _position: int, **more: Any) -> Any:
        return await real(late, index, topic_id, max(write.high for write in late) + 1, **more)

    put(keeper, "newest_of", short)


@sabotage("protocol 5", Focus(faults=(*_ZOMBIES, "worker dies"), poison=0, partitions=1, workers=2))
def the_watermark_waits_for_repairs(put: Put) -> None:
    put(Journal, "watermark", lambda self, *_: 1_000_000)


@sabotage("protocol 5", Focus(faults=("request is late", "worker stalls", "rebalance"), poison=0, partitions=1))
def what_was_given_up_is_late(put: Put) -> None:
    class Never(set[str]):
        def intersection_update(self, *_: Any) -> None:
            pass

        def difference_update(self, *_: Any) -> None:
            pass

        def discard(self, _: object) -> None:
            pass

        def clear(self) -> None:
            pass

    real = Journal.__init__

    def keep(self: Journal, *args: Any, **more: Any) -> None:
        real(self, *args, **more)
        self.pending = Never()

    put(Journal, "__init__", keep)


@sabotage("protocol 7", Focus(faults=_RESTARTS, poison=0, partitions=1, truncates=0, lost_commits=0.5))
def a_replay_goes_out_in_one_flush(put: Put) -> None:
    real = Lane.open

    def ungated(self: Lane, generation: int, partition: Any, topic_id: str, _until: int) -> None:
        real(self, generation, partition, topic_id, -1)
        self.replay_until.pop(partition)
        self.replay_until = type("Open", (dict,), {"__bool__": lambda _: False})()

    put(Lane, "open", ungated)


@sabotage("protocol 7", Focus(faults=_RESTARTS, poison=0, partitions=1, truncates=0, lost_commits=0.9))
def a_lost_commit_is_replayed_in_one_flush(put: Put) -> None:
    real = prepare.Preparation._position

    async def forgetful(self: Any, *args: Any) -> Any:
        return replace(await real(self, *args), acknowledged=-1)

    put(prepare.Preparation, "_position", forgetful)


# Partial rows, key changes, clears


@sabotage("protocol 8", Focus(faults=(), poison=0))
def partial_rows_are_completed(put: Put) -> None:
    put(fill, "incomplete", lambda *_: False)


@sabotage("quiet loss 1", Focus(faults=("connector restarts",), poison=0, may_lose_creates=True, events=40, truncates=0))
def a_promised_row_is_read(put: Put) -> None:
    put(translate, "_with_promised_rows", lambda decoded, *_: list(decoded))


@sabotage("protocol 9", Focus(faults=(), poison=0, truncates=0.15, partitions=1))
def a_clear_supersedes_what_came_before(put: Put) -> None:
    def put_clear(self: Batch, entry: Any) -> None:
        self.clear = entry

    put(Batch, "put_clear", put_clear)


@sabotage("protocol 9", Focus(faults=(), truncates=0.15, partitions=2))
def a_clear_over_partitions_leaves_a_finding(put: Put) -> None:
    put(Pipeline, "_before_clear", _nothing_async)


# Identity of sink and log


@sabotage("protocol 13", Focus(faults=("dump is taken and restored",), poison=0))
def the_anchor_is_verified(put: Put) -> None:
    put(prepare.Preparation, "anchor_problem", _nothing_async)


@sabotage("protocol 13", Focus(faults=("dump is taken and restored",), poison=0))
def the_anchor_moves_with_every_applied_write(put: Put) -> None:
    put(Journal, "applied", _nothing)


@sabotage("protocol 13", Focus(faults=("server forgets what it accepted", "server pauses"), poison=0))
def an_unknown_task_was_not_applied(put: Put) -> None:
    def applied(self: Settler, uid: TaskUid, _what: str) -> None:
        part = self._parts.pop(uid)
        done = Task(uid, TaskStatus.SUCCEEDED, "guessed", part.index.uid, None, part.metadata)
        if not part.settled.done():
            part.settled.set_result(done)

    put(Settler, "_lost", applied)
    put(prepare.Preparation, "anchor_problem", _nothing_async)


@sabotage("sink", Focus(faults=("index is made anew",), poison=0))
def an_index_that_was_made_anew_is_noticed(put: Put) -> None:
    real = SimSink.identity

    async def always_the_same(self: SimSink, index_uid: str) -> Any:
        found = await real(self, index_uid)
        return found and replace(found, created_at="2026-01-01T00:00:00Z")

    put(SimSink, "identity", always_the_same)
    put(prepare.Preparation, "anchor_problem", _nothing_async)


@sabotage("protocol 14", Focus(faults=("retention takes what was not read", "worker dies"), poison=0))
def a_log_that_lost_events_is_objected_to(put: Put) -> None:
    put(prepare, "objection", _nothing)


@sabotage("protocol 14", Focus(faults=("topic is made anew",), poison=0, partitions=1))
def a_topic_made_anew_is_noticed_while_reading(put: Put) -> None:
    put(keeper.Keeper, "_prove_topic", _nothing_async)


# Rebalances, memory


@sabotage("rebalance", Focus(faults=("rebalance", "server pauses", "worker stalls"), workers=2))
def what_was_revoked_is_dropped(put: Put) -> None:
    put(Batch, "drop", _nothing)


@sabotage("rebalance", Focus(faults=("rebalance", "state database is away", "sink reads fail"), workers=2))
def a_late_preparation_changes_nothing(put: Put) -> None:
    real = Pipeline._open

    def unaware(self: Pipeline, partition: Any, *more: Any) -> None:
        partition.dropped = False
        real(self, partition, *more)

    put(Pipeline, "_open", unaware)


@sabotage("invariant 7", Focus(faults=("server pauses", "server crashes"), tight=True, events=40))
def memory_is_bounded(put: Put) -> None:
    put(Pipeline, "_room", _nothing_async)
