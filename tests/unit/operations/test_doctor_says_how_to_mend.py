"""`doctor`'s rules: what is wrong has evidence with its numbers, and a remedy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import pytest

from sync_worker.errors import ConnectUnavailable
from sync_worker.operations.doctor import after_mending, mend, rules
from sync_worker.operations.doctor.parts import KafkaExam, SinkExam, SourceExam, StateExam, TopicExam, UnreadableDocuments
from sync_worker.operations.doctor.report import Diagnosis, DoctorReport, Fix, Severity
from sync_worker.testing.memory_state import MemoryState

SOURCE = SourceExam(180004, 0.1, "10GB", "0", "", None, None, None, 1024, 0)
KAFKA = KafkaExam({"unclean.leader.election.enable": "false"}, {"t": TopicExam(3, 3, 2)}, 1, 0.0)
SINK = SinkExam(0.07, 100, 90, 0.3, {"things": UnreadableDocuments(10, 10, ())})


def wrong(said: Iterable[Diagnosis]) -> dict[str, Diagnosis]:
    """By check: everything that is not fine. Each has a remedy."""
    found = {one.check: one for one in said if one.severity is not Severity.OK}
    assert all(one.evidence and (one.remedy or one.severity is Severity.UNKNOWN) for one in found.values())
    return found


def test_sound_parts_are_sound() -> None:
    assert not wrong(rules.source(SOURCE, "slot"))
    assert not wrong(rules.kafka(KAFKA, 1))
    assert not wrong(rules.sink("default", SINK, {}))
    assert not wrong(rules.state(StateExam("r1", "r1", 1, ())))


@pytest.mark.parametrize(
    ("exam", "check"),
    [
        (replace(SOURCE, skew_s=-3.0), "clock-skew"),
        (replace(SOURCE, max_slot_wal_keep_size="-1"), "slot-wal-limit"),
        (replace(SOURCE, idle_replication_slot_timeout="1h"), "slot-idle-limit"),
        (replace(SOURCE, slot_retained=6 << 30, slot_inactive_s=99.0), "slot-wal"),
        (replace(SOURCE, standbys=1, slot_failover=False), "slot-failover"),
        (replace(SOURCE, slot_failover=True), "slot-failover"),
    ],
)
def test_what_endangers_the_slot_is_named(exam: SourceExam, check: str) -> None:
    assert set(wrong(rules.source(exam, "slot"))) == {check}


@pytest.mark.parametrize(
    ("exam", "check"),
    [
        (replace(KAFKA, broker={"unclean.leader.election.enable": "true"}), "unclean-election"),
        (replace(KAFKA, broker={"auto.create.topics.enable": "true"}), "topic-auto-creation"),
        (replace(KAFKA, topics={"t": TopicExam(1, 1, 1)}), "replicas"),
        (replace(KAFKA, topics={"t": TopicExam(3, 1, 2)}), "replicas"),
        (replace(KAFKA, members=0), "group-members"),
        (replace(KAFKA, skew_s=None), "clock-skew"),
    ],
)
def test_what_endangers_the_log_is_named(exam: KafkaExam, check: str) -> None:
    assert set(wrong(rules.kafka(exam, 1))) == {check}


def test_too_few_replicas_in_sync_is_an_error() -> None:
    """Fewer than the topic demands: nothing can be written."""
    exam = replace(KAFKA, topics={"t": TopicExam(3, 1, 2)})
    assert wrong(rules.kafka(exam, 1))["replicas"].severity is Severity.ERROR


def test_a_slow_tiny_task_names_its_cause() -> None:
    """Measured: 820 ms at the default, 70 ms with 1 GiB."""
    found = wrong(rules.sink("default", replace(SINK, tiny_task_s=0.82), {}))["tiny-task"]
    assert "820 ms" in found.evidence
    assert "MEILI_MAX_INDEXING_MEMORY=1GiB" in found.remedy


def test_documents_that_can_not_be_read_are_named() -> None:
    exam = replace(SINK, unreadable={"things": UnreadableDocuments(10, 10, ("7",))})
    found = wrong(rules.sink("default", exam, {"things": "id"}))["unreadable-documents"]
    assert found.severity is Severity.ERROR
    assert "7" in found.evidence


def test_what_was_not_read_is_unknown_and_not_fine() -> None:
    exam = replace(SINK, unreadable={"things": UnreadableDocuments(10, 5, ())}, tiny_task_s=None, database_bytes=None)
    found = wrong(rules.sink("default", exam, {}))
    assert {check: one.severity for check, one in found.items()} == dict.fromkeys(
        ("unreadable-documents", "tiny-task", "fragmentation"), Severity.UNKNOWN
    )


def test_fragmentation_counts_only_where_it_is_worth_the_work() -> None:
    assert not wrong(rules.sink("default", replace(SINK, database_bytes=900, used_bytes=100), {}))
    assert set(wrong(rules.sink("default", replace(SINK, database_bytes=9 << 30, used_bytes=1 << 30), {}))) == {"fragmentation"}


def test_no_worker_and_an_old_schema_are_named() -> None:
    found = wrong(rules.state(StateExam("r1", "r2", 0, ("w1",))))
    assert set(found) == {"migrations", "workers"}
    assert "w1" in found["workers"].evidence


def test_each_repair_is_done_once_and_one_that_fails_stops_no_other() -> None:
    """Only those that the report names; each is in the audit log."""
    down = Diagnosis("x", "connector", "c", Severity.ERROR, "e", "r", Fix.RESTART_CONNECTOR)
    topics = Diagnosis("y", "kafka", "t", Severity.ERROR, "e", "r", Fix.SET_TOPICS)
    report = DoctorReport(False, 3, 0, 0, (down, down, topics), ())
    calls: list[str] = []

    async def fails() -> str:
        calls.append("restart")
        raise ConnectUnavailable("down")

    async def works() -> str:
        calls.append("topics")
        return "set"

    async def never() -> str:
        raise AssertionError

    repairs = {Fix.RESTART_CONNECTOR: fails, Fix.SET_TOPICS: works, Fix.APPLY_CONNECTOR: never}
    state = MemoryState()
    fixed = asyncio.run(mend(report, repairs, state, actor="me"))
    assert sorted(calls) == ["restart", "topics"]
    assert {(one.fix, one.done) for one in fixed} == {(Fix.RESTART_CONNECTOR, False), (Fix.SET_TOPICS, True)}
    assert after_mending(report, fixed).fixed == fixed
