"""Connector and topics: RUNNING is not alive, and a topic that forgets loses what an outage kept from being read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sync_worker.watch.connector import look_at_connector
from sync_worker.watch.facts import ConnectorSeen
from sync_worker.watch.look import Look
from sync_worker.watch.topics import look_at_topics

from .chain import CONNECTOR, DAY_MS, GOOD_TOPIC, SLOT, WATCHED, connector, slot

UNREAD = ("connector app", "unread since")


def kinds(look: Look) -> list[str]:
    return [noticed.kind.value for noticed in look.noticed]


def test_a_connector_that_runs_and_reads_is_no_news() -> None:
    """And a slot that was unread for a while is forgotten."""
    look = look_at_connector({UNREAD: 100.0}, CONNECTOR, SLOT, WATCHED, now=1000.0)
    assert (kinds(look), look.facts) == ([], {UNREAD: None})


@pytest.mark.parametrize("seen", [None, connector(running=False, state="connector RUNNING, no tasks")])
def test_a_connector_that_is_missing_or_has_no_tasks_is_down(seen: ConnectorSeen | None) -> None:
    """`tasks: []` beside RUNNING reads nothing, for ever."""
    assert kinds(look_at_connector({}, seen, SLOT, WATCHED, now=1000.0)) == ["connector-down"]


def test_a_running_connector_that_leaves_its_slot_unread_tries_for_ever() -> None:
    """SQL errors are retried inside a RUNNING task. One restart is no such thing: it takes seconds."""
    first = look_at_connector({}, CONNECTOR, slot(active=False), WATCHED, now=1000.0)
    assert (kinds(first), first.facts) == ([], {UNREAD: 1000.0})
    second = look_at_connector(first.facts, CONNECTOR, slot(active=False), WATCHED, now=1060.0)
    assert kinds(second) == ["connector-down"]


@pytest.mark.parametrize("seen", [connector(snapshotting=True), connector(position=None)])
def test_a_slot_is_unread_while_a_snapshot_reads_tables(seen: ConnectorSeen) -> None:
    """A fill of hours is no failure."""
    assert kinds(look_at_connector({UNREAD: 1.0}, seen, slot(active=False), WATCHED, now=1000.0)) == []


def test_options_that_lose_are_told_from_the_live_connector() -> None:
    """Somebody changed it behind the declaration's back."""
    look = look_at_connector({}, connector(refusals=("errors.tolerance='all' is refused",)), SLOT, WATCHED, now=1.0)
    assert kinds(look) == ["connector-loses"]
    assert "errors.tolerance" in look.noticed[0].evidence


def test_a_topic_that_keeps_everything_long_enough_is_no_news() -> None:
    """For ever is long enough."""
    assert kinds(look_at_topics({"t": GOOD_TOPIC, "u": replace(GOOD_TOPIC, retention_ms=-1)}, WATCHED)) == []


@pytest.mark.parametrize(
    ("changed", "setting"),
    [
        ({"cleanup_policy": "compact"}, "cleanup.policy=delete"),
        ({"retention_ms": 7 * DAY_MS}, f"retention.ms={30 * DAY_MS}"),
        ({"retention_bytes": 10**9}, "retention.bytes=-1"),
        ({"max_message_bytes": 999}, "max.message.bytes=1000"),
    ],
)
def test_a_topic_that_forgets_or_refuses_names_the_setting(changed: dict[str, Any], setting: str) -> None:
    """The remedy is a command that can be copied."""
    [noticed] = look_at_topics({"t": replace(GOOD_TOPIC, **changed)}, WATCHED).noticed
    assert (noticed.kind.value, noticed.subject, noticed.words) == ("topic-loses", "t", {"settings": setting})
