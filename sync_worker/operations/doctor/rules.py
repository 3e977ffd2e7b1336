"""What of an examination is wrong, and what mends it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sync_worker.operations.doctor.parts import KafkaExam, SinkExam, SourceExam, StateExam
from sync_worker.operations.doctor.report import Diagnosis, Severity
from sync_worker.operations.wording import counted

SKEW_S = 2.0
"""HTTP's dates have whole seconds, and a request takes its time."""
TINY_TASK_S = 0.4
"""At MEILI_MAX_INDEXING_MEMORY=1GiB one tiny task takes some 70 ms, at the default of two thirds of 24 GiB some 820 ms."""
FRAGMENTED = 2.0
_LARGE_BYTES = 1 << 30
_GIB = 1 << 30
_RETAINED_BYTES = 5 * _GIB


def skew(area: str, subject: str, skew_s: float | None) -> Diagnosis:
    if skew_s is None:
        return Diagnosis("clock-skew", area, subject, Severity.UNKNOWN, "its clock could not be read")
    evidence = f"its clock is {abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'} this machine's"
    if abs(skew_s) <= SKEW_S:
        return Diagnosis("clock-skew", area, subject, Severity.OK, evidence)
    remedy = "set the clocks by NTP (timedatectl set-ntp true): ages, lags and the canary are wrong by as much"
    return Diagnosis("clock-skew", area, subject, Severity.WARNING, evidence, remedy)


def source(exam: SourceExam, slot: str) -> Iterator[Diagnosis]:
    yield skew("source", "PostgreSQL", exam.skew_s)
    subject = f"slot {slot}"
    keep = exam.max_slot_wal_keep_size
    if keep == "-1":
        evidence = "max_slot_wal_keep_size is -1: a slot that nobody reads fills the disk of the database"
        remedy = (
            "ALTER SYSTEM SET max_slot_wal_keep_size = '…' (more than any outage writes, less than the disk "
            "holds); SELECT pg_reload_conf()"
        )
        yield Diagnosis("slot-wal-limit", "source", "PostgreSQL", Severity.WARNING, evidence, remedy)
    elif keep is not None:
        evidence = f"max_slot_wal_keep_size is {keep}: a connector that is {keep} behind loses its slot"
        yield Diagnosis("slot-wal-limit", "source", "PostgreSQL", Severity.OK, evidence)
    if exam.idle_replication_slot_timeout not in (None, "0", "0s"):
        evidence = (
            f"idle_replication_slot_timeout is {exam.idle_replication_slot_timeout}: a longer outage of the "
            "connector loses its slot"
        )
        remedy = "ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf()"
        yield Diagnosis("slot-idle-limit", "source", "PostgreSQL", Severity.WARNING, evidence, remedy)
    if exam.slot_retained is not None:
        evidence = f"{exam.slot_retained / (1 << 20):.0f} MiB of WAL are kept for it"
        if exam.slot_inactive_s is not None:
            evidence += f", and nobody has read it for {exam.slot_inactive_s:.0f} s"
        large = exam.slot_retained > _RETAINED_BYTES
        severity = Severity.WARNING if large else Severity.OK
        yield Diagnosis("slot-wal", "source", subject, severity, evidence, "sync-worker connector status" if large else "")
    if exam.standbys and exam.slot_failover is False:
        evidence = f"{counted(exam.standbys, 'standby')} without the slot: a failover loses changes"
        remedy = (
            'slot.failover = "true" under [connector.overrides], then sync-worker connector delete --drop-slot, '
            "sync-worker connector apply, and a backfill with --prune of every index"
        )
        yield Diagnosis("slot-failover", "source", subject, Severity.WARNING, evidence, remedy)
    if exam.slot_failover and not exam.synchronized_standby_slots:
        evidence = (
            "the slot fails over, but synchronized_standby_slots is empty: Debezium can send commits that "
            "the new primary never had"
        )
        remedy = "ALTER SYSTEM SET synchronized_standby_slots = '<the standby's physical slot>'; SELECT pg_reload_conf()"
        yield Diagnosis("slot-failover", "source", subject, Severity.WARNING, evidence, remedy)


