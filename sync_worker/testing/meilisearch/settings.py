"""Index settings: defaults, what a PATCH may say, and what is left when it is merged."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Final

from sync_worker.testing.meilisearch.errors import ApiError
from sync_worker.testing.meilisearch.json_text import found_text

Settings = dict[str, Any]

DEFAULTS: Final[Mapping[str, Any]] = {
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

_ORDER: Final = (
    "displayedAttributes",
    "searchableAttributes",
    "filterableAttributes",
    "sortableAttributes",
    "foreignKeys",
    "rankingRules",
    "stopWords",
    "nonSeparatorTokens",
    "separatorTokens",
    "dictionary",
    "synonyms",
    "distinctAttribute",
    "proximityPrecision",
    "typoTolerance",
    "faceting",
    "pagination",
    "embedders",
    "searchCutoffMs",
    "localizedAttributes",
    "facetSearch",
    "prefixSearch",
    "chat",
)
_SETS: Final = {"sortableAttributes", "stopWords", "nonSeparatorTokens", "separatorTokens", "dictionary"}
_MERGED: Final = {"typoTolerance", "faceting", "pagination", "embedders"}
_RULES: Final = {"words", "typo", "sort", "proximity", "attribute", "attributeRank", "wordPosition", "exactness"}

SUB_ROUTES: Final[Mapping[str, tuple[str, str]]] = {
    "displayed-attributes": ("displayedAttributes", "PUT"),
    "searchable-attributes": ("searchableAttributes", "PUT"),
    "filterable-attributes": ("filterableAttributes", "PUT"),
    "sortable-attributes": ("sortableAttributes", "PUT"),
    "ranking-rules": ("rankingRules", "PUT"),
    "stop-words": ("stopWords", "PUT"),
    "non-separator-tokens": ("nonSeparatorTokens", "PUT"),
    "separator-tokens": ("separatorTokens", "PUT"),
    "dictionary": ("dictionary", "PUT"),
    "synonyms": ("synonyms", "PUT"),
    "distinct-attribute": ("distinctAttribute", "PUT"),
    "proximity-precision": ("proximityPrecision", "PUT"),
    "typo-tolerance": ("typoTolerance", "PATCH"),
    "faceting": ("faceting", "PATCH"),
    "pagination": ("pagination", "PATCH"),
    "embedders": ("embedders", "PATCH"),
    "search-cutoff-ms": ("searchCutoffMs", "PUT"),
    "localized-attributes": ("localizedAttributes", "PUT"),
    "facet-search": ("facetSearch", "PUT"),
    "prefix-search": ("prefixSearch", "PUT"),
}
"""Path segment to setting and the method that changes it."""


def defaults() -> Settings:
    return copy.deepcopy(dict(DEFAULTS))


def reset_all() -> Settings:
    """The change that DELETE …/settings stands for."""
    return normalised(dict.fromkeys(_ORDER))


def read_change(value: Any) -> Settings:
    """A PATCH body, checked. Raises ApiError `bad_request` or `invalid_settings_*` with the server's words."""
    if not isinstance(value, dict):
        raise ApiError("bad_request", f"Invalid value type: expected an object, but found {found_text(value)}")
    for name in value:
        if name not in _ORDER:
            raise ApiError("bad_request", f"Unknown field `{name}`: expected one of {_names(_ORDER)}")
    for name, setting in value.items():
        check_setting(name, setting, f".{name}")
    return normalised(value)


def check_setting(name: str, setting: Any, path: str) -> None:
    """Raises ApiError `invalid_settings_*`. `path` is empty on the setting's own route."""
    if setting is None:
        return
    try:
        _CHECKS[name](setting, path)
    except _WrongError as wrong:
        raise ApiError(f"invalid_settings_{_snake(name)}", str(wrong)) from wrong


def normalised(change: Mapping[str, Any]) -> Settings:
    """A change in the server's order, with sets sorted, as the task's details show it."""
    ordered: Settings = {}
    for name in _ORDER:
        if name not in change:
            continue
        value = change[name]
        if value is None and name in {"displayedAttributes", "searchableAttributes"}:
            value = ["*"]
        elif name in _SETS and value is not None:
            value = sorted(set(value))
        elif name == "synonyms" and value is not None:
            value = dict(sorted(value.items()))
        elif name == "typoTolerance" and value is not None:
            value = {key: sorted(set(part)) if isinstance(part, list) else part for key, part in value.items()}
        ordered[name] = value
    return ordered


def merged(current: Settings, change: Settings) -> Settings:
    """Settings after a checked change; null resets a setting to its default."""
    result = copy.deepcopy(current)
    for name, value in change.items():
        if name not in DEFAULTS:
            continue
        if value is None:
            result[name] = copy.deepcopy(DEFAULTS[name])
        elif name in _MERGED:
            result[name] = _merge_part(result[name], value, DEFAULTS[name])
        else:
            result[name] = copy.deepcopy(value)
    return result


