"""Which GeoJSON a Meilisearch 1.50 takes in `_geojson`. Seen on a real server: what it refuses fails the whole server batch.

It wants an object also where others take null, and answers `internal` for a polygon whose ring has too few positions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_MIN_RING = 3
"""Positions of a ring; the server closes it itself."""


def is_geojson(value: Any) -> bool:
    """Whether the server would take it. The value must not be nested deeper than Python can recurse."""
    if type(value) is not dict:
        return False
    kind = value.get("type")
    if kind == "Feature":
        return _is_geometry(value.get("geometry"))
    if kind == "FeatureCollection":
        return _list_of(
            lambda feature: type(feature) is dict and feature.get("type") == "Feature" and is_geojson(feature),
            value.get("features"),
        )
    return _is_geometry(value)


def _is_geometry(value: Any) -> bool:
    if type(value) is not dict:
        return False
    kind = value.get("type")
    if kind == "GeometryCollection":
        return _list_of(_is_geometry, value.get("geometries"))
    check = _COORDINATES.get(kind) if type(kind) is str else None
    return check is not None and check(value.get("coordinates"))


def _list_of(check: Callable[[Any], bool], value: Any) -> bool:
    return type(value) is list and all(check(item) for item in value)


def _position(value: Any) -> bool:
    return type(value) is list and len(value) >= 2 and all(type(number) in (int, float) for number in value)


def _line(value: Any) -> bool:
    return _list_of(_position, value)


def _ring(value: Any) -> bool:
    return _line(value) and len(value) >= _MIN_RING


def _polygon(value: Any) -> bool:
    return _list_of(_ring, value) and len(value) > 0


_COORDINATES: dict[str, Callable[[Any], bool]] = {
    "Point": _position,
    "MultiPoint": _line,
    "LineString": _line,
    "MultiLineString": lambda value: _list_of(_line, value),
    "Polygon": _polygon,
    "MultiPolygon": lambda value: _list_of(_polygon, value),
}
