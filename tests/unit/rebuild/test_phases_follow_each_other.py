"""The phases of a rebuild as a table."""

from __future__ import annotations

import pytest

from sync_worker.rebuild.model import Phase, Rebuild, logical
from sync_worker.rebuild.steps import (
    ASKED,
    WrongPhase,
    require_abort,
    require_finish,
    require_rollback,
    require_step,
    rests_at,
    waits_for,
)


def rebuild(phase: Phase, *, new_is_live: bool = False) -> Rebuild:
    return Rebuild(1, "cities", "cities", "cities__2", phase, 3, "old", "new", new_is_live, 0.0, 0.0, "somebody")


def reachable(first: Phase) -> set[Phase]:
    seen, left = set(), [first]
    while left:
        if (phase := left.pop()) not in seen:
            seen.add(phase)
            left.extend(ASKED[phase].follows)
    return seen


def test_every_phase_is_reached_and_ends() -> None:
    """No phase is left out, and from each a rebuild can still come to its end."""
    assert reachable(Phase.PLANNED) == set(Phase)
    assert all(reachable(phase) & {Phase.DONE, Phase.ABORTED} for phase in Phase)


def test_a_swap_is_asked_for_only_out_of_a_confirmed_pause() -> None:
    """Protocol rule 10: nothing unfinished on either index is not enough."""
    before = {phase for phase in Phase if Phase.SWAPPING in ASKED[phase].follows}
    assert before == {Phase.PAUSING}
    assert ASKED[Phase.PAUSING].confirmed
    assert ASKED[Phase.PAUSING].still
    assert ASKED[Phase.SWAPPING].still


def test_an_index_is_deleted_only_once_no_worker_writes_to_it() -> None:
    """Protocol rule 12: dual write off, confirmed, and then deleted."""
    before = {phase for phase in Phase if Phase.DELETING in ASKED[phase].follows}
    assert before == {Phase.PLANNED, Phase.CREATED, Phase.ENDING}
    assert not ASKED[Phase.ENDING].both
    assert ASKED[Phase.ENDING].confirmed
    assert not any(ASKED[phase].both for phase in (Phase.PLANNED, Phase.CREATED))


def test_dual_write_goes_on_from_before_the_fill_until_the_end() -> None:
    """What is written during the whole rebuild reaches both; rows of the fill go to the target alone."""
    both = {phase for phase in Phase if ASKED[phase].both}
    assert both == {Phase.DUAL, Phase.FILLING, Phase.GATES, Phase.PAUSING, Phase.SWAPPING, Phase.SWAPPED}
    assert {phase for phase in Phase if ASKED[phase].rows_to_target} == {Phase.FILLING}


@pytest.mark.parametrize("phase", [Phase.SWAPPED, Phase.PAUSING, Phase.SWAPPING])
def test_the_new_index_is_not_aborted_once_it_is_live(phase: Phase) -> None:
    """`--abort` deletes the target, so it is refused where applications may be reading it."""
    with pytest.raises(WrongPhase) as caught:
        require_abort(rebuild(phase, new_is_live=True))
    assert "--rollback" in caught.value.remedy


@pytest.mark.parametrize("phase", [phase for phase in Phase if not phase.over])
def test_finish_never_takes_the_live_index(phase: Phase) -> None:
    """While the old index is live, nothing finishes."""
    with pytest.raises(WrongPhase):
        require_finish(rebuild(phase))


def test_abort_is_refused_where_a_swap_may_be_on_its_way() -> None:
    """Which index bears the name is not known then."""
    with pytest.raises(WrongPhase):
        require_abort(rebuild(Phase.SWAPPING))


def test_only_what_was_swapped_is_rolled_back() -> None:
    """And a rollback that was interrupted may be asked for again."""
    require_rollback(rebuild(Phase.SWAPPED, new_is_live=True))
    require_rollback(rebuild(Phase.PAUSING, new_is_live=True))
    with pytest.raises(WrongPhase):
        require_rollback(rebuild(Phase.GATES))


def test_a_pause_that_is_given_up_goes_back_to_where_it_came_from() -> None:
    assert rests_at(rebuild(Phase.PAUSING)) is Phase.GATES
    assert rests_at(rebuild(Phase.PAUSING, new_is_live=True)) is Phase.SWAPPED
    assert {Phase.GATES, Phase.SWAPPED} < set(ASKED[Phase.PAUSING].follows)


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_says_what_it_waits_for(phase: Phase) -> None:
    """`status` is never without a next step."""
    assert waits_for(rebuild(phase))
    with pytest.raises(WrongPhase):
        require_step(rebuild(phase), phase)


def test_which_name_is_whose() -> None:
    """The live name's index and the other one's, before and after the swap."""
    before, after = rebuild(Phase.GATES), rebuild(Phase.SWAPPED, new_is_live=True)
    assert (before.live_created_at, before.other_created_at) == ("old", "new")
    assert (after.live_created_at, after.other_created_at) == ("new", "old")
    assert logical(before.target_lane) == "cities" == logical("cities")
