"""Declared settings against live ones, without false alarms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DEFAULTS: Mapping[str, Any] = {
    "displayedAttributes": ["*"],
    "searchableAttributes": ["*"],
    "filterableAttributes": [],
    "sortableAttributes": [],
    "rankingRules": ["words", "typo", "proximity", "attributeRank", "sort", "wordPosition", "exactness"],
    "stopWords": [],
    "nonSeparatorTokens": [],
    "separatorTokens": [],
    "dictionary": [],
    "synonyms": {},
    "distinctAttribute": None,
    "proximityPrecision": "byWord",
    "typoTolerance": {
        "enabled": True,
        "minWordSizeForTypos": {"oneTypo": 5, "twoTypos": 9},
        "disableOnWords": [],
        "disableOnAttributes": [],
        "disableOnNumbers": False,
    },
    "faceting": {"maxValuesPerFacet": 100, "sortFacetValuesBy": {"*": "alpha"}},
    "pagination": {"maxTotalHits": 1000},
    "embedders": {},
    "searchCutoffMs": None,
    "localizedAttributes": None,
    "facetSearch": True,
    "prefixSearch": "indexingTime",
}
"""What Meilisearch 1.50 has where nothing was said."""

_ORDERED = frozenset({"searchableAttributes", "rankingRules", "localizedAttributes"})
"""Lists whose order means something; the server keeps all others as sets."""


def completed(name: str, value: Any) -> Any:
    """A setting's value with the server's defaults where it says nothing."""
    return _filled(value, _DEFAULTS.get(name))


def settings_differences(declared: Mapping[str, Any], live: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the settings that differ, sorted. What is not declared is expected to be the server's default.

    Settings that the server knows and this list does not (a newer version's) are only compared when declared.
    """
    names = declared.keys() | (live.keys() & _DEFAULTS.keys())
    return tuple(sorted(name for name in names if _differs(name, declared.get(name), live.get(name))))


def _differs(name: str, declared: Any, live: Any) -> bool:
    default = _DEFAULTS.get(name)
    return bool(_normal(name, _filled(declared, default)) != _normal(name, _filled(live, default)))


def _filled(value: Any, default: Any) -> Any:
    """`value` with the server's defaults where it says nothing."""
    if value is None:
        return default
    if isinstance(value, Mapping) and isinstance(default, Mapping):
        return {key: _filled(value.get(key), default.get(key)) for key in value.keys() | default.keys()}
    return value


def _normal(name: str, value: Any) -> Any:
    if name == "disableOnWords" and isinstance(value, list):
        # The server keeps them in lower case.
        return sorted(str(word).lower() for word in value)
    if isinstance(value, Mapping):
        # Secrets of embedders come back masked, so they can't be compared.
        return {key: _normal(key, item) for key, item in value.items() if not (name not in _DEFAULTS and key == "apiKey")}
    if isinstance(value, list) and name not in _ORDERED:
        return sorted((_normal(name, item) for item in value), key=repr)
    return value
