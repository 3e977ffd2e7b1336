"""`settings apply`: make a live index's settings what is declared, only those that differ, and prove that they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from sync_worker.document.declaration import IndexDeclaration
from sync_worker.errors import ConfigurationError, SinkDenied, SinkRejected
from sync_worker.operations.audit import audited
from sync_worker.operations.report import report
from sync_worker.operations.settings.diff import IndexSettings, SettingsReader, compare_index
from sync_worker.operations.settings.effect import Effect
from sync_worker.ports import Clock, State


class SettingsWriter(SettingsReader, Protocol):
    """One Meilisearch with a key that may change settings. Raises SinkUnavailable, SinkDenied, SinkRejected."""

    async def update_settings(self, index_uid: str, settings: Mapping[str, Any]) -> None:
        """Change these, leave the others; returns once the task has succeeded."""
        ...

    async def settings_settled(self, index_uid: str) -> None:
        """Returns once no change of this index's settings is unfinished."""
        ...


class AppliedOutcome(StrEnum):
    IN_STEP = "in-step"
    """Nothing differed."""
    APPLIED = "applied"
    """Changed, read back, and as declared."""
    DIFFERS = "differs"
    """Changed, and what the server says afterwards is still something else."""
    FAILED = "failed"
    """The server refused the settings; it keeps the old ones."""
    REFUSED = "refused"
    """Not in a live index: it is missing, or its primary key is another one."""


@dataclass(frozen=True, slots=True)
class IndexApplied:
    """What became of one index.

    Attributes:
        changed: the settings that were sent.
        seconds: until the server had worked it through and it was read back.
        reason: of a refusal or failure; the server's own words where it gave some.
        remedy: what to do; empty where nothing needs doing.
    """

    index: str
    uid: str
    outcome: AppliedOutcome
    changed: tuple[str, ...]
    effect: Effect
    seconds: float
    reason: str
    remedy: str


@report("settings-apply")
@dataclass(frozen=True, slots=True)
class SettingsApplied:
    """`in_step`: every index has the declared settings now."""

    in_step: bool
    indexes: tuple[IndexApplied, ...]


async def apply_settings(
    writers: Mapping[str, SettingsWriter],
    state: State,
    indexes: Sequence[IndexDeclaration],
    *,
    acknowledge_live: bool,
    actor: str,
    clock: Clock,
) -> SettingsApplied:
    """Index by index. May be interrupted and called again: a change that is under way is waited for, not sent again.

    Args:
        writers: by instance.
        acknowledge_live: somebody knows that live indexes change under their searches.

    Raises ConfigurationError where something would change and nobody acknowledged it; SinkUnavailable, SinkDenied,
    StateUnavailable.
    """
    compared: list[IndexSettings] = []
    for index in indexes:
        await writers[index.meilisearch].settings_settled(index.uid)
        compared.append(await compare_index(writers[index.meilisearch], index))
    to_change = [one for one in compared if one.differences and one.effect is not Effect.REBUILD]
    if to_change and not acknowledge_live:
        raise ConfigurationError(
            [_would_change(one) for one in to_change],
            remedy="nothing was changed; look at `sync-worker settings diff`, then give --acknowledge-live",
        )
    done = []
    for index, one in zip(indexes, compared, strict=True):
        done.append(await _apply(writers[index.meilisearch], state, index, one, actor=actor, clock=clock))
    good = (AppliedOutcome.IN_STEP, AppliedOutcome.APPLIED)
    return SettingsApplied(all(one.outcome in good for one in done), tuple(done))


def _would_change(one: IndexSettings) -> str:
    names = ", ".join(difference.setting for difference in one.differences)
    cost = f"{one.documents} documents are worked through" if one.effect is Effect.REINDEXING else "no text is worked through"
    return f"{one.index}: would change {names} of the live index {one.uid}: {cost}"


async def _apply(
    writer: SettingsWriter, state: State, index: IndexDeclaration, one: IndexSettings, *, actor: str, clock: Clock
) -> IndexApplied:
    def ended(outcome: AppliedOutcome, changed: Sequence[str] = (), reason: str = "", remedy: str = "") -> IndexApplied:
        seconds = round(clock.monotonic() - began, 3)
        return IndexApplied(one.index, one.uid, outcome, tuple(changed), one.effect, seconds, reason, remedy)

    began = clock.monotonic()
    if not one.exists:
        return ended(AppliedOutcome.REFUSED, reason="there is no such index", remedy=one.remedy)
    if one.effect is Effect.REBUILD:
        return ended(AppliedOutcome.REFUSED, reason="a live index can't get another primary key", remedy=one.remedy)
    if not one.differences:
        return ended(AppliedOutcome.IN_STEP)
    changed = [difference.setting for difference in one.differences]
    async with audited(state, actor, "settings apply", one.index, {"uid": one.uid, "settings": changed}) as told:
        try:
            await writer.update_settings(one.uid, to_send(one))
        except (SinkRejected, SinkDenied) as error:
            if not (error.code or "").startswith("invalid_settings"):
                raise
            told["refused"] = error.message
            remedy = f"correct [indexes.{one.index}.settings]; the index keeps what it had"
            return ended(AppliedOutcome.FAILED, changed, error.message, remedy)
        left = [difference.setting for difference in (await compare_index(writer, index)).differences]
        told["still_differ"] = left
    if left:
        reason = f"read back, these still differ: {', '.join(left)}"
        return ended(AppliedOutcome.DIFFERS, changed, reason, f"sync-worker settings diff {one.index}")
    return ended(AppliedOutcome.APPLIED, changed)


_MERGED = "embedders"
"""The server replaces every other object whole, or fills in its defaults, and refuses null within `synonyms`."""


def to_send(one: IndexSettings) -> dict[str, Any]:
    """The PATCH that makes the differing settings, and only those, what is declared."""
    return {
        difference.setting: _with_nulls(difference.declared, difference.live)
        if difference.setting == _MERGED
        else difference.declared
        for difference in one.differences
    }


def _with_nulls(declared: Any, live: Any) -> Any:
    """What only the live object has is taken away by null."""
    if isinstance(declared, Mapping) and isinstance(live, Mapping):
        extra = dict.fromkeys(live.keys() - declared.keys())
        return extra | {name: _with_nulls(value, live.get(name)) for name, value in declared.items()}
    return declared
