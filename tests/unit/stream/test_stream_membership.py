"""What a worker owns and what of it may be committed."""

from __future__ import annotations

import pytest

from sync_worker.change.model import TopicPartition
from sync_worker.stream.membership import GroupMembership

CITIES, OTHER = TopicPartition("cities", 0), TopicPartition("other", 0)


@pytest.fixture
def group() -> dict[str, int | None]:
    return {"generation": 3}


@pytest.fixture
def membership(group: dict[str, int | None]) -> GroupMembership:
    """A member of generation 3 that owns `cities` and has taken its records 10 to 99."""
    membership = GroupMembership()
    membership.observe(generation=lambda: group["generation"], unread=lambda _: 7, missing_topics=lambda: frozenset({"late"}))
    membership.join(frozenset({CITIES}), 3)
    membership.start_at(3, {CITIES: 10})
    membership.deliver(CITIES, 3, 100)
    return membership


def test_owns_what_is_assigned_in_this_generation_only(membership: GroupMembership) -> None:
    """Another partition, or another generation, is somebody else's."""
    assert membership.owns(CITIES, 3)
    assert not membership.owns(OTHER, 3)
    assert not membership.owns(CITIES, 2)


def test_owns_nothing_from_the_first_moment_of_a_revocation(membership: GroupMembership) -> None:
    """Not only once the pipeline was told."""
    membership.leave()

    assert not membership.owns(CITIES, 3)


def test_owns_nothing_that_the_coordinator_does_not_confirm(membership: GroupMembership, group: dict[str, int | None]) -> None:
    """After an error that nobody consumed, the assignment still looks right."""
    group["generation"] = None

    assert not membership.owns(CITIES, 3)


def test_acknowledgements_only_rise(membership: GroupMembership) -> None:
    """An older one that comes late takes nothing back."""
    membership.acknowledge(CITIES, 3, 50)
    membership.acknowledge(CITIES, 3, 20)

    assert membership.pending() == (3, {CITIES: 50})


def test_acknowledgements_of_another_generation_are_ignored(membership: GroupMembership) -> None:
    """They are about records that were handed out again."""
    membership.acknowledge(CITIES, 2, 50)
    membership.acknowledge(OTHER, 3, 50)

    assert membership.pending() is None


def test_what_was_applied_before_a_revocation_is_still_committed(membership: GroupMembership) -> None:
    """Until the partitions are wound up; after that an acknowledgement moves nothing."""
    membership.leave()
    membership.acknowledge(CITIES, 3, 50)
    assert membership.pending() == (3, {CITIES: 50})

    membership.left()
    membership.acknowledge(CITIES, 3, 60)
    assert membership.pending() is None


def test_an_acknowledgement_of_what_was_never_delivered_is_an_error(membership: GroupMembership) -> None:
    """Committing it would skip records for good."""
    with pytest.raises(ValueError, match="delivered only up to 100"):
        membership.acknowledge(CITIES, 3, 101)


def test_nothing_is_forgotten_before_the_broker_confirmed_it(membership: GroupMembership) -> None:
    """A refused commit is sent again, whole."""
    membership.acknowledge(CITIES, 3, 50)
    assert membership.pending() == membership.pending() == (3, {CITIES: 50})

    membership.acknowledge(CITIES, 3, 60)
    membership.committed(3, {CITIES: 50})
    assert membership.pending() == (3, {CITIES: 60})

    membership.committed(3, {CITIES: 60})
    assert membership.pending() is None


def test_a_confirmation_of_an_older_generation_counts_for_nothing(membership: GroupMembership) -> None:
    """End offsets collide across generations."""
    membership.acknowledge(CITIES, 3, 50)
    membership.committed(2, {CITIES: 50})

    assert membership.pending() == (3, {CITIES: 50})


def test_looks_up_backlog_and_missing_topics(membership: GroupMembership) -> None:
    """For adaptive flushes, and for the status."""
    assert membership.backlog(CITIES) == 7
    assert membership.missing_topics() == {"late"}
