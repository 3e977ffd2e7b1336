"""Which GeoJSON a Meilisearch 1.50 takes in `_geojson`. Seen on a real server: what it refuses fails the whole server batch.

It wants an object also where others take null, and answers `internal` for a polygon whose ring has too few positions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_MIN_RING = 4
"""Positions of a polygon's outer ring, once it is closed (RFC 7946 and the server's own tiler)."""


def is_geojson(value: Any) -> bool:
    """Whether the server would take it. The value must not be nested deeper than Python can recurse."""
    if type(value) is not dict:
        return False
    kind = value.get("type")
    if kind == "Feature":
        return _is_geometry(value.get("geometry"))
    if kind == "FeatureCollection":
        return _list_of(_is_feature_of_collection, value.get("features"))
    return _is_geometry(value)


def _is_feature_of_collection(value: Any) -> bool:
    if type(value) is not dict or value.get("type") != "Feature":
        return False
    geometry = value.get("geometry")
    return geometry is None or _is_geometry(geometry)


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


def _polygon(value: Any) -> bool:
    if not _list_of(_line, value) or not value or not value[0]:
        return False
    outer = value[0]
    closing = 0 if outer[0] == outer[-1] else 1
    return len(outer) + closing >= _MIN_RING


_COORDINATES: dict[str, Callable[[Any], bool]] = {
    "Point": _position,
    "MultiPoint": _line,
    "LineString": _line,
    "MultiLineString": lambda value: _list_of(_line, value),
    "Polygon": _polygon,
    "MultiPolygon": lambda value: _list_of(_polygon, value),
}
