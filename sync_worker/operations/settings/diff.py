"""`settings diff`: what differs, and what it would cost to make it the same. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sync_worker.document.declaration import IndexDeclaration
from sync_worker.operations.report import report
from sync_worker.operations.settings.compare import completed, settings_differences
from sync_worker.operations.settings.effect import PRIMARY_KEY, Effect, effect_of, estimate_s
from sync_worker.ports import IndexIdentity


class SettingsReader(Protocol):
    """One Meilisearch. Raises SinkUnavailable, SinkDenied."""

    async def identity(self, index_uid: str) -> IndexIdentity | None: ...

    async def settings(self, index_uid: str) -> Mapping[str, Any]: ...

    async def document_count(self, index_uid: str) -> int: ...


@dataclass(frozen=True, slots=True)
class SettingDifference:
    """One setting that differs.

    Attributes:
        setting: Meilisearch's name; `primaryKey` for the key.
        declared, live: complete values, with the server's defaults where nothing was said.
        effect: what changing it costs: `free`, `re-indexing`, `rebuild`.
    """

    setting: str
    declared: Any
    live: Any
    effect: Effect


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """One index.

    Attributes:
        exists: False where Meilisearch has no such index; then nothing is compared.
        effect: the dearest of its differences; `free` where there is none.
        estimate_s: seconds that the server would work to make it as declared, roughly.
        remedy: the command; empty where nothing differs.
    """

    index: str
    uid: str
    exists: bool
    documents: int
    differences: tuple[SettingDifference, ...]
    effect: Effect
    estimate_s: float
    remedy: str

    @property
    def in_step(self) -> bool:
        return self.exists and not self.differences


@report("settings-diff")
@dataclass(frozen=True, slots=True)
class SettingsDiff:
    """Declared settings against live ones, normalised to the server's defaults.

    Attributes:
        in_step: every index is there and nothing differs.
    """

    in_step: bool
    indexes: tuple[IndexSettings, ...]


async def settings_diff(readers: Mapping[str, SettingsReader], indexes: Sequence[IndexDeclaration]) -> SettingsDiff:
    """Args: `readers` are by instance. Raises SinkUnavailable, SinkDenied."""
    compared = tuple([await compare_index(readers[index.meilisearch], index) for index in indexes])
    return SettingsDiff(all(one.in_step for one in compared), compared)


async def compare_index(reader: SettingsReader, index: IndexDeclaration) -> IndexSettings:
    """Raises SinkUnavailable, SinkDenied."""
    identity = await reader.identity(index.uid)
    if identity is None:
        return IndexSettings(index.name, index.uid, False, 0, (), Effect.FREE, 0.0, "sync-worker indexes create")
    live = await reader.settings(index.uid)
    differences = [
        _difference(name, completed(name, index.settings.get(name)), completed(name, live.get(name)))
        for name in settings_differences(index.settings, live)
    ]
    if identity.primary_key != index.id_field:
        differences.insert(0, _difference(PRIMARY_KEY, index.id_field, identity.primary_key))
    documents = await reader.document_count(index.uid) if differences else 0
    effects = {difference.effect for difference in differences}
    dearest = next((effect for effect in reversed(Effect) if effect in effects), Effect.FREE)
    return IndexSettings(
        index.name,
        index.uid,
        True,
        documents,
        tuple(differences),
        dearest,
        round(max((estimate_s(effect, documents) for effect in effects), default=0.0), 1),
        _remedy(index.name, dearest) if differences else "",
    )


def _difference(name: str, declared: Any, live: Any) -> SettingDifference:
    return SettingDifference(name, declared, live, effect_of(name, declared, live))


def _remedy(index: str, effect: Effect) -> str:
    if effect is Effect.REBUILD:
        return f"sync-worker reindex {index}"
    return f"sync-worker settings apply {index} --acknowledge-live"
