"""`settings diff` classes differences; `settings apply` changes only what differs, only when told, and proves it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import fastjsonschema
import pytest

from sync_worker.document.declaration import IndexDeclaration
from sync_worker.errors import ConfigurationError, SinkDenied
from sync_worker.operations.report import as_document, schema_of
from sync_worker.operations.settings.apply import SettingsApplied, apply_settings, to_send
from sync_worker.operations.settings.compare import settings_differences
from sync_worker.operations.settings.diff import SettingsDiff, compare_index, settings_diff
from sync_worker.ports import IndexIdentity
from sync_worker.testing.memory_state import MemoryState

DECLARED: dict[str, Any] = {
    "searchableAttributes": ["name"],
    "synonyms": {"big": ["large"]},
    "typoTolerance": {"minWordSizeForTypos": {"oneTypo": 4}, "disableOnWords": ["Paris"]},
}
THINGS = IndexDeclaration.model_validate(
    {"name": "things", "table": "public.things", "primary_key": "id", "fields": {"name": "text"}, "settings": DECLARED}
)


class Clock:
    def now(self) -> float:
        return 1.0

    def monotonic(self) -> float:
        return 1.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class Server:
    """One index. PATCH merges embedders and takes away what is null there, and replaces all else, as the real one does.

    `stubborn` settings never change.
    """

    def __init__(self, *, primary_key: str = "id", exists: bool = True) -> None:
        self.live: dict[str, Any] = {
            "searchableAttributes": ["name"],
            "synonyms": {"big": ["large"]},
            "typoTolerance": {
                "enabled": True,
                "minWordSizeForTypos": {"oneTypo": 4, "twoTypos": 9},
                "disableOnWords": ["paris"],
                "disableOnAttributes": [],
                "disableOnNumbers": False,
            },
        }
        self.primary_key = primary_key
        self.exists = exists
        self.sent: list[Mapping[str, Any]] = []
        self.stubborn: set[str] = set()
        self.refusal: SinkDenied | None = None

    async def identity(self, index_uid: str) -> IndexIdentity | None:
        return IndexIdentity(index_uid, "now", self.primary_key) if self.exists else None

    async def settings(self, index_uid: str) -> Mapping[str, Any]:
        return self.live

    async def document_count(self, index_uid: str) -> int:
        return 100_000

    async def settings_settled(self, index_uid: str) -> None:
        return None

    async def update_settings(self, index_uid: str, settings: Mapping[str, Any]) -> None:
        self.sent.append(settings)
        if self.refusal is not None:
            raise self.refusal
        for name, value in settings.items():
            if name not in self.stubborn:
                self.live[name] = _merged(self.live.get(name), value) if name == "embedders" else value


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, Mapping):
        both = {**old, **{name: _merged(old.get(name), value) for name, value in new.items()}}
        return {name: value for name, value in both.items() if value is not None}
    return new


def apply(server: Server, *, acknowledge: bool = True, state: MemoryState | None = None) -> SettingsApplied:
    used = state or MemoryState()
    return asyncio.run(
        apply_settings({"default": server}, used, [THINGS], acknowledge_live=acknowledge, actor="me", clock=Clock())
    )


def diff(server: Server) -> SettingsDiff:
    return asyncio.run(settings_diff({"default": server}, [THINGS]))


def test_what_the_server_writes_differently_is_no_difference() -> None:
    """It keeps the words without typos in lower case."""
    assert settings_differences(DECLARED, Server().live) == ()
    assert diff(Server()).in_step


@pytest.mark.parametrize(
    ("change", "effect"),
    [
        ({"synonyms": {}}, "free"),
        ({"displayedAttributes": ["name"]}, "free"),
        ({"rankingRules": ["words", "typo"]}, "free"),
        ({"rankingRules": ["words", "size:desc"]}, "re-indexing"),
        ({"sortableAttributes": ["name"]}, "re-indexing"),
        ({"typoTolerance": {**Server().live["typoTolerance"], "enabled": False}}, "free"),
        ({"typoTolerance": {**Server().live["typoTolerance"], "disableOnAttributes": ["name"]}}, "re-indexing"),
    ],
)
def test_each_difference_says_what_it_costs(change: dict[str, Any], effect: str) -> None:
    """Whoever decides on a busy live index has to know."""
    server = Server()
    server.live |= change
    report = diff(server)
    (index,) = report.indexes
    assert [one.effect.value for one in index.differences] == [effect]
    assert index.remedy == "sync-worker settings apply things --acknowledge-live"
    assert 0 < index.estimate_s < 60
    fastjsonschema.compile(schema_of(SettingsDiff))(as_document(report))


def test_another_primary_key_needs_a_rebuild_and_is_never_applied() -> None:
    server = Server(primary_key="other")
    server.live["sortableAttributes"] = ["x"]
    assert diff(server).indexes[0].effect.value == "rebuild"
    report = apply(server)
    assert (report.in_step, report.indexes[0].outcome.value, server.sent) == (False, "refused", [])
    assert report.indexes[0].remedy == "sync-worker reindex things"


def test_nothing_changes_that_nobody_acknowledged() -> None:
    server = Server()
    server.live["sortableAttributes"] = ["x"]
    with pytest.raises(ConfigurationError, match="sortableAttributes of the live index things"):
        apply(server, acknowledge=False)
    assert server.sent == []


def test_only_the_differences_are_sent_and_extras_are_taken_away() -> None:
    """What only the live index has goes.

    Embedders are merged by the server, so extra ones are sent as null; synonyms are replaced whole, and refuse null.
    """
    server = Server()
    server.live["synonyms"] = {"big": ["large"], "small": ["tiny"]}
    server.live["embedders"] = {"taste": {"source": "userProvided", "dimensions": 3}}
    report = apply(server)
    assert server.sent == [{"synonyms": {"big": ["large"]}, "embedders": {"taste": None}}]
    assert (report.in_step, report.indexes[0].outcome.value) == (True, "applied")


def test_an_index_in_step_is_not_written_to() -> None:
    """On 1.50 an identical PATCH works through the whole index again."""
    server = Server()
    assert apply(server, acknowledge=False).indexes[0].outcome.value == "in-step"
    assert server.sent == []


def test_what_does_not_take_is_not_called_done() -> None:
    """Read back, not believed."""
    server = Server()
    server.live["sortableAttributes"] = ["x"]
    server.stubborn = {"sortableAttributes"}
    report = apply(server)
    assert (report.in_step, report.indexes[0].outcome.value) == (False, "differs")
    fastjsonschema.compile(schema_of(SettingsApplied))(as_document(report))


def test_a_refusal_has_the_servers_words_and_the_audit_log_knows() -> None:
    server, state = Server(), MemoryState()
    server.live["sortableAttributes"] = ["x"]
    server.refusal = SinkDenied("it says no", code="invalid_settings_sortable_attributes")
    report = apply(server, state=state)
    assert (report.indexes[0].outcome.value, report.indexes[0].reason) == ("failed", "it says no")


def test_a_missing_index_is_refused() -> None:
    report = apply(Server(exists=False))
    assert (report.indexes[0].outcome.value, report.indexes[0].remedy) == ("refused", "sync-worker indexes create")


def test_a_patch_of_a_nested_object_keeps_what_is_declared() -> None:
    server = Server()
    server.live["typoTolerance"] = {**server.live["typoTolerance"], "enabled": False}
    index = asyncio.run(compare_index(server, THINGS))
    sent = to_send(index)["typoTolerance"]
    assert sent["enabled"] is True
    assert sent["minWordSizeForTypos"] == {"oneTypo": 4, "twoTypos": 9}
