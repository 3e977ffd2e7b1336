"""What every state database has to do. SQLite runs it as a unit test, PostgreSQL as an integration test.

A runner supplies the fixture `url`: an empty database.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from sync_worker.adapters.state import StateDatabase
from sync_worker.change.model import TopicPartition
from sync_worker.failure.model import Failure, FailureStatus, Finding, OpenFailure, PayloadReference, ReasonClass
from sync_worker.ports import Bookmark, Comparison, Depth, IndexRecord, MovedRow, Rewrite, State
from sync_worker.progress.bookmark import Tail
from sync_worker.watch.fill import Fill, FillProof

CITIES = TopicPartition("app.public.cities", 0)
LETTER = PayloadReference("sync-worker.dead-letters", 0, 7)


class Now:
    """A clock that stands until it is told otherwise."""

    def __init__(self) -> None:
        self.moment = 1_000.5

    def __call__(self) -> float:
        return self.moment


def failure(offset: int, document_id: str | None = "1", **changed: object) -> Failure:
    made = Failure(
        index="cities",
        document_id=document_id,
        operation="update",
        reason_class=ReasonClass.REJECTED,
        code="invalid_document_geo_field",
        message="latitude is no number",
        retryable=True,
        topic_id="id-of-the-topic",
        partition=CITIES,
        offset=offset,
        source_ms=1_700_000_000_123,
        failed_at=100.25,
    )
    return replace(made, **changed)  # type: ignore[arg-type]


def finding(**changed: object) -> Finding:
    made = Finding(
        "sink-lost-memory", "cities", "task 7 is unknown", "all documents", "sync-worker backfill cities", True, 1.5, 1.5
    )
    return replace(made, **changed)  # type: ignore[arg-type]


class StateSuite:
    """Inherit, and supply `url`."""

    @pytest.fixture
    def now(self) -> Now:
        return Now()

    @pytest.fixture
    async def state(self, url: str, now: Now) -> AsyncIterator[StateDatabase]:
        database = await StateDatabase.open(url, now=now)
        yield database
        await database.close()

    async def test_is_the_port(self, state: StateDatabase) -> None:
        """The pipeline knows it as `State` alone."""
        port: State = state
        assert await port.findings() == []

    async def status(self, state: StateDatabase, offset: int = 10) -> tuple[FailureStatus, int]:
        [work] = [work for work in await state.failed_work() if work.failure.offset == offset]
        return work.status, work.attempts

    async def force(self, state: StateDatabase, status: FailureStatus) -> None:
        """What an operator's verb will do: set the only row's status."""
        from sqlalchemy import update

        from sync_worker.adapters.state.schema import failed_work

        async with state._writing() as connection:
            await connection.execute(update(failed_work).values(status=status.value))

    async def test_a_failure_comes_back_as_it_was_told(self, state: StateDatabase) -> None:
        """Nothing of a failure is lost or rounded on its way through the database."""
        told = failure(10)
        await state.record_failures([told], [LETTER])
        [work] = await state.failed_work()
        assert (work.failure, work.reference, work.status, work.attempts) == (told, LETTER, FailureStatus.OPEN, 1)
        assert work.first_failed_at == told.failed_at

    async def test_a_failure_without_letter_or_document_is_kept(self, state: StateDatabase) -> None:
        """A record that could not be read has no document id, and is a failure all the same."""
        await state.record_failures([failure(10, None)], [None])
        [work] = await state.failed_work()
        assert (work.failure.document_id, work.reference) == (None, None)
        assert await state.open_failures("cities", CITIES) == []

    async def test_text_that_a_database_refuses_is_stored_escaped(self, state: StateDatabase) -> None:
        """NUL, lone surrogates and a megabyte of words must not keep a failure out of the table: it would hold for ever."""
        await state.record_failures([failure(10, message="bad \x00 \ud800 " + "é" * 1_000_000)], [None])
        [work] = await state.failed_work()
        assert work.failure.message.startswith("bad \\x00 \\ud800 éé")
        assert len(work.failure.message.encode()) <= 4096

    async def test_the_same_failure_again_is_one_row(self, state: StateDatabase) -> None:
        """A replayed range dead-letters again: the row gains an attempt, the newest words and the newest letter."""
        await state.record_failures([failure(10)], [LETTER])
        newer = replace(LETTER, offset=8)
        await state.record_failures([failure(10, failed_at=200.5, message="other words")], [newer])
        [work] = await state.failed_work()
        assert (work.attempts, work.first_failed_at, work.failure.failed_at) == (2, 100.25, 200.5)
        assert (work.failure.message, work.reference) == ("other words", newer)

    async def test_another_attempt_without_a_letter_keeps_the_first(self, state: StateDatabase) -> None:
        """A reference is never forgotten for none."""
        await state.record_failures([failure(10)], [LETTER])
        await state.record_failures([failure(10, failed_at=200.5)], [None])
        assert (await state.failed_work())[0].reference == LETTER

    async def test_a_call_repeated_word_for_word_changes_nothing(self, state: StateDatabase) -> None:
        """A commit whose answer was lost is sent again: that is no second attempt."""
        await state.record_failures([failure(10)], [LETTER])
        await state.record_failures([failure(10)], [LETTER])
        assert await self.status(state) == (FailureStatus.OPEN, 1)

    async def test_one_position_may_fail_for_two_indexes_and_two_lives_of_a_topic(self, state: StateDatabase) -> None:
        """Unique is (topic id, topic, partition, offset, index): a re-created topic's failures are not duplicates of old ones."""
        await state.record_failures([failure(10), failure(10, index="towns"), failure(10, topic_id="another")], [LETTER] * 3)
        assert len(await state.failed_work()) == 3

    async def test_one_call_may_tell_the_same_position_twice(self, state: StateDatabase) -> None:
        """Isolation may convict one change twice; the database must not refuse both."""
        await state.record_failures([failure(10), failure(10, failed_at=101.0)], [LETTER, LETTER])
        assert await self.status(state) == (FailureStatus.OPEN, 2)

    @pytest.mark.parametrize("status", [FailureStatus.DISCARDED, FailureStatus.SUPERSEDED, FailureStatus.RETRYING])
    async def test_a_replay_keeps_what_was_decided(self, state: StateDatabase, status: FailureStatus) -> None:
        """A restart brings back neither what an operator discarded nor what a later change settled, and forgets no retry."""
        await state.record_failures([failure(10)], [LETTER])
        await self.force(state, status)
        await state.record_failures([failure(10, failed_at=200.5)], [LETTER])
        assert await self.status(state) == (status, 2)

    async def test_a_resolved_failure_that_fails_again_is_open_again(self, state: StateDatabase) -> None:
        """The index may hold something older than the retry wrote: quiet would be wrong."""
        await state.record_failures([failure(10)], [LETTER])
        await self.force(state, FailureStatus.RESOLVED)
        await state.record_failures([failure(10)], [LETTER])
        assert await self.status(state) == (FailureStatus.RESOLVED, 1)
        await state.record_failures([failure(10, failed_at=200.5)], [LETTER])
        [work] = await state.failed_work()
        assert (work.status, work.status_changed_at) == (FailureStatus.OPEN, 200.5)
        assert "again" in work.status_reason

    async def test_letters_and_failures_must_pair(self, state: StateDatabase) -> None:
        """A missing reference is a mistake of the caller's, not a silent loss of a row."""
        with pytest.raises(ValueError, match="shorter"):
            await state.record_failures([failure(10), failure(11)], [LETTER])

    async def test_open_failures_are_of_one_partition_and_unsettled(self, state: StateDatabase) -> None:
        """The worker's memory is loaded from here: open and retrying, of this index and this partition."""
        other = TopicPartition(CITIES.topic, 1)
        told = [failure(12, "b"), failure(10, "a"), failure(11, "c", partition=other), failure(13, "d", index="towns")]
        await state.record_failures(told, [LETTER] * 4)
        assert await state.open_failures("cities", CITIES) == [OpenFailure("a", CITIES, 10), OpenFailure("b", CITIES, 12)]
        await self.force(state, FailureStatus.RETRYING)
        assert await state.open_failures("cities", CITIES) == [OpenFailure("a", CITIES, 10), OpenFailure("b", CITIES, 12)]
        await self.force(state, FailureStatus.DISCARDED)
        assert await state.open_failures("cities", CITIES) == []

    async def test_refused_requests_hide_neither_each_other_nor_the_record_at_their_place(self, state: StateDatabase) -> None:
        """Rows that were read on request behind one record, and that record: each is a row of its own, and comes back as told."""
        told = [failure(10, "a"), failure(10, "b", request='{"id":2}'), failure(10, "c", request='{"id":3}')]
        await state.record_failures(told, [LETTER] * 3)
        await state.record_failures([failure(10, "b", request='{"id":2}', failed_at=200.5)], [None])
        works = {work.failure.document_id: work for work in await state.failed_work()}
        assert {key: (work.failure.request, work.attempts) for key, work in works.items()} == {
            "a": (None, 1),
            "b": ('{"id":2}', 2),
            "c": ('{"id":3}', 1),
        }
        assert OpenFailure("c", CITIES, 10, '{"id":3}') in await state.open_failures("cities", CITIES)
        assert await state.restore([(one, LETTER) for one in told], reason="again") == 0

    @pytest.mark.parametrize("status", [FailureStatus.SUPERSEDED, FailureStatus.DISCARDED, FailureStatus.RESOLVED])
    async def test_a_request_that_is_refused_anew_is_open_again(self, state: StateDatabase, status: FailureStatus) -> None:
        """It is no record that is consumed once more: somebody asked again, and the place may still be the same."""
        told = failure(10, request='{"id":1}')
        await state.record_failures([told], [LETTER])
        await self.force(state, status)
        await state.record_failures([told], [LETTER])
        assert (await self.status(state))[0] is status, "the same attempt told twice"
        await state.record_failures([replace(told, failed_at=200.5)], [LETTER])
        assert await self.status(state) == (FailureStatus.OPEN, 2)

    async def test_supersede_touches_older_failures_of_these_documents_only(self, state: StateDatabase, now: Now) -> None:
        """A later applied change settles what failed before it: nothing newer, no other document, index or partition."""
        other = TopicPartition(CITIES.topic, 1)
        told = [
            failure(9),
            failure(10),
            failure(5, "2"),
            failure(5, index="towns"),
            failure(5, partition=other),
        ]
        await state.record_failures(told, [LETTER] * 5)
        now.moment = 2_000.5
        assert await state.supersede("cities", ["1", "3"], {CITIES: 10}) == 1
        [settled] = await state.failed_work(statuses=[FailureStatus.SUPERSEDED])
        assert (settled.failure, settled.status_changed_at) == (told[0], 2_000.5)
        assert await state.supersede("cities", ["1", "3"], {CITIES: 10}) == 0
        assert await state.supersede("cities", [], {CITIES: 10}) == 0
        assert await state.supersede("cities", ["1"], {CITIES: 11, other: 6}) == 2

    @pytest.mark.parametrize("status", [FailureStatus.DISCARDED, FailureStatus.RESOLVED])
    async def test_supersede_leaves_settled_rows(self, state: StateDatabase, status: FailureStatus) -> None:
        """What is settled keeps the word it was settled with."""
        await state.record_failures([failure(10)], [LETTER])
        await self.force(state, status)
        assert await state.supersede("cities", ["1"], {CITIES: 11}) == 0
        assert await state.supersede_all("cities", {CITIES: 11}) == 0
        assert await self.status(state) == (status, 1)

    async def test_a_clear_settles_every_older_failure(self, state: StateDatabase) -> None:
        """A clear contains every document, also the one whose record could not be read."""
        await state.record_failures([failure(9, None), failure(8, "2"), failure(11, "3")], [LETTER] * 3)
        assert await state.supersede_all("cities", {CITIES: 10}) == 2
        assert await state.open_failures("cities", CITIES) == [OpenFailure("3", CITIES, 11)]

    async def test_a_flush_of_fifty_thousand_documents_supersedes_in_seconds(self, state: StateDatabase) -> None:
        """Acknowledgement waits for the mark, so the mark must not take longer than a flush, nor hit a limit on parameters."""
        told = [failure(n, str(n)) for n in range(5_000)]
        await state.record_failures(told, [LETTER] * len(told))
        started = time.monotonic()
        assert await state.supersede("cities", [str(n) for n in range(50_000)], {CITIES: 4_000}) == 4_000
        assert time.monotonic() - started < 5

    async def test_failed_work_is_filtered_and_paged(self, state: StateDatabase) -> None:
        """Newest first, every filter narrows, pages neither skip nor repeat."""
        told = [failure(n, str(n), reason_class=ReasonClass.DECODE if n % 2 else ReasonClass.REJECTED) for n in range(5)]
        await state.record_failures(told, [LETTER] * 5)
        first = await state.failed_work(limit=2)
        second = await state.failed_work(limit=3, before_id=first[-1].id)
        assert [work.failure.offset for work in [*first, *second]] == [4, 3, 2, 1, 0]
        assert {work.failure.offset for work in await state.failed_work(reason_class=ReasonClass.DECODE)} == {1, 3}
        assert [work.failure.offset for work in await state.failed_work(document_id="3")] == [3]
        assert await state.failed_work(index="towns") == []
        assert await state.failed_work(retryable=False) == []
        assert await state.failed_work(code="other") == []
        assert await state.failed_work(statuses=[FailureStatus.RESOLVED]) == []

    async def test_counts_are_dense(self, state: StateDatabase) -> None:
        """A zero is told as zero, so that a metric falls back to it; an index without a declaration is not hidden."""
        await state.record_failures([failure(10), failure(11), failure(12, index="gone")], [LETTER] * 3)
        counts = await state.failed_counts(["cities", "towns"])
        assert counts["cities", ReasonClass.REJECTED, FailureStatus.OPEN] == 2
        assert counts["gone", ReasonClass.REJECTED, FailureStatus.OPEN] == 1
        assert sum(counts.values()) == 3
        assert len(counts) == 3 * len(ReasonClass) * len(FailureStatus)

    async def test_progress_comes_back_and_may_move_back(self, state: StateDatabase) -> None:
        """A bookmark is stored whole, but what a worker that lost its partition stores late does not take the offset back."""
        here = Bookmark(CITIES, "id", 2**40, {"cities": 2**33, "cities-new": 4}, Tail(2**40 - 1, 2**41, "a hash"))
        record = IndexRecord("cities", "cities-2", "2026-01-01T00:00:00.123456789Z", "id", 2**33, '{"group":"g"}')
        await state.save_progress([here], [record])
        assert await state.bookmarks([CITIES, TopicPartition("none", 3)]) == {CITIES: here}
        assert await state.index_records(["cities", "none"]) == {"cities": record}
        back = replace(here, next_offset=3, scanned={})
        unanchored = replace(record, anchor_uid=None, anchor_metadata=None)
        await state.save_progress([back], [unanchored])
        assert await state.bookmarks([CITIES]) == {CITIES: replace(here, scanned={})}
        await state.save_progress([replace(back, topic_id="another")], [])
        assert await state.bookmarks([CITIES]) == {CITIES: replace(back, topic_id="another")}
        assert await state.index_records(["cities"]) == {"cities": unanchored}
        assert await state.bookmarks([]) == {}
        await state.save_progress([], [])

    async def test_progress_is_one_transaction(self, state: StateDatabase) -> None:
        """An anchor that could not be stored takes the bookmark back with it."""
        here = Bookmark(CITIES, "id", 5, {})
        bad = IndexRecord("cities", None, "", "id", None, None)  # type: ignore[arg-type]
        with pytest.raises(Exception, match="state database"):
            await state.save_progress([here], [bad])
        assert await state.bookmarks([CITIES]) == {}

    async def test_a_finding_is_open_once(self, state: StateDatabase) -> None:
        """Noticed again, it is the same finding, seen later, with its newest words."""
        await state.add_finding(finding())
        await state.add_finding(finding(first_seen=9.5, last_seen=9.5, evidence="task 8 is unknown", blocking=False))
        assert await state.findings() == [finding(last_seen=9.5, evidence="task 8 is unknown")]

    async def test_what_is_told_of_a_loss_stays_beside_what_is_told_next(self, state: StateDatabase) -> None:
        """The next look no longer sees that a table was replaced: its words are evidence of a loss, and not to be overwritten."""
        remade = finding(kind="changes-lost", evidence="cities is another table (oid 7 was, 8 is)")
        unsent = replace(remade, evidence="the publication does not send cities", doubt="more", last_seen=9.5)
        for told in (remade, unsent, remade, unsent):
            await state.add_finding(told)
        [kept] = await state.findings()
        assert kept.evidence == f"{remade.evidence}. {unsent.evidence}"
        assert (kept.doubt, kept.last_seen) == (f"{remade.doubt}. more", 9.5)

    async def test_a_loss_that_repeats_for_ever_is_one_short_row(self, state: StateDatabase) -> None:
        """The first words and the newest are kept."""
        for number in range(300):
            await state.add_finding(finding(kind="changes-lost", evidence=f"loss number {number} of many"))
        [kept] = await state.findings()
        assert kept.evidence.startswith("loss number 0 of many. loss number 1 of many")
        assert kept.evidence.endswith(". loss number 299 of many")
        assert len(kept.evidence) < 4100

    async def test_evidence_may_quote_anything(self, state: StateDatabase) -> None:
        """A finding that no database takes would be a hold without a reason on display."""
        await state.add_finding(finding(evidence="key \x00 \ud800"))
        assert (await state.findings())[0].evidence == "key \\x00 \\ud800"

    async def test_a_cleared_finding_is_history_and_may_come_again(self, state: StateDatabase) -> None:
        """Only its proof clears it; what is noticed afterwards is a new one."""
        await state.add_finding(finding())
        assert await state.clear_finding("sink-lost-memory", "cities", by="backfill 7") is True
        assert await state.clear_finding("sink-lost-memory", "cities", by="backfill 7") is False
        assert await state.findings() == []
        await state.add_finding(finding(first_seen=9.5, last_seen=9.5))
        assert await state.findings() == [finding(first_seen=9.5, last_seen=9.5)]
        assert await state.findings(open_only=False) == [
            finding(cleared_by="backfill 7"),
            finding(first_seen=9.5, last_seen=9.5),
        ]

    async def test_heartbeats_show_the_last_word_of_each_worker(self, state: StateDatabase, now: Now) -> None:
        """What a worker owned and held for before does not linger; since when it is there does."""
        await state.worker_alive("w1", [CITIES], {"cities": "SinkFull"})
        now.moment = 1_003.5
        await state.worker_alive("w1", [], {})
        await state.worker_alive("w2", [CITIES], {})
        first, second = await state.workers()
        assert (first.worker, first.first_seen, first.last_seen) == ("w1", 1_000.5, 1_003.5)
        assert (list(first.partitions), dict(first.holds)) == ([], {})
        assert second.partitions == [CITIES]

    async def test_the_audit_log_grows(self, state: StateDatabase) -> None:
        """Every entry stays, newest first, whatever its details hold."""
        await state.audit("worker w1", "start-position", "app.public.cities/0", {"offset": 0, "why": "no commit\x00"})
        await state.audit("ada", "discard", "7", {})
        newest, oldest = await state.audit_log()
        assert (newest.actor, oldest.verb, oldest.at) == ("ada", "start-position", 1_000.5)
        assert oldest.details == {"offset": 0, "why": "no commit\x00"}
        assert await state.audit_log(before_id=newest.id) == [oldest]

    async def test_two_workers_write_at_once(self, state: StateDatabase, url: str) -> None:
        """Writers wait for each other; none is refused because another one writes."""
        second = await StateDatabase.open(url)
        try:
            await asyncio.gather(
                *(
                    database.record_failures([failure(n, failed_at=float(owner))], [LETTER])
                    for n in range(20)
                    for owner, database in enumerate((state, second))
                )
            )
        finally:
            await second.close()
        assert {work.attempts for work in await state.failed_work()} == {2}

    async def test_several_workers_may_start_at_once(self, url: str) -> None:
        """One of them makes the tables, the others wait and find them."""
        databases = await asyncio.gather(*(StateDatabase.open(url) for _ in range(4)))
        try:
            for database in databases:
                assert await database.findings() == []
        finally:
            await asyncio.gather(*(database.close() for database in databases))

    async def test_a_fact_is_replaced_and_forgotten(self, state: StateDatabase) -> None:
        """JSON in, the same JSON out; None forgets."""
        await state.record_facts({("table public.t", "oid"): 4_000_000_000, ("slot", "seen"): {"lsn": 2**60, "lost": False}})
        await state.record_facts({("table public.t", "oid"): 7, ("slot", "seen"): None})
        assert await state.recorded_facts() == {("table public.t", "oid"): 7}

    async def test_the_last_fill_of_an_index_is_kept(self, state: StateDatabase) -> None:
        """Partition numbers come back as numbers, though JSON's keys are texts."""
        first = Fill("cities", "cities", "2026-01-01T00:00:00Z", FillProof.LAST_ROW, "d1", "c1", "id", {0: 5, 10: 2**40}, 1.5)
        second = replace(first, proof=FillProof.BACKFILL, declaration="d2", older_documents=2**33, older_since=2.5)
        await state.save_fills([first, replace(first, index="others")])
        await state.save_fills([second])
        assert await state.fills() == {"cities": second, "others": replace(first, index="others")}

    async def test_rows_of_moved_keys_are_asked_for_once_and_forgotten_when_applied(self, state: StateDatabase) -> None:
        """A newer request for the same key is not forgotten with an older one."""
        other = TopicPartition(CITIES.topic, 1)
        first = MovedRow(other, {"id": 7}, "id-1", CITIES, 10)
        await state.ask_for_moved_rows([first, MovedRow(CITIES, {"a": 1, "b": "ü"}, "id-1", other, 3)])
        await state.ask_for_moved_rows([first])
        assert await state.moved_rows([other]) == [first]
        newer = MovedRow(other, {"id": 7}, "id-1", CITIES, 20)
        await state.ask_for_moved_rows([newer])
        await state.forget_moved_row(first)
        assert await state.moved_rows([other]) == [newer]
        await state.forget_moved_row(newer)
        assert await state.moved_rows([other, CITIES]) == [MovedRow(CITIES, {"a": 1, "b": "ü"}, "id-1", other, 3)]

    async def test_a_rewrite_is_asked_of_its_partitions_owner(self, state: StateDatabase) -> None:
        """A newer request for the same document stays when the older one is done; what nobody waits for is withdrawn."""
        first = Rewrite("cities", "7", {"id": 7}, CITIES, "a")
        ghost = Rewrite("cities", "not-an-id", None, CITIES, "a")
        await state.ask_for_rewrites([first, ghost])
        assert await state.asked_rewrites(["cities"], [CITIES], limit=10) == [first, ghost]
        assert await state.asked_rewrites(["cities"], [TopicPartition(CITIES.topic, 1)], limit=10) == []
        assert await state.asked_rewrites(["towns"], [CITIES], limit=10) == []
        again = replace(first, run="b")
        await state.ask_for_rewrites([again])
        await state.forget_rewrites([first, ghost])
        assert (await state.rewrites_left("a"), await state.rewrites_left("b")) == (0, 1)
        await state.withdraw_rewrites("b")
        assert await state.asked_rewrites(["cities"], [CITIES], limit=10) == []

    async def test_the_last_comparison_of_each_depth_is_kept(self, state: StateDatabase) -> None:
        """A comparison of ids says nothing about content, so neither replaces the other."""
        ids = Comparison("cities", Depth.IDS, "cities", 1.5, 2.5, 10, 11, 1, "drift")
        content = replace(ids, depth=Depth.CONTENT, differences=0)
        await state.save_comparison(ids)
        await state.save_comparison(content)
        newer = replace(ids, began_at=3.5, differences=0)
        await state.save_comparison(newer)
        assert await state.comparisons() == [content, newer]

    async def test_one_worker_scrubs_an_index_and_its_heir_goes_on_where_it_was(self, state: StateDatabase, now: Now) -> None:
        """Two would do the same work twice; one that died must not keep the index from being looked at."""
        assert await state.hold_scrub("cities", "w1", 60)
        assert not await state.hold_scrub("cities", "w2", 60)
        assert await state.save_scrub("cities", "w1", {"phase": "rows", "key": {"id": 5}})
        assert not await state.save_scrub("cities", "w2", None)
        now.moment += 61
        assert await state.hold_scrub("cities", "w2", 60)
        assert await state.scrub_progress("cities") == {"phase": "rows", "key": {"id": 5}}
        assert not await state.save_scrub("cities", "w1", None)
        assert await state.save_scrub("cities", "w2", None)
        assert await state.scrub_progress("cities") is None

    # What operators ask

    async def failed(self, state: StateDatabase, offset: int = 10, document_id: str | None = "1", **changed: object) -> int:
        """A row with a letter; its id."""
        await state.record_failures([failure(offset, document_id, **changed)], [PayloadReference("letters", 0, offset)])
        return (await state.failed_work(limit=1))[0].id

    async def test_a_retry_is_asked_for_once(self, state: StateDatabase) -> None:
        """Compare and set: only an open row becomes `retrying`, and the first request stands."""
        work = await self.failed(state)
        assert await state.ask_retry(work, from_source=True, by="one") is FailureStatus.RETRYING
        assert await state.ask_retry(work, from_source=False, by="two") is FailureStatus.RETRYING
        [asked] = await state.asked_retries(["cities"], [CITIES], limit=10)
        assert (asked.work.id, asked.from_source, asked.rebuilt, asked.work.status_reason) == (work, True, False, "asked by one")
        assert await state.ask_retry(99, from_source=False, by="one") is None
        assert await state.discard(work, "no") is FailureStatus.RETRYING

    async def test_asked_retries_are_those_of_the_partitions_that_are_owned(self, state: StateDatabase) -> None:
        """What other workers own, or what is paused, does not stand in the way."""
        work = await self.failed(state)
        await state.ask_retry(work, from_source=False, by="one")
        assert await state.asked_retries(["others"], [CITIES], limit=10) == []
        assert await state.asked_retries(["cities"], [TopicPartition(CITIES.topic, 1)], limit=10) == []

    async def test_a_retry_is_judged_by_what_happened_since(self, state: StateDatabase) -> None:
        """More attempts: failed again. A later failure of the document: superseded. Else resolved, and older ones with it."""
        older, work = await self.failed(state, 9), await self.failed(state, 10)
        await state.ask_retry(work, from_source=False, by="one")
        await state.record_failures([failure(10, failed_at=200.0)], [None])
        assert await state.judge_retry(work, attempts=1, later_from=11) is FailureStatus.OPEN
        await state.ask_retry(work, from_source=False, by="one")
        assert await state.judge_retry(work, attempts=2, later_from=11) is FailureStatus.RESOLVED
        assert {w.id: w.status for w in await state.failed_work()}[older] is FailureStatus.SUPERSEDED
        late = await self.failed(state, 12)
        await self.failed(state, 13)
        await state.ask_retry(late, from_source=False, by="one")
        assert await state.judge_retry(late, attempts=1, later_from=13) is FailureStatus.SUPERSEDED
        assert await state.judge_retry(late, attempts=1, later_from=13) is FailureStatus.SUPERSEDED

    async def test_a_retry_that_was_superseded_meanwhile_is_not_closed_again(self, state: StateDatabase) -> None:
        """The mark of the later change stands."""
        work = await self.failed(state)
        await state.ask_retry(work, from_source=False, by="one")
        await state.supersede("cities", ["1"], {CITIES: 11})
        assert not await state.close_retry(work, FailureStatus.OPEN, "not tried")
        assert await self.status(state) == (FailureStatus.SUPERSEDED, 1)

    async def test_a_confirmation_belongs_to_one_pause(self, state: StateDatabase, now: Now) -> None:
        """One that comes after the index was resumed, or for an earlier pause, confirms nothing."""
        first = await state.pause("cities", by="one", reason="")
        assert await state.pause("cities", by="two", reason="again") == first
        await state.confirm_pause(first, "w1")
        assert [found.worker for found in await state.pause_confirmations("cities")] == ["w1"]
        assert await state.resume("cities")
        assert not await state.resume("cities")
        await state.confirm_pause(first, "w1")
        now.moment += 1
        await state.pause("cities", by="one", reason="")
        await state.confirm_pause(first, "w1")
        assert await state.pause_confirmations("cities") == []

    async def test_restored_rows_are_known_as_such(self, state: StateDatabase) -> None:
        """Only missing ones come in; several letters of one change are its attempts."""
        await self.failed(state, 10)
        letters = [(failure(n, failed_at=at), PayloadReference("letters", 0, n)) for n, at in ((10, 1.0), (11, 1.0), (11, 2.0))]
        assert await state.restore(letters, reason="restored") == 1
        [new, old] = await state.failed_work()
        assert (new.attempts, new.first_failed_at, new.failure.failed_at, new.status_reason) == (2, 1.0, 2.0, "restored")
        assert await state.restored([new.id, old.id]) == {new.id}
        await state.ask_retry(new.id, from_source=False, by="one")
        assert [asked.rebuilt for asked in await state.asked_retries(["cities"], [CITIES], limit=10)] == [True]

    async def test_letters_move_and_are_erased(self, state: StateDatabase) -> None:
        """Rows follow their letters; an erased document keeps neither words nor letters, and nothing of it is open."""
        await self.failed(state, 10, "1")
        await self.failed(state, 11, "2")
        await state.move_letters({PayloadReference("letters", 0, 11): PayloadReference("letters", 0, 50)})
        await state.move_letters({})
        assert await state.erase("cities", "1", "erased by one") == 1
        [kept, erased] = await state.failed_work()
        assert (kept.reference, kept.status) == (PayloadReference("letters", 0, 50), FailureStatus.OPEN)
        assert (erased.reference, erased.failure.message, erased.status) == (None, "[erased]", FailureStatus.DISCARDED)

    async def test_a_worker_that_signed_off_is_gone(self, state: StateDatabase) -> None:
        """Nobody waits for its next heartbeat."""
        await state.worker_alive("w1", [CITIES], {})
        await state.worker_gone("w1")
        assert await state.workers() == []