def _merge_part(current: Any, value: Mapping[str, Any], default: Any) -> Any:
    result = dict(current)
    for key, part in value.items():
        if part is None:
            result.pop(key, None)
            if key in default:
                result[key] = copy.deepcopy(default[key])
        elif isinstance(part, dict) and isinstance(result.get(key), dict):
            result[key] = {**result[key], **part}
        else:
            result[key] = copy.deepcopy(part)
    return result


def geo_enabled(settings: Settings) -> bool:
    return "_geo" in settings["sortableAttributes"] or "_geo" in filterable_patterns(settings)


def filterable_patterns(settings: Settings) -> list[str]:
    patterns: list[str] = []
    for entry in settings["filterableAttributes"]:
        patterns.extend(entry["attributePatterns"] if isinstance(entry, dict) else [entry])
    return patterns


class _WrongError(Exception):
    """What is wrong with a value, in the server's words."""


_Check = Callable[[Any, str], None]


def _at(path: str) -> str:
    return f" at `{path}`" if path else ""


def _require(value: Any, kind: type, word: str, path: str) -> None:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _WrongError(f"Invalid value type{_at(path)}: expected {word}, but found {found_text(value)}")


def _text(value: Any, path: str) -> None:
    _require(value, str, "a string", path)


def _flag(value: Any, path: str) -> None:
    _require(value, bool, "a boolean", path)


def _count(value: Any, path: str) -> None:
    if isinstance(value, int) and not isinstance(value, bool) and value < 0:
        raise _WrongError(f"Invalid value type{_at(path)}: expected a positive integer, but found {found_text(value)}")
    _require(value, int, "a positive integer", path)


def _list(element: _Check) -> _Check:
    def check(value: Any, path: str) -> None:
        _require(value, list, "an array", path)
        for position, item in enumerate(value):
            element(item, f"{path}[{position}]")

    return check


def _mapping(element: _Check) -> _Check:
    def check(value: Any, path: str) -> None:
        _require(value, dict, "an object", path)
        for key, item in value.items():
            element(item, f"{path}.{key}")

    return check


def _object(**fields: _Check) -> _Check:
    def check(value: Any, path: str) -> None:
        _require(value, dict, "an object", path)
        for key, item in value.items():
            if key not in fields:
                raise _WrongError(
                    f"Unknown field `{key}`{' inside' + _at(path)[3:] if path else ''}: expected one of {_names(fields)}"
                )
            if item is not None:
                fields[key](item, f"{path}.{key}")

    return check


def _choice(*values: str) -> _Check:
    def check(value: Any, path: str) -> None:
        _text(value, path)
        if value not in values:
            raise _WrongError(f"Unknown value `{value}`{_at(path)}: expected one of {_names(values)}")

    return check


def _ranking_rule(value: Any, path: str) -> None:
    _text(value, path)
    name, colon, direction = value.partition(":")
    if value not in _RULES and not (name and colon and direction in {"asc", "desc"}):
        raise _WrongError(
            f"Invalid value{_at(path)}: `{value}` ranking rule is invalid. Valid ranking rules are words, typo, sort, proximity, "
            "attribute, exactness and custom ranking rules."
        )


def _filterable(value: Any, path: str) -> None:
    if isinstance(value, dict):
        _list(_text)(value.get("attributePatterns", []), f"{path}.attributePatterns")
        return
    _text(value, path)


def _embedder(value: Any, path: str) -> None:
    _require(value, dict, "an object", path)
    _choice("openAi", "huggingFace", "ollama", "userProvided", "rest", "composite")(
        value.get("source", "openAi"), f"{path}.source"
    )
    if value.get("source") == "userProvided" and "dimensions" not in value:
        raise _WrongError(f"`{path}`: Missing field `dimensions` (note: this field is mandatory for source `userProvided`)")


def _anything(_value: Any, _path: str) -> None:
    return


_CHECKS: Final[Mapping[str, _Check]] = {
    "displayedAttributes": _list(_text),
    "searchableAttributes": _list(_text),
    "filterableAttributes": _list(_filterable),
    "sortableAttributes": _list(_text),
    "foreignKeys": _anything,
    "rankingRules": _list(_ranking_rule),
    "stopWords": _list(_text),
    "nonSeparatorTokens": _list(_text),
    "separatorTokens": _list(_text),
    "dictionary": _list(_text),
    "synonyms": _mapping(_list(_text)),
    "distinctAttribute": _text,
    "proximityPrecision": _choice("byWord", "byAttribute"),
    "typoTolerance": _object(
        enabled=_flag,
        minWordSizeForTypos=_object(oneTypo=_count, twoTypos=_count),
        disableOnWords=_list(_text),
        disableOnAttributes=_list(_text),
        disableOnNumbers=_flag,
    ),
    "faceting": _object(maxValuesPerFacet=_count, sortFacetValuesBy=_mapping(_choice("alpha", "count"))),
    "pagination": _object(maxTotalHits=_count),
    "embedders": _mapping(_embedder),
    "searchCutoffMs": _count,
    "localizedAttributes": _list(_object(attributePatterns=_list(_text), locales=_list(_text))),
    "facetSearch": _flag,
    "prefixSearch": _choice("indexingTime", "disabled"),
    "chat": _anything,
}


def _names(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _snake(name: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name)
