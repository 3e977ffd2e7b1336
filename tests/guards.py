"""Take each guard of the flush cycle out, once, and show which test notices: `python -m tests.guards [NAME …]`.

Exit status 1 when the removal of a guard is noticed by no test. A guard is taken out by replacing a named function or
value while pytest runs (this module is then a plugin of pytest); no source is changed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from sync_worker.adapters.meilisearch.client import MeilisearchSink
from sync_worker.adapters.workers import positions
from sync_worker.batch.coalesce import Batch
from sync_worker.change import fill
from sync_worker.change.model import Operation
from sync_worker.failure.flood import FloodGuard
from sync_worker.failure.model import OpenFailure
from sync_worker.failure.policy import POLICIES
from sync_worker.operations.barrier import Barrier
from sync_worker.operations.reindex.reindex import Reindex
from sync_worker.operations.watch import Watcher, filling
from sync_worker.pipeline import isolate, keeper, prepare, scan, translate
from sync_worker.pipeline.as_new_as_the_log import RowsAsNewAsTheLog
from sync_worker.pipeline.health import Health
from sync_worker.pipeline.isolate import Cause, Isolation
from sync_worker.pipeline.journal import Journal
from sync_worker.pipeline.lane import Lane
from sync_worker.pipeline.mend import Mended, newest_of
from sync_worker.pipeline.moved import MovedRows
from sync_worker.pipeline.partition import Partition
from sync_worker.pipeline.pipeline import Pipeline
from sync_worker.pipeline.quarantine import FailureMemory, Quarantine
from sync_worker.pipeline.rebuilding import Rebuilding
from sync_worker.pipeline.retry import Retries
from sync_worker.pipeline.scan import LateWrite, Sighting, at_assignment
from sync_worker.pipeline.witness import Witness
from sync_worker.pipeline.write import Writer
from sync_worker.progress.ledger import Ledger

_WITHOUT = "SYNC_WORKER_TEST_WITHOUT_GUARD"
_PIPELINE = "tests/unit/pipeline"


@dataclass(frozen=True)
class Guard:
    """What it protects, how it is taken out, and which test misses it."""

    rule: str
    take_out: Callable[[], None]
    test: str


GUARDS: dict[str, Guard] = {}


def guard(rule: str, test: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def listed(take_out: Callable[[], None]) -> Callable[[], None]:
        GUARDS[take_out.__name__.replace("_", "-")] = Guard(rule, take_out, test)
        return take_out

    return listed


def put(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)


def nothing(*_: Any, **__: Any) -> None:
    pass


async def nothing_async(*_: Any, **__: Any) -> None:
    pass


@guard("invariant 1", f"{_PIPELINE}/test_stream_reaches_the_index.py::test_nothing_is_acknowledged_before_it_is_applied")
def applied_before_acknowledged() -> None:
    put(Batch, "add_span", lambda self, span: self.cover(span.partition, span.first, span.next_offset - 1))


@guard(
    "invariant 1",
    "tests/unit/progress/test_offsets_are_acknowledged_in_order.py::test_what_finishes_first_waits_for_what_came_first",
)
def acknowledged_in_order() -> None:
    def advance(self: Ledger) -> bool:
        done = [span.next_offset for span in self._spans if span.holders == 0]
        self.next_offset = max([self.next_offset, *done])
        return bool(done)

    put(Ledger, "advance", advance)


@guard("invariant 1", f"{_PIPELINE}/test_faults_of_the_environment.py::test_dead_letters_that_cannot_be_delivered_hold")
def recorded_before_acknowledged() -> None:
    put(Quarantine, "record", nothing_async)


@guard("invariant 2", f"{_PIPELINE}/test_poison_costs_one_document.py::test_isolation_behind_a_later_flush_writes_nothing_old")
def isolation_leaves_out_what_is_newer() -> None:
    real = Lane._isolate_what_failed

    def isolate(self: Lane) -> Isolation:
        isolation = real(self)
        for flush in reversed(self._flushes):
            for part in flush.failed_parts():
                isolation.pool.update(flush.entries_of(part))
        return isolation

    put(Lane, "_isolate_what_failed", isolate)


@guard("invariant 4", f"{_PIPELINE}/test_isolation_in_rough_weather.py::test_what_fails_as_a_new_document_may_pass_as_an_update")
def scratch_only_suspects() -> None:
    async def convict(self: Isolation, document_id: str) -> None:
        entry = self.pool.pop(document_id, None)
        if entry is not None:
            await self._convict(document_id, entry, Cause("internal", ""))

    put(Isolation, "_alone", convict)


@guard(
    "invariant 5",
    f"{_PIPELINE}/test_isolation_in_rough_weather.py::test_a_disk_that_fills_up_while_isolating_in_place_convicts_nobody",
)
def a_full_disk_holds() -> None:
    POLICIES["no_space_left_on_device"] = POLICIES["invalid_document_id"]


@guard("invariant 5", f"{_PIPELINE}/test_isolation_in_rough_weather.py::test_a_task_that_says_nothing_convicts_nobody")
def a_canceled_task_is_sent_again() -> None:
    POLICIES["task_canceled"] = POLICIES["invalid_document_id"]


@guard("invariant 5", f"{_PIPELINE}/test_poison_costs_one_document.py::test_a_flood_of_failures_holds_instead_of_dead_lettering")
def floods_hold() -> None:
    put(FloodGuard, "observe", nothing)


@guard("invariant 5", f"{_PIPELINE}/test_isolation_in_rough_weather.py::test_a_flood_that_was_looked_at_is_let_through")
def a_flood_is_let_through_once_cleared() -> None:
    put(Isolation, "_count", lambda self, failed, passed, cause: self._guard(failed, passed, cause.code))


@guard("invariant 6", f"{_PIPELINE}/test_faults_of_the_environment.py::test_a_lost_answer_is_not_sent_twice")
def a_lost_request_is_looked_for() -> None:
    put(Writer, "_find", nothing_async)


@guard("invariant 7", f"{_PIPELINE}/test_work_that_waits.py::test_memory_is_bounded_while_the_server_is_away")
def memory_is_bounded() -> None:
    put(Pipeline, "_room", nothing_async)


@guard(
    "protocol 1", f"{_PIPELINE}/test_isolation_in_rough_weather.py::test_a_neighbour_that_keeps_sending_poison_convicts_nobody"
)
def a_verdict_needs_solitude() -> None:
    async def alone(*_: Any) -> int:
        return 1

    put(MeilisearchSink, "tasks_in_batch", alone)


@guard("protocol 1", f"{_PIPELINE}/test_faults_of_the_environment.py::test_a_server_that_fails_everything_as_internal_holds")
def internal_convicts_only_on_a_healthy_server() -> None:
    async def healthy(*_: Any) -> bool:
        return True

    async def all_of_them(_: Any, documents: Any) -> Any:
        return documents

    put(Isolation, "_accused", all_of_them)
    put(Isolation, "_probe", healthy)


@guard("protocol 1", f"{_PIPELINE}/test_isolation_in_rough_weather.py::test_a_server_that_is_ill_now_and_then_convicts_nobody")
def a_verdict_needs_more_than_two_refusals() -> None:
    put(isolate, "_AGAIN", 0)


@guard(
    "protocol 1",
    f"{_PIPELINE}/test_isolation_in_rough_weather.py"
    "::test_without_a_scratch_index_a_server_that_takes_no_document_convicts_two_at_most",
)
def a_row_of_internals_needs_better_proof() -> None:
    put(Quarantine, "failed_in_a_row", lambda *_: 0)


@guard(
    "protocol 2", f"{_PIPELINE}/test_a_rebalance_in_the_middle.py::test_revoked_while_the_letter_is_on_its_way_no_row_is_inserted"
)
def only_the_owner_records() -> None:
    put(Quarantine, "_raise_unless", staticmethod(nothing))


@guard("protocol 2", f"{_PIPELINE}/test_failed_work_is_superseded.py::test_a_later_change_supersedes")
def a_newer_change_supersedes() -> None:
    put(Quarantine, "supersede", nothing_async)


@guard("protocol 2", f"{_PIPELINE}/test_failed_work_is_superseded.py::test_open_failures_are_known_after_a_restart")
def open_failures_are_loaded() -> None:
    put(FailureMemory, "load", nothing)


@guard("protocol 5", f"{_PIPELINE}/test_late_writes_are_undone.py::test_a_zombies_write_is_undone")
def late_writes_are_looked_for_while_owning() -> None:
    async def blind(_index: Any, journal: Journal, *_: Any) -> Sighting:
        return Sighting(min(journal.scanned.values()))

    put(keeper, "while_owning", blind)


@guard("protocol 5", f"{_PIPELINE}/test_late_writes_are_undone.py::test_a_late_write_between_two_owners_is_undone")
def late_writes_are_looked_for_at_the_assignment() -> None:
    real = at_assignment

    async def blind(*args: Any, **more: Any) -> Sighting:
        sighting = await real(*args, **more)
        sighting.late.clear()
        return sighting

    put(prepare, "at_assignment", blind)


@guard("protocol 5", f"{_PIPELINE}/test_late_writes_that_nobody_can_undo.py::test_a_late_write_of_another_log_leaves_a_finding")
def late_writes_of_another_log_are_told() -> None:
    def of_this_log(*fields: Any) -> LateWrite:
        return LateWrite(*fields[:5])

    put(scan, "LateWrite", of_this_log)


@guard(
    "protocol 5",
    f"{_PIPELINE}/test_late_writes_that_nobody_can_undo.py::test_tasks_that_were_forgotten_before_anybody_looked_leave_a_finding",
)
def what_was_forgotten_unseen_is_told() -> None:
    async def never(*_: Any) -> None:
        return None

    put(scan, "_forgotten_behind", never)


@guard(
    "protocol 5",
    f"{_PIPELINE}/test_late_writes_that_nobody_can_undo.py::test_a_history_that_fades_while_an_index_is_quiet_is_no_loss",
)
def a_quiet_index_may_lose_its_history() -> None:
    put(Journal, "bare", property(lambda _: False, lambda *_: None))


@guard(
    "protocol 5",
    f"{_PIPELINE}/test_late_writes_are_undone.py::test_what_undoes_a_late_write_of_before_a_truncate_can_itself_be_late",
)
def what_undoes_a_late_write_covers_its_documents() -> None:
    put(Mended, "ranges", lambda self: [(entry.offset, entry.offset) for entry in self.entries.values()])


@guard("protocol 5", f"{_PIPELINE}/test_late_writes_are_undone.py::test_a_zombies_write_is_undone")
def late_writes_are_undone_up_to_the_present() -> None:
    real = newest_of

    async def short(late: Any, index: Any, topic_id: str, _position: int, **more: Any) -> Any:
        return await real(late, index, topic_id, max(write.high for write in late) + 1, **more)

    put(keeper, "newest_of", short)


@guard(
    "protocol 5", f"{_PIPELINE}/test_what_is_known_at_an_assignment.py::test_the_watermark_waits_until_the_late_write_is_undone"
)
def the_watermark_waits_for_repairs() -> None:
    real = Journal.watermark

    def early(self: Journal, *args: Any) -> int:
        self.mending.clear()
        return real(self, *args)

    put(Journal, "watermark", early)


@guard("protocol 5", f"{_PIPELINE}/test_late_writes_are_undone.py::test_a_late_clear_holds")
def a_strangers_clear_holds() -> None:
    async def anybodys(*_: Any, **__: Any) -> bool:
        return True

    put(keeper, "is_our_truncate", anybodys)


@guard("protocol 5", f"{_PIPELINE}/test_late_writes_are_undone.py::test_a_late_clear_of_a_truncate_is_undone")
def a_late_clear_takes_all_that_came_since() -> None:
    real = newest_of

    async def only_covered(late: Any, *args: Any, **more: Any) -> Any:
        return await real([replace(write, clear=False) for write in late], *args, **more)

    put(keeper, "newest_of", only_covered)


@guard("protocol 6", f"{_PIPELINE}/test_late_writes_are_undone.py::test_a_worker_that_lost_its_partition_writes_nothing")
def ownership_is_checked_before_a_write() -> None:
    put(Writer, "owns", lambda *_: True)


@guard(
    "protocol 7",
    f"{_PIPELINE}/test_what_is_known_at_an_assignment.py::test_a_replay_of_unacknowledged_writes_shows_nothing_older",
)
def a_replay_goes_out_in_one_flush() -> None:
    real = Lane.open

    def ungated(self: Lane, generation: int, partition: Any, topic_id: str, _until: int) -> None:
        real(self, generation, partition, topic_id, -1)
        self.replay_until.pop(partition)
        self.replay_until = type("Open", (dict,), {"__bool__": lambda _: False})()

    put(Lane, "open", ungated)


@guard(
    "protocol 7",
    f"{_PIPELINE}/test_what_is_known_at_an_assignment.py::test_a_replay_of_a_commit_that_was_lost_shows_nothing_older",
)
def a_lost_commit_is_replayed_in_one_flush() -> None:
    real = prepare.Preparation._position

    async def forgetful(self: Any, *args: Any) -> Any:
        return replace(await real(self, *args), acknowledged=-1)

    put(prepare.Preparation, "_position", forgetful)


@guard("protocol 8", f"{_PIPELINE}/test_events_of_every_kind.py::test_an_unavailable_column_is_fetched_from_the_source")
def partial_rows_are_completed() -> None:
    put(fill, "incomplete", lambda *_: False)


@guard(
    "invariant 3",
    f"{_PIPELINE}/test_a_commit_is_logged_before_it_is_seen.py::test_a_moved_row_does_not_come_back_under_its_old_key",
)
def a_read_waits_for_what_the_log_told() -> None:
    put(RowsAsNewAsTheLog, "told", lambda *_: None)


@guard("invariant 3", f"{_PIPELINE}/test_a_row_of_a_scan_may_be_old.py::test_a_row_that_was_deleted_before_does_not_come_back")
def rows_of_a_scan_are_read_again() -> None:
    real = fill.incomplete
    put(fill, "incomplete", lambda change, columns: change.operation is not Operation.READ and real(change, columns))


@guard("protocol 9", f"{_PIPELINE}/test_truncate.py::test_it_clears_in_order")
def a_clear_supersedes_what_came_before() -> None:
    def put_clear(self: Batch, entry: Any) -> None:
        self.clear = entry

    put(Batch, "put_clear", put_clear)


@guard("protocol 9", f"{_PIPELINE}/test_truncate.py::test_it_closes_older_failures")
def a_clear_closes_older_failures() -> None:
    put(Quarantine, "supersede_all", nothing_async)


@guard("protocol 9", f"{_PIPELINE}/test_truncate.py::test_over_several_partitions_it_leaves_a_finding")
def a_clear_over_partitions_leaves_a_finding() -> None:
    put(Pipeline, "_tell_of_truncate", nothing_async)


@guard(
    "protocol 13",
    f"{_PIPELINE}/test_identity_of_sink_and_log.py::test_a_restored_dump_is_noticed_before_the_next_acknowledgement",
)
def the_anchor_is_verified() -> None:
    put(prepare.Preparation, "anchor_problem", nothing_async)


@guard(
    "protocol 13", f"{_PIPELINE}/test_isolation_in_rough_weather.py::test_what_was_applied_beside_an_isolation_is_an_anchor_too"
)
def the_anchor_moves_with_every_applied_write() -> None:
    put(Journal, "applied", nothing)


@guard("protocol 14", f"{_PIPELINE}/test_identity_of_sink_and_log.py::test_a_topic_made_anew_holds")
def a_replaced_log_is_objected_to() -> None:
    put(prepare, "objection", nothing)


@guard("protocol 14", f"{_PIPELINE}/test_identity_of_sink_and_log.py::test_an_accepted_log_is_read_from_its_start")
def an_accepted_log_is_read_from_its_start() -> None:
    real = prepare.Preparation._position

    async def where_the_group_was(self: Any, partition: Any, *more: Any) -> Any:
        prepared = await real(self, partition, *more)
        committed = (await self._log.committed([partition]))[partition]
        return replace(prepared, next_offset=committed, rewind=False) if prepared.rewind else prepared

    put(prepare.Preparation, "_position", where_the_group_was)


@guard("rebalance", "tests/unit/batch/test_what_one_flush_holds.py::test_dropping_a_partition_leaves_the_others")
def what_was_revoked_is_dropped() -> None:
    put(Batch, "drop", nothing)


@guard(
    "rebalance",
    f"{_PIPELINE}/test_a_rebalance_in_the_middle.py::test_a_rest_of_an_old_generation_takes_nothing_of_the_new_one_along",
)
def an_old_generations_rest_leaves_the_new_buffer() -> None:
    real = Lane._abandon

    def everything(self: Lane) -> None:
        real(self)
        self.buffer = Batch()

    put(Lane, "_abandon", everything)


@guard(
    "rebalance",
    f"{_PIPELINE}/test_a_rebalance_in_the_middle.py::test_a_preparation_that_ends_after_its_revocation_changes_nothing",
)
def a_late_preparation_changes_nothing() -> None:
    real = Pipeline._open

    def unaware(self: Pipeline, partition: Any, *more: Any) -> None:
        partition.dropped = False
        real(self, partition, *more)

    put(Pipeline, "_open", unaware)


@guard("dead letters", f"{_PIPELINE}/test_work_that_waits.py::test_rows_that_cannot_be_stored_do_not_fill_the_dead_letters")
def a_letter_is_delivered_once() -> None:
    real = Quarantine.record

    async def forgetful(self: Quarantine, *args: Any, **more: Any) -> None:
        self._lettered.clear()
        await real(self, *args, **more)

    put(Quarantine, "record", forgetful)


@guard("watch", f"{_PIPELINE}/test_identity_of_sink_and_log.py::test_a_log_replaced_under_its_own_id_holds")
def last_record_is_read_again() -> None:
    put(prepare, "replaced_in_place", lambda *_, **__: None)


@guard(
    "watch",
    f"{_PIPELINE}/test_what_the_stream_tells_of_snapshots.py::test_a_table_that_is_read_again_unasked_puts_deletes_in_doubt",
)
def unasked_snapshots_are_told() -> None:
    put(Witness, "concerns", lambda *_: False)


@guard(
    "watch",
    f"{_PIPELINE}/test_what_the_stream_tells_of_snapshots.py::"
    "test_an_index_whose_key_changed_is_read_no_further_until_somebody_decided",
)
def a_changed_key_stops_the_index() -> None:
    put(Health, "holds_index", lambda *_: None)


_WATCH = "tests/unit/operations/test_the_watch_stores_what_it_finds.py"


@guard("watch", f"{_WATCH}::test_an_index_is_filled_once_the_snapshots_last_row_is_acknowledged")
def a_fill_is_proven_when_it_is_acknowledged() -> None:
    put(filling, "passed", lambda *_: True)


@guard("watch", f"{_WATCH}::test_what_stops_an_index_is_not_found_again_once_somebody_accepted_it")
def what_was_accepted_is_not_found_again() -> None:
    async def everything(_: Watcher, noticed: list[Any]) -> list[Any]:
        return noticed

    put(Watcher, "_not_accepted", everything)


@guard("watch", f"{_WATCH}::test_a_part_that_does_not_answer_is_no_verdict_and_a_finding_when_it_stays_so")
def a_watch_that_sees_nothing_says_so() -> None:
    put(Watcher, "_blind", lambda *_: [])


_BARRIER = "tests/unit/operations/test_barrier_passes_only_what_is_applied.py"
_MOVED = f"{_PIPELINE}/test_key_changes_that_lose_their_create.py"


@guard("promises", f"{_MOVED}::test_the_row_is_there_although_its_create_never_comes")
def a_promised_row_is_read() -> None:
    put(translate, "_with_promised_rows", lambda decoded, *_: list(decoded))


@guard("promises", f"{_MOVED}::test_a_row_that_moved_to_another_workers_partition_is_read_by_its_owner")
def a_row_of_another_partition_is_left_to_its_owner() -> None:
    put(translate, "partition_of", lambda *_: 0)


@guard("promises", f"{_MOVED}::test_a_row_that_moved_to_another_workers_partition_is_read_by_its_owner")
def the_owner_reads_what_he_is_asked_for() -> None:
    async def nothing(*_: object) -> None:
        pass

    put(MovedRows, "_take_up", nothing)


@guard("barrier", f"{_BARRIER}::test_strict_takes_the_ends_only_once_the_connector_has_committed")
def a_strict_barrier_waits_for_the_connector() -> None:
    async def at_once(*_: object) -> None:
        pass

    put(Barrier, "_confirmed", at_once)


@guard("protocol 14", f"{_BARRIER}::test_markers_and_compaction_before_the_end_count_as_passed")
def what_can_not_be_read_counts_as_passed() -> None:
    async def as_they_are(_: Barrier, wait: object, late: object, targets: Any) -> Any:
        return targets

    put(Barrier, "_without_holes", as_they_are)


@guard("barrier", f"{_BARRIER}::test_a_hole_with_one_record_left_behind_it_is_not_passed")
def a_hole_is_looked_into() -> None:
    async def always(*_: object) -> bool:
        return True

    put(Barrier, "_empty", always)


@guard("barrier", f"{_BARRIER}::test_what_concerns_another_table_blocks_nothing")
def a_barrier_waits_for_its_own_troubles_only() -> None:
    put(Barrier, "_concerns", lambda *_: True)


@guard("barrier", "tests/unit/workers_adapter/test_positions_of_a_group.py::test_of_two_claims_the_highest_generation_counts")
def the_highest_generation_knows_best() -> None:
    put(positions, "newest", lambda claims: dict(sorted(claims, key=lambda claim: claim[1].applied)))


_SUPERSEDED = "test_a_refused_row_is_superseded_by_the_next_change_or_the_next_request"
_RETRIES = f"{_PIPELINE}/test_failed_work_is_tried_again.py"


@guard("rule 4", f"{_RETRIES}::test_a_retry_waits_until_the_new_owner_has_caught_up")
def a_retry_waits_for_the_end_as_at_the_assignment() -> None:
    put(Partition, "caught_up", property(lambda self: self.active and self.ready.is_set()))
    # The first flush after an assignment waits as well, and would coalesce the retry with what is newer.
    put(Retries, "_open_to_retries", lambda self, lane: True)
    real = Lane.open

    def opened(self: Lane, generation: int, partition: Any, topic_id: str, replay_until: int) -> None:
        real(self, generation, partition, topic_id, replay_until)
        self.replay_until.clear()

    put(Lane, "open", opened)


@guard(
    "invariant 1",
    f"{_PIPELINE}/test_documents_are_written_again.py::test_refused_rows_are_all_recorded_beside_the_record_at_their_place",
)
def a_refused_request_has_an_identity_of_its_own() -> None:
    real = Quarantine.record

    async def record(self: Quarantine, failures: Any, **more: Any) -> None:
        await real(self, [(replace(failure, request=None), letter) for failure, letter in failures], **more)

    put(Quarantine, "record", record)


@guard("protocol 2", f"{_PIPELINE}/test_documents_are_written_again.py::{_SUPERSEDED}")
def a_row_that_was_read_is_newer_than_the_last_record() -> None:
    real = FailureMemory.superseded_by
    put(FailureMemory, "superseded_by", lambda self, index, entries, retried=(): real(self, index, entries, entries.keys()))


@guard("invariant 2", f"{_RETRIES}::test_what_is_on_its_way_decides_first")
def a_retry_waits_for_what_is_on_its_way() -> None:
    put(Lane, "unsettled", lambda self, document_ids: set())


@guard("invariant 2", f"{_RETRIES}::test_a_later_change_that_fails_as_well_supersedes_the_retry")
def only_the_newest_failure_is_tried() -> None:
    real = Retries._as_stored

    async def try_it(self: Retries, lane: Lane, partition: Any, retry: Any, *rest: Any) -> None:
        failed = retry.work.failure
        put(FailureMemory, "newest", lambda *_: OpenFailure(failed.document_id, partition.place, failed.offset))
        await real(self, lane, partition, retry, *rest)

    put(Retries, "_as_stored", try_it)


@guard("rule 10", f"{_PIPELINE}/test_an_index_is_paused.py::test_it_is_confirmed_only_with_nothing_in_flight")
def a_pause_is_confirmed_with_nothing_in_flight() -> None:
    put(Lane, "halted", property(lambda self: self.paused))


_REBUILD = f"{_PIPELINE}/test_an_index_is_rebuilt.py"
_TAKEN_ON = f"{_PIPELINE}/test_a_rebuild_is_taken_on.py"


async def nothing_awaited(*_: Any) -> None:
    pass


@guard("rule 10", f"{_REBUILD}::test_no_pause_is_confirmed_while_something_is_in_flight")
def a_swap_waits_until_nothing_is_in_flight() -> None:
    async def at_once(self: Rebuilding, known: Any) -> None:
        await self._confirm(known)

    put(Rebuilding, "_stand_still", at_once)


@guard("rule 10", f"{_REBUILD}::test_a_worker_that_starts_during_the_swap_waits_for_its_end")
def a_worker_that_starts_reads_the_rebuilds_first() -> None:
    async def at_once(self: Rebuilding, partition: Any) -> None:
        partition.preparing = True

    put(Rebuilding, "before_preparing", at_once)


@guard("rule 11", f"{_REBUILD}::test_rows_of_the_fill_go_to_the_target_alone")
def rows_of_a_fill_go_to_its_target_alone() -> None:
    put(Rebuilding, "_route_rows", lambda self: None)


@guard("rule 11", f"{_REBUILD}::test_what_failed_on_the_target_alone_is_failed_work_of_the_live_index_after_the_swap")
def what_is_remembered_travels_with_the_swap() -> None:
    put(Quarantine, "exchange", lambda self, one, other: None)


@guard("rule 12", f"{_REBUILD}::test_a_target_that_vanished_holds_nothing")
def a_target_that_vanished_is_let_go() -> None:
    put(Rebuilding, "_watch_target", nothing_awaited)


@guard("rule 10", f"{_TAKEN_ON}::test_a_swap_whose_answer_is_lost_is_not_asked_for_twice")
def a_lost_swap_is_looked_for_first() -> None:
    async def again(self: Reindex, rebuild: Any) -> None:
        await self._parts.admin.enqueue_swap(rebuild.uid, rebuild.target_uid)

    put(Reindex, "_settle_lost_swap", again)


def pytest_configure() -> None:
    """As a plugin: take the guard out that the environment names."""
    GUARDS[os.environ[_WITHOUT]].take_out()


_PYTEST = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=no", "-p", "no:cacheprovider"]


def fails_without(name: str) -> bool:
    """Whether the guard's test fails once the guard is gone, having passed right before."""
    test = GUARDS[name].test
    for _ in range(2):
        with_guard = subprocess.run([*_PYTEST, test], capture_output=True, text=True, timeout=300)
        without = subprocess.run(
            [*_PYTEST, "-p", "tests.guards", test], env=os.environ | {_WITHOUT: name}, capture_output=True, text=True, timeout=300
        )
        if with_guard.returncode == 0:
            return without.returncode == 1
    raise SystemExit(f"{test} fails although every guard is in its place:\n{with_guard.stdout}")


def main(names: list[str]) -> int:
    wanted = names or list(GUARDS)
    unnoticed = 0
    with ThreadPoolExecutor(2) as pool:
        for name, noticed in zip(wanted, pool.map(fails_without, wanted), strict=True):
            unnoticed += not noticed
            test = GUARDS[name].test.rpartition("/")[2] if noticed else "NOBODY NOTICED"
            print(f"{GUARDS[name].rule:<13}{name:<52}{test}", flush=True)
    print(f"{len(wanted) - unnoticed} of {len(wanted)} guards are missed when they are gone")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
