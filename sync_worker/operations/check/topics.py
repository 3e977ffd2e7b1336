"""The topics against what the chain needs of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sync_worker.operations.check.parts import LogFacts, TopicFacts
from sync_worker.operations.check.report import Check, Verdict, ok_unless
from sync_worker.operations.wording import counted

AREA = "kafka"


async def check_topics(log: LogFacts, topics: Collection[str], *, dead_letter_topic: str) -> list[Check]:
    """Raises LogUnavailable."""
    found = await log.topics([*topics, dead_letter_topic])
    checks = []
    for name in sorted(topics):
        if name in found:
            checks += ok_unless(
                AREA, name, data_topic_problems(name, found[name]), message=counted(found[name].partitions, "partition")
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
    if dead_letter_topic not in found:
        missing = "the topic of the dead letters is not there yet: the worker makes it when it starts"
        return [*checks, Check(AREA, dead_letter_topic, Verdict.WARNING, missing, "sync-worker run")]
    problems = [_from_line(dead_letter_topic, line) for line in await log.dead_letter_problems()]
    return [*checks, *ok_unless(AREA, dead_letter_topic, problems, message="keeps dead letters for ever")]


def data_topic_problems(name: str, topic: TopicFacts) -> Iterator[Check]:
    """What of a data topic would misplace a change. What would lose one, the watch looks for."""
    if topic.partitions > 1:
        yield Check(
            AREA,
            name,
            Verdict.WARNING,
            f"{topic.partitions} partitions: a TRUNCATE has no place among them, and each worker writes to the same index",
            "one partition is enough for one Meilisearch; a TRUNCATE leaves a finding that names what to do",
        )


def _from_line(topic: str, line: str) -> Check:
    message, _, remedy = line.rpartition("; ")
    return Check(AREA, topic, Verdict.ERROR, message, remedy)
