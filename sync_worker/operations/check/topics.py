"""The topics against what the chain needs of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sync_worker.operations.check.parts import LogFacts, TopicFacts
from sync_worker.operations.check.report import Check, Verdict, ok_unless

AREA = "kafka"

ENVELOPE_ROOM_BYTES = 64 * 1024
"""What a dead letter adds to the record it carries: headers with the failure, whose text is cut at 4 KiB."""


async def check_topics(log: LogFacts, topics: Collection[str], *, dead_letter_topic: str) -> list[Check]:
    """Raises LogUnavailable."""
    names = sorted(topics)
    found = await log.topics([*names, dead_letter_topic])
    checks = []
    for name in names:
        if name in found:
            checks += ok_unless(
                AREA, name, data_topic_problems(name, found[name]), message=f"{found[name].partitions} partition(s)"
            )
        else:
            checks.append(
                Check(
                    AREA,
                    name,
                    Verdict.WARNING,
                    "the topic is not there yet: the connector makes it with its first record",
                    "sync-worker connector apply; when the connector runs already, see `sync-worker connector status`",
                )
            )
    if dead_letter_topic in found:
        largest = max((found[name].max_message_bytes for name in names if name in found), default=0)
        problems = dead_letter_problems(dead_letter_topic, found[dead_letter_topic], largest)
        checks += ok_unless(AREA, dead_letter_topic, problems, message="dead letters are kept for ever")
    else:
        checks.append(
            Check(
                AREA,
                dead_letter_topic,
                Verdict.WARNING,
                "the dead-letter topic is not there yet: the worker makes it when it starts",
            )
        )
    return checks


def data_topic_problems(name: str, topic: TopicFacts) -> Iterator[Check]:
    """What of a data topic would lose or misplace a change."""
    if "compact" in topic.cleanup_policy:
        yield Check(
            AREA,
            name,
            Verdict.ERROR,
            f"cleanup.policy is {topic.cleanup_policy}: compaction removes deletes that an outage kept from being read",
            f"kafka-configs --alter --entity-type topics --entity-name {name} --add-config cleanup.policy=delete",
        )
    if topic.partitions > 1:
        yield Check(
            AREA,
            name,
            Verdict.WARNING,
            f"{topic.partitions} partitions: a TRUNCATE has no place among them, and each worker writes to the same index",
            "one partition is enough for one Meilisearch; a TRUNCATE leaves a finding that names what to do",
        )


def dead_letter_problems(name: str, topic: TopicFacts, largest_record_bytes: int) -> Iterator[Check]:
    """What of the dead-letter topic would lose a failure."""
    alter = f"kafka-configs --alter --entity-type topics --entity-name {name} --add-config"
    if topic.cleanup_policy != "delete" or topic.retention_ms != -1:
        yield Check(
            AREA,
            name,
            Verdict.ERROR,
            f"cleanup.policy={topic.cleanup_policy}, retention.ms={topic.retention_ms}: dead letters would vanish unread",
            f"{alter} cleanup.policy=delete,retention.ms=-1",
        )
    needed = largest_record_bytes + ENVELOPE_ROOM_BYTES
    if largest_record_bytes and topic.max_message_bytes < needed:
        yield Check(
            AREA,
            name,
            Verdict.ERROR,
            f"max.message.bytes={topic.max_message_bytes}: a record of the data topics' largest size could not be dead-lettered",
            f"{alter} max.message.bytes={needed}",
        )
