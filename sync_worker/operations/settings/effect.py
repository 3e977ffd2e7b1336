"""What it costs a live index when one of its settings changes. Pure.

Read in Meilisearch 1.50's `InnerIndexSettingsDiff`, and timed on a real one: docs/relevance-and-settings.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Effect(StrEnum):
    """Cheapest first."""

    FREE = "free"
    """Only searches change: no text is worked through again. The server still spends a batch, which grows with the index."""
    REINDEXING = "re-indexing"
    """The server works through every document; writes to the index wait behind it, searches go on with the old settings."""
    REBUILD = "rebuild"
    """It can't be changed in a live index."""


SECONDS_PER_DOCUMENT = {Effect.FREE: 2.5e-5, Effect.REINDEXING: 1.6e-4, Effect.REBUILD: 0.0}
"""On two cores, with 100,000 cities. An order of magnitude: documents and machines differ."""

_FREE = frozenset({"displayedAttributes", "synonyms", "pagination", "faceting", "searchCutoffMs"})
_TYPOS_OF_WORDS = ("disableOnAttributes", "disableOnNumbers")
"""These decide how words are stored; the rest of `typoTolerance` is looked at when searching."""


def effect_of(setting: str, declared: Any, live: Any) -> Effect:
    """Args: both values complete, with the server's defaults where nothing was said."""
    if setting == PRIMARY_KEY:
        return Effect.REBUILD
    if setting in _FREE:
        return Effect.FREE
    if setting == "typoTolerance" and isinstance(declared, Mapping) and isinstance(live, Mapping):
        stored = any(declared.get(name) != live.get(name) for name in _TYPOS_OF_WORDS)
        return Effect.REINDEXING if stored else Effect.FREE
    if setting == "rankingRules":
        return Effect.REINDEXING if _sorted_by(declared) != _sorted_by(live) else Effect.FREE
    return Effect.REINDEXING


PRIMARY_KEY = "primaryKey"


def _sorted_by(rules: Any) -> set[str]:
    """Attributes that custom rules sort by: the server keeps a sorted list for each."""
    return {rule.rpartition(":")[0] for rule in rules or () if rule.endswith((":asc", ":desc"))}


def estimate_s(effect: Effect, documents: int) -> float:
    """Seconds, roughly."""
    return documents * SECONDS_PER_DOCUMENT[effect]