def kafka(exam: KafkaExam, live_workers: int | None) -> Iterator[Diagnosis]:
    yield skew("kafka", "brokers", exam.skew_s)
    if exam.broker.get("unclean.leader.election.enable") == "true":
        evidence = "unclean.leader.election.enable is true: a broker that lacks records may become leader"
        remedy = (
            "kafka-configs.sh --alter --entity-type brokers --entity-default --add-config unclean.leader.election.enable=false"
        )
        yield Diagnosis("unclean-election", "kafka", "brokers", Severity.WARNING, evidence, remedy)
    if exam.broker.get("auto.create.topics.enable") == "true":
        evidence = (
            "auto.create.topics.enable is true: a topic that is missing comes with the brokers' defaults when anybody asks for it"
        )
        remedy = "auto.create.topics.enable=false in server.properties; sync-worker connector apply makes the topics"
        yield Diagnosis("topic-auto-creation", "kafka", "brokers", Severity.WARNING, evidence, remedy)
    minutes = exam.broker.get("offsets.retention.minutes")
    if minutes is not None:
        evidence = (
            f"the group's offsets are kept for {int(minutes) / 1440:.0f} days after its last worker left; "
            "the bookmarks outlive them"
        )
        yield Diagnosis("offset-retention", "kafka", "brokers", Severity.OK, evidence)
    for name, topic in sorted(exam.topics.items()):
        if topic.in_sync < topic.replication:
            evidence = f"{topic.in_sync} of {topic.replication} replicas are in sync"
            severity = Severity.ERROR if topic.in_sync < topic.min_insync_replicas else Severity.WARNING
            yield Diagnosis("replicas", "kafka", name, severity, evidence, "look at the brokers that are missing")
        elif topic.replication == 1:
            evidence = "one replica: a broker that loses its disk loses what is in it"
            remedy = "replication_factor = 3 in [connector] for new topics; kafka-reassign-partitions.sh for those that are there"
            yield Diagnosis("replicas", "kafka", name, Severity.WARNING, evidence, remedy)
    if live_workers is not None and exam.members != live_workers:
        evidence = (
            f"the consumer group has {counted(exam.members, 'member')}, and {counted(live_workers, 'worker')} told of being alive"
        )
        remedy = (
            "a worker that left the group, or reads with another state database: restart it, and compare "
            "[kafka] group and [state] url"
        )
        yield Diagnosis("group-members", "kafka", "group", Severity.WARNING, evidence, remedy)


def sink(instance: str, exam: SinkExam, id_fields: Mapping[str, str]) -> Iterator[Diagnosis]:
    yield skew("meilisearch", instance, exam.skew_s)
    if exam.tiny_task_s is None:
        evidence = "not timed: no key for scratch indexes is configured"
        yield Diagnosis("tiny-task", "meilisearch", instance, Severity.UNKNOWN, evidence, "sync-worker keys")
    elif exam.tiny_task_s > TINY_TASK_S:
        evidence = f"one document into an empty index took {1000 * exam.tiny_task_s:.0f} ms: no change is searchable sooner"
        remedy = (
            "start Meilisearch with MEILI_MAX_INDEXING_MEMORY=1GiB: its default of two thirds of the memory "
            "costs this in every batch"
        )
        yield Diagnosis("tiny-task", "meilisearch", instance, Severity.WARNING, evidence, remedy)
    else:
        evidence = f"one document into an empty index took {1000 * exam.tiny_task_s:.0f} ms"
        yield Diagnosis("tiny-task", "meilisearch", instance, Severity.OK, evidence)
    yield from _fragmentation(instance, exam)
    for uid, found in sorted(exam.unreadable.items()):
        how_many = f"{found.read} of {found.documents} documents were read"
        if found.ids:
            evidence = (
                f"{how_many}; the server can't give back {len(found.ids)}: {', '.join(found.ids[:5])}; searches "
                "that find one fail"
            )
            remedy = (
                f"PUT /indexes/{uid}/documents with {id_fields.get(uid, 'the id')} and the deep field set to "
                "null, then correct the row"
            )
            yield Diagnosis("unreadable-documents", "meilisearch", uid, Severity.ERROR, evidence, remedy)
        else:
            severity = Severity.OK if found.read >= found.documents else Severity.UNKNOWN
            remedy = "" if severity is Severity.OK else "sync-worker doctor --timeout 600 reads all of them"
            yield Diagnosis("unreadable-documents", "meilisearch", uid, severity, how_many, remedy)


def _fragmentation(instance: str, exam: SinkExam) -> Iterator[Diagnosis]:
    total, used = exam.database_bytes, exam.used_bytes
    if total is None or not used:
        evidence = "the worker's key may not read the sizes"
        yield Diagnosis(
            "fragmentation", "meilisearch", instance, Severity.UNKNOWN, evidence, "GET /stats with an administrator's key"
        )
        return
    evidence = f"{total / (1 << 20):.0f} MiB on disk, {used / (1 << 20):.0f} MiB of them used"
    if total > FRAGMENTED * used and total > _LARGE_BYTES:
        remedy = "POST /indexes/{uid}/compact (1.23 or later), or take a dump and load it into an empty server"
        yield Diagnosis("fragmentation", "meilisearch", instance, Severity.WARNING, evidence, remedy)
    else:
        yield Diagnosis("fragmentation", "meilisearch", instance, Severity.OK, evidence)


def state(exam: StateExam) -> Iterator[Diagnosis]:
    if exam.present != exam.newest:
        present = f"at revision {exam.present}" if exam.present else "empty"
        evidence = (
            f"its schema was {present}, this version's is {exam.newest}; every command that opens it brings "
            "it up to date, as this did"
        )
        yield Diagnosis("migrations", "state", "database", Severity.WARNING, evidence, "look again: sync-worker doctor")
    else:
        yield Diagnosis("migrations", "state", "database", Severity.OK, f"its schema is at {exam.newest}, the newest")
    if exam.live_workers:
        yield Diagnosis("workers", "state", "workers", Severity.OK, f"{counted(exam.live_workers, 'worker')} told of being alive")
    else:
        seen = f"; silent: {', '.join(exam.silent_workers)}" if exam.silent_workers else ""
        evidence = f"no worker told of itself within thirty seconds{seen}"
        yield Diagnosis("workers", "state", "workers", Severity.ERROR, evidence, "sync-worker run")
