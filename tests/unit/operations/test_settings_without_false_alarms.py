"""Declared settings against live ones."""

from __future__ import annotations

from typing import Any

import pytest

from sync_worker.operations.settings import settings_differences

LIVE: dict[str, Any] = {
    "displayedAttributes": ["*"],
    "searchableAttributes": ["name", "country"],
    "filterableAttributes": ["country", "population"],
    "sortableAttributes": [],
    "rankingRules": ["words", "typo", "proximity", "attributeRank", "sort", "wordPosition", "exactness"],
    "typoTolerance": {
        "enabled": True,
        "minWordSizeForTypos": {"oneTypo": 4, "twoTypos": 9},
        "disableOnWords": [],
        "disableOnAttributes": [],
        "disableOnNumbers": False,
    },
    "distinctAttribute": None,
    "settingOfALaterVersion": True,
}


def test_what_says_the_same_is_no_difference() -> None:
    """Order of sets, defaults left out, partial objects and a later version's new settings raise no alarm."""
    declared = {
        "searchableAttributes": ["name", "country"],
        "filterableAttributes": ["population", "country"],
        "typoTolerance": {"minWordSizeForTypos": {"oneTypo": 4}},
        "distinctAttribute": None,
    }
    assert settings_differences(declared, LIVE) == ()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"searchableAttributes": ["country", "name"]}, "searchableAttributes"),
        ({"filterableAttributes": ["country"]}, "filterableAttributes"),
        ({"typoTolerance": {"enabled": False, "minWordSizeForTypos": {"oneTypo": 4}}}, "typoTolerance"),
        ({"distinctAttribute": "country"}, "distinctAttribute"),
    ],
)
def test_what_says_something_else_is_named(change: dict[str, Any], named: str) -> None:
    """The order of searchable attributes ranks; everything else that differs is named too."""
    declared = {key: value for key, value in LIVE.items() if key != "settingOfALaterVersion"} | change
    assert settings_differences(declared, LIVE) == (named,)


def test_what_is_live_and_not_declared_is_named() -> None:
    """Somebody changed the live index by hand: an undeclared setting is expected to be the default."""
    declared = {key: value for key, value in LIVE.items() if key != "filterableAttributes"}
    assert settings_differences(declared, LIVE) == ("filterableAttributes",)
