"""Slot and server: what PostgreSQL no longer keeps for the connector is told, and what is as it was is not."""

from __future__ import annotations

import pytest

from sync_worker.failure.findings import FindingKind
from sync_worker.watch.facts import ServerSeen, SlotSeen
from sync_worker.watch.look import Look
from sync_worker.watch.server import look_at_server
from sync_worker.watch.slot import look_at_slot

from .chain import CONNECTOR, SLOT, WATCHED, connector, slot

SEEN = ("slot app_slot", "seen")
SERVER = ServerSeen("7000000000000000001", 1)
SERVER_FACTS = {("connector app", "system"): "7000000000000000001", ("connector app", "timeline"): 1}


def kinds(look: Look) -> list[tuple[str, str]]:
    return [(noticed.kind.value, noticed.subject) for noticed in look.noticed]


LOST = [("changes-lost", "things"), ("changes-lost", "numbers")]


def test_a_slot_that_goes_on_is_no_news_and_is_remembered() -> None:
    """That it was there is what the next look needs to miss it."""
    look = look_at_slot({SEEN: True}, SLOT, CONNECTOR, WATCHED)
    assert kinds(look) == []
    assert look.facts == {SEEN: True}


def test_a_slot_that_is_gone_loses_changes_of_every_index() -> None:
    """Nothing is kept for the connector from here on."""
    assert kinds(look_at_slot({SEEN: True}, None, CONNECTOR, WATCHED)) == [("slot-missing", "app_slot"), *LOST]


def test_a_slot_that_connect_has_read_from_is_missed_without_an_earlier_look() -> None:
    """The worker may be new while the connector is old."""
    assert kinds(look_at_slot({}, None, CONNECTOR, WATCHED)) == [("slot-missing", "app_slot"), *LOST]


def test_a_slot_before_the_connectors_first_start_is_not_missed() -> None:
    """The connector makes it."""
    assert kinds(look_at_slot({}, None, connector(position=None), WATCHED)) == []


@pytest.mark.parametrize("seen", [slot(wal_status="lost"), slot(invalidation="wal_removed"), slot(invalidation="idle_timeout")])
def test_a_slot_that_postgresql_gave_up_loses_changes(seen: SlotSeen) -> None:
    """Too far behind, idle for too long: the WAL is gone, while the connector tries again at WARN."""
    assert kinds(look_at_slot({}, seen, CONNECTOR, WATCHED)) == [("slot-invalid", "app_slot"), *LOST]


def test_a_slot_about_to_lose_is_told_before_it_does() -> None:
    """There is time to let the connector read."""
    assert kinds(look_at_slot({}, slot(wal_status="unreserved"), CONNECTOR, WATCHED)) == [("slot-at-risk", "app_slot")]


def test_a_slot_ahead_of_what_connect_stored_was_moved() -> None:
    """PostgreSQL starts at the slot's position and nobody else compares the two."""
    look = look_at_slot({SEEN: True}, slot(confirmed=2000), CONNECTOR, WATCHED)
    assert kinds(look) == LOST
    assert "0/7D0" in look.noticed[0].evidence
    assert "0/3E8" in look.noticed[0].evidence


def test_a_slot_that_went_back_after_a_crash_is_no_news() -> None:
    """PostgreSQL stores the position with a checkpoint; the connector knows its own."""
    assert kinds(look_at_slot({SEEN: True}, slot(confirmed=1), CONNECTOR, WATCHED)) == []


def test_nothing_is_said_about_positions_while_connect_does_not_answer() -> None:
    """No verdict without evidence."""
    assert kinds(look_at_slot({SEEN: True}, slot(confirmed=2000), None, WATCHED)) == []


@pytest.mark.parametrize("seen", [ServerSeen("7000000000000000002", 1), ServerSeen("7000000000000000001", 2)])
def test_another_cluster_or_timeline_puts_everything_in_doubt_once(seen: ServerSeen) -> None:
    """A failover: the slot may know less, or the stream more, than the new primary. The next look compares with the new one."""
    look = look_at_server(SERVER_FACTS, seen, WATCHED)
    assert kinds(look) == LOST
    assert kinds(look_at_server(look.facts, seen, WATCHED)) == []


@pytest.mark.parametrize("recorded", [{}, SERVER_FACTS])
def test_the_same_server_is_no_news(recorded: dict[tuple[str, str], object]) -> None:
    """Nor is the first one. A standby that can't tell its timeline forgets nothing."""
    assert kinds(look_at_server(recorded, SERVER, WATCHED)) == []
    standby = look_at_server(recorded, ServerSeen(SERVER.system, None), WATCHED)
    assert (kinds(standby), ("connector app", "timeline") in standby.facts) == ([], False)


def test_conditions_are_told_apart_from_losses() -> None:
    """A slot that is back ends `slot-missing`; the changes that were lost meanwhile stay lost until they are proven."""
    assert FindingKind.SLOT_MISSING in look_at_slot({}, SLOT, CONNECTOR, WATCHED).told
    assert FindingKind.CHANGES_LOST not in look_at_slot({}, SLOT, CONNECTOR, WATCHED).told
