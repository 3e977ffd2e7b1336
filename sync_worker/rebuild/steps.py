"""What each phase asks of the workers, and which phase may follow which. Data, so that it can be read and tested as a table."""

from __future__ import annotations

from dataclasses import dataclass

from sync_worker.errors import SyncWorkerError
from sync_worker.rebuild.model import Phase, Rebuild


@dataclass(frozen=True, slots=True)
class Asked:
    """What the workers do in a phase.

    Attributes:
        both: they write to both uids.
        rows_to_target: rows of an incremental snapshot go to the target only.
        still: they write to neither, and have nothing in flight.
        confirmed: the next phase waits until every worker has confirmed this one.
        follows: phases that may come next.
    """

    both: bool = False
    rows_to_target: bool = False
    still: bool = False
    confirmed: bool = False
    follows: tuple[Phase, ...] = ()


ASKED: dict[Phase, Asked] = {
    Phase.PLANNED: Asked(follows=(Phase.CREATED, Phase.DELETING)),
    Phase.CREATED: Asked(follows=(Phase.DUAL, Phase.DELETING)),
    Phase.DUAL: Asked(both=True, confirmed=True, follows=(Phase.FILLING, Phase.ENDING)),
    Phase.FILLING: Asked(both=True, rows_to_target=True, confirmed=True, follows=(Phase.GATES, Phase.ENDING)),
    Phase.GATES: Asked(both=True, follows=(Phase.PAUSING, Phase.ENDING)),
    # Back without a swap: nobody had to wait for an answer that does not come.
    Phase.PAUSING: Asked(both=True, still=True, confirmed=True, follows=(Phase.SWAPPING, Phase.GATES, Phase.SWAPPED)),
    Phase.SWAPPING: Asked(both=True, still=True, follows=(Phase.SWAPPED, Phase.GATES)),
    Phase.SWAPPED: Asked(both=True, follows=(Phase.PAUSING, Phase.ENDING)),
    Phase.ENDING: Asked(confirmed=True, follows=(Phase.DELETING,)),
    Phase.DELETING: Asked(follows=(Phase.DONE, Phase.ABORTED)),
    Phase.DONE: Asked(),
    Phase.ABORTED: Asked(),
}


class WrongPhase(SyncWorkerError):
    """What was asked for can't be done in the phase that the rebuild is in."""


def asked(rebuild: Rebuild | None) -> Asked:
    """What workers do for this rebuild; nothing special without one."""
    return Asked() if rebuild is None else ASKED[rebuild.phase]


def require_step(rebuild: Rebuild, phase: Phase) -> None:
    """Raises WrongPhase for a step that may not follow."""
    if phase not in ASKED[rebuild.phase].follows:
        raise WrongPhase(f"{rebuild.index}: {phase.value} can't follow {rebuild.phase.value}")


def rests_at(rebuild: Rebuild) -> Phase:
    """Where an interrupted pause goes back to, and where a swap leads to, told by which index bears the name."""
    return Phase.SWAPPED if rebuild.new_is_live else Phase.GATES


_ABORTABLE = (Phase.PLANNED, Phase.CREATED, Phase.DUAL, Phase.FILLING, Phase.GATES)


def require_abort(rebuild: Rebuild) -> None:
    """Raises WrongPhase where the new index is live, or may be."""
    if rebuild.phase in (Phase.ENDING, Phase.DELETING) and not rebuild.new_is_live:
        return
    if rebuild.phase not in _ABORTABLE or rebuild.new_is_live:
        raise WrongPhase(
            f"{rebuild.index}: {rebuild.uid} is, or may be, the new index by now ({rebuild.phase.value})",
            remedy=f"go back first: sync-worker reindex {rebuild.index} --rollback, then --abort",
        )


def require_rollback(rebuild: Rebuild) -> None:
    """Raises WrongPhase where there is nothing to go back from."""
    if not rebuild.new_is_live or rebuild.phase not in (Phase.SWAPPED, Phase.PAUSING, Phase.SWAPPING):
        raise WrongPhase(
            f"{rebuild.index}: nothing to roll back: {rebuild.uid} is the old index ({rebuild.phase.value})",
            remedy=f"end it with: sync-worker reindex {rebuild.index} --abort",
        )


def require_finish(rebuild: Rebuild) -> None:
    """Raises WrongPhase unless the new index is live for sure."""
    if rebuild.new_is_live and rebuild.phase in (Phase.SWAPPED, Phase.ENDING, Phase.DELETING):
        return
    raise WrongPhase(
        f"{rebuild.index}: the new index is not live ({rebuild.phase.value})",
        remedy=f"go on with: sync-worker reindex {rebuild.index} --resume",
    )


def waits_for(rebuild: Rebuild) -> str:
    """What comes next and who does it, in words."""
    index = rebuild.index
    resume = f"sync-worker reindex {index} --resume"
    words = {
        Phase.DUAL: f"every worker to confirm that it writes to both {rebuild.uid} and {rebuild.target_uid}; then {resume}",
        Phase.FILLING: f"the snapshot of its table into {rebuild.target_uid}, and every row of it applied; then {resume}",
        Phase.PAUSING: f"every worker to confirm that it has nothing in flight; nothing is written to either meanwhile: {resume}",
        Phase.SWAPPING: f"the swap; nothing is written to either meanwhile: {resume}",
        Phase.SWAPPED: f"somebody to say: sync-worker reindex {index} --finish, or --rollback",
        Phase.ENDING: f"every worker to confirm that it writes to {rebuild.uid} alone; then {resume}",
        Phase.DELETING: f"{rebuild.target_uid} to be deleted: {resume}",
        Phase.DONE: "nothing",
        Phase.ABORTED: "nothing",
    }
    return words.get(rebuild.phase, resume)
