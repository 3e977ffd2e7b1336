"""Take each guard of the flush cycle out, once, and show which test notices: `python -m tests.guards [NAME …]`.

Exit status 1 when the removal of a guard is noticed by no test. A guard is taken out by replacing a named function or
value while pytest runs (this module is then a plugin of pytest); no source is changed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from sync_worker.adapters.meilisearch.client import MeilisearchSink
from sync_worker.batch.coalesce import Batch
from sync_worker.change import fill
from sync_worker.failure.flood import FloodGuard
from sync_worker.failure.policy import POLICIES
from sync_worker.pipeline import keeper, prepare
from sync_worker.pipeline.isolate import Cause, Isolation
from sync_worker.pipeline.journal import Journal
from sync_worker.pipeline.lane import Lane
from sync_worker.pipeline.mend import newest_of
from sync_worker.pipeline.pipeline import Pipeline
from sync_worker.pipeline.quarantine import FailureMemory, Quarantine
from sync_worker.pipeline.scan import Sighting, at_assignment
from sync_worker.pipeline.write import Writer
from sync_worker.progress.ledger import Ledger

_WITHOUT = "SYNC_WORKER_TEST_WITHOUT_GUARD"
_PIPELINE = "tests/unit/pipeline"


@dataclass(frozen=True)
class Guard:
    """What it protects, how it is taken out, and where its test is to be found."""

    rule: str
    take_out: Callable[[], None]
    tests: str


GUARDS: dict[str, Guard] = {}


def guard(rule: str, tests: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def listed(take_out: Callable[[], None]) -> Callable[[], None]:
        GUARDS[take_out.__name__.replace("_", "-")] = Guard(rule, take_out, tests)
        return take_out

    return listed


def put(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)


def nothing(*_: Any, **__: Any) -> None:
    pass


async def nothing_async(*_: Any, **__: Any) -> None:
    pass


@guard("invariant 1", f"{_PIPELINE}/test_stream_reaches_the_index.py")
def applied_before_acknowledged() -> None:
    put(Batch, "add_span", lambda self, span: self.cover(span.partition, span.first, span.next_offset - 1))


@guard("invariant 1", "tests/unit/progress")
def acknowledged_in_order() -> None:
    def advance(self: Ledger) -> bool:
        done = [span.next_offset for span in self._spans if span.holders == 0]
        self.next_offset = max([self.next_offset, *done])
        return bool(done)

    put(Ledger, "advance", advance)


@guard("invariant 1", f"{_PIPELINE}/test_faults_of_the_environment.py")
def recorded_before_acknowledged() -> None:
    put(Quarantine, "record", nothing_async)


@guard("invariant 2", f"{_PIPELINE}/test_poison_costs_one_document.py")
def isolation_leaves_out_what_is_newer() -> None:
    real = Lane._isolate_what_failed

    def isolate(self: Lane) -> Isolation:
        isolation = real(self)
        for flush in reversed(self._flushes):
            for part in flush.failed_parts():
                isolation.pool.update(flush.entries_of(part))
        return isolation

    put(Lane, "_isolate_what_failed", isolate)


@guard("invariant 4", f"{_PIPELINE}/test_isolation_in_rough_weather.py")
def scratch_only_suspects() -> None:
    async def convict(self: Isolation, document_id: str) -> None:
        entry = self.pool.pop(document_id, None)
        if entry is not None:
            await self._convict(document_id, entry, Cause("internal", ""))

    put(Isolation, "_alone", convict)


@guard("invariant 5", f"{_PIPELINE}/test_isolation_in_rough_weather.py")
def a_full_disk_holds() -> None:
    POLICIES["no_space_left_on_device"] = POLICIES["invalid_document_id"]


@guard("invariant 5", f"{_PIPELINE}/test_isolation_in_rough_weather.py")
def a_canceled_task_is_sent_again() -> None:
    POLICIES["task_canceled"] = POLICIES["invalid_document_id"]


@guard("invariant 5", f"{_PIPELINE}/test_poison_costs_one_document.py")
def floods_hold() -> None:
    put(FloodGuard, "observe", nothing)


@guard("invariant 5", f"{_PIPELINE}/test_isolation_in_rough_weather.py")
def a_flood_is_let_through_once_cleared() -> None:
    put(Isolation, "_count", lambda self, failed, passed, cause: self._guard(failed, passed, cause.code))


@guard("invariant 6", f"{_PIPELINE}/test_faults_of_the_environment.py")
def a_lost_request_is_looked_for() -> None:
    put(Writer, "_find", nothing_async)


@guard("invariant 7", f"{_PIPELINE}/test_work_that_waits.py")
def memory_is_bounded() -> None:
    put(Pipeline, "_room", nothing_async)


@guard("protocol 1", f"{_PIPELINE}/test_isolation_in_rough_weather.py")
def a_verdict_needs_solitude() -> None:
    async def alone(*_: Any) -> int:
        return 1

    put(MeilisearchSink, "tasks_in_batch", alone)


@guard("protocol 1", f"{_PIPELINE}/test_faults_of_the_environment.py")
def internal_convicts_only_on_a_healthy_server() -> None:
    async def healthy(*_: Any) -> bool:
        return True

    put(Isolation, "_is_healthy", healthy)
    put(Isolation, "_probe", healthy)


@guard("protocol 2", f"{_PIPELINE}/test_a_rebalance_in_the_middle.py")
def only_the_owner_records() -> None:
    put(Quarantine, "_raise_unless", staticmethod(nothing))


@guard("protocol 2", f"{_PIPELINE}/test_failed_work_is_superseded.py")
def a_newer_change_supersedes() -> None:
    put(Quarantine, "supersede", nothing_async)


@guard("protocol 2", f"{_PIPELINE}/test_failed_work_is_superseded.py")
def open_failures_are_loaded() -> None:
    put(FailureMemory, "load", nothing)


@guard("protocol 5", f"{_PIPELINE}/test_late_writes_are_undone.py")
def late_writes_are_looked_for_while_owning() -> None:
    async def blind(_index: Any, journal: Journal, *_: Any) -> Sighting:
        return Sighting(min(journal.scanned.values()))

    put(keeper, "while_owning", blind)


@guard("protocol 5", f"{_PIPELINE}/test_late_writes_are_undone.py")
def late_writes_are_looked_for_at_the_assignment() -> None:
    real = at_assignment

    async def blind(*args: Any, **more: Any) -> Sighting:
        sighting = await real(*args, **more)
        sighting.late.clear()
        return sighting

    put(prepare, "at_assignment", blind)


@guard("protocol 5", f"{_PIPELINE}/test_late_writes_are_undone.py")
def late_writes_are_undone_up_to_the_present() -> None:
    real = newest_of

    async def short(late: Any, index: Any, topic_id: str, _position: int, **more: Any) -> Any:
        return await real(late, index, topic_id, late.high + 1, **more)

    put(keeper, "newest_of", short)


@guard("protocol 5", f"{_PIPELINE}/test_what_is_known_at_an_assignment.py")
def the_watermark_waits_for_repairs() -> None:
    real = Journal.watermark

    def early(self: Journal, *args: Any) -> int:
        self.mending.clear()
        return real(self, *args)

    put(Journal, "watermark", early)


@guard("protocol 6", f"{_PIPELINE}/test_late_writes_are_undone.py")
def ownership_is_checked_before_a_write() -> None:
    put(Writer, "owns", lambda *_: True)


@guard("protocol 7", f"{_PIPELINE}/test_what_is_known_at_an_assignment.py")
def a_replay_goes_out_in_one_flush() -> None:
    real = Lane.open

    def ungated(self: Lane, generation: int, partition: Any, topic_id: str, _until: int) -> None:
        real(self, generation, partition, topic_id, -1)
        self.replay_until.pop(partition)
        self.replay_until = type("Open", (dict,), {"__bool__": lambda _: False})()

    put(Lane, "open", ungated)


@guard("protocol 7", f"{_PIPELINE}/test_what_is_known_at_an_assignment.py")
def a_lost_commit_is_replayed_in_one_flush() -> None:
    real = prepare.Preparation._position

    async def forgetful(self: Any, partition: Any) -> Any:
        return replace(await real(self, partition), acknowledged=-1)

    put(prepare.Preparation, "_position", forgetful)


@guard("protocol 8", f"{_PIPELINE}/test_events_of_every_kind.py")
def partial_rows_are_completed() -> None:
    put(fill, "incomplete", lambda *_: False)


@guard("protocol 9", f"{_PIPELINE}/test_truncate.py")
def a_clear_supersedes_what_came_before() -> None:
    def put_clear(self: Batch, entry: Any) -> None:
        self.clear = entry

    put(Batch, "put_clear", put_clear)


@guard("protocol 9", f"{_PIPELINE}/test_truncate.py")
def a_clear_closes_older_failures() -> None:
    put(Quarantine, "supersede_all", nothing_async)


@guard("protocol 9", f"{_PIPELINE}/test_truncate.py")
def a_clear_over_partitions_leaves_a_finding() -> None:
    put(Pipeline, "_before_clear", nothing_async)


@guard("protocol 13", f"{_PIPELINE}/test_identity_of_sink_and_log.py")
def the_anchor_is_verified() -> None:
    put(prepare.Preparation, "anchor_problem", nothing_async)


@guard("protocol 13", f"{_PIPELINE}/test_isolation_in_rough_weather.py")
def the_anchor_moves_with_every_applied_write() -> None:
    put(Journal, "applied", nothing)


@guard("protocol 14", f"{_PIPELINE}/test_identity_of_sink_and_log.py")
def a_replaced_log_is_objected_to() -> None:
    put(prepare, "objection", nothing)


@guard("rebalance", f"{_PIPELINE}/test_a_rebalance_in_the_middle.py")
def what_was_revoked_is_dropped() -> None:
    put(Batch, "drop", nothing)


@guard("rebalance", f"{_PIPELINE}/test_a_rebalance_in_the_middle.py")
def an_old_generations_rest_leaves_the_new_buffer() -> None:
    real = Lane._abandon

    def everything(self: Lane) -> None:
        real(self)
        self.buffer = Batch()

    put(Lane, "_abandon", everything)


@guard("rebalance", f"{_PIPELINE}/test_a_rebalance_in_the_middle.py")
def a_late_preparation_changes_nothing() -> None:
    real = Pipeline._open

    def unaware(self: Pipeline, partition: Any, *more: Any) -> None:
        partition.dropped = False
        real(self, partition, *more)

    put(Pipeline, "_open", unaware)


@guard("dead letters", f"{_PIPELINE}/test_work_that_waits.py")
def a_letter_is_delivered_once() -> None:
    real = Quarantine.record

    async def forgetful(self: Quarantine, *args: Any, **more: Any) -> None:
        self._lettered.clear()
        await real(self, *args, **more)

    put(Quarantine, "record", forgetful)


def pytest_configure() -> None:
    """As a plugin: take the guard out that the environment names."""
    GUARDS[os.environ[_WITHOUT]].take_out()


def noticed_by(name: str) -> str | None:
    """The first test that fails without the guard."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=no", "-p", "tests.guards", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, GUARDS[name].tests], env=os.environ | {_WITHOUT: name}, capture_output=True, text=True, timeout=300
    )
    found = re.search(r"^FAILED (\S+)", done.stdout, re.MULTILINE)
    return found.group(1) if found else None


def main(names: list[str]) -> int:
    wanted = names or list(GUARDS)
    unnoticed = 0
    with ThreadPoolExecutor(2) as pool:
        for name, test in zip(wanted, pool.map(noticed_by, wanted), strict=True):
            unnoticed += test is None
            print(f"{GUARDS[name].rule:<13}{name:<52}{test or 'NOBODY NOTICED'}", flush=True)
    print(f"{len(wanted) - unnoticed} of {len(wanted)} guards are missed when they are gone")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
