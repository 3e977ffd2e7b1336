"""Data topics: how long they keep what was not read, and whether they take what the connector sends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sync_worker.failure.findings import FindingKind
from sync_worker.watch.facts import TopicSeen, Watched
from sync_worker.watch.look import Look, Noticed

_TOLD = frozenset({FindingKind.TOPIC_LOSES})
_DAY_MS = 24 * 60 * 60 * 1000


def look_at_topics(topics: Mapping[str, TopicSeen], watched: Watched) -> Look:
    """Only topics that are there: the connector, or `connector apply`, makes the others."""
    noticed = []
    for name, topic in sorted(topics.items()):
        problems = list(topic_problems(topic, watched))
        if problems:
            evidence = "; ".join(what for what, _ in problems)
            settings = ",".join(setting for _, setting in problems)
            noticed.append(Noticed(FindingKind.TOPIC_LOSES, name, evidence, {"settings": settings}))
    return Look(_TOLD, tuple(noticed))


def topic_problems(topic: TopicSeen, watched: Watched) -> Iterator[tuple[str, str]]:
    """What is wrong, and the setting that mends it, as kafka-configs.sh takes it."""
    if "compact" in topic.cleanup_policy:
        yield (
            f"cleanup.policy is {topic.cleanup_policy}: compaction removes deletes that an outage kept from being read",
            "cleanup.policy=delete",
        )
    if 0 <= topic.retention_ms < watched.retention_ms:
        yield (
            f"it keeps changes for {topic.retention_ms / _DAY_MS:g} days, and outages of {watched.retention_ms / _DAY_MS:g} days "
            "are to be survived (connector.retention_days)",
            f"retention.ms={watched.retention_ms}",
        )
    if topic.retention_bytes >= 0:
        yield (
            f"it keeps {topic.retention_bytes} bytes, whatever is unread: a busy day shortens the outage that can be survived",
            "retention.bytes=-1",
        )
    if topic.max_message_bytes < watched.max_message_bytes:
        yield (
            f"it takes {topic.max_message_bytes} bytes at most, and the connector may send {watched.max_message_bytes}: one "
            "larger row stops every table",
            f"max.message.bytes={watched.max_message_bytes}",
        )
