"""PostgreSQL's dates and times as Debezium writes them with `time.precision.mode=isostring`. Pure.

Seen through the real connector (Debezium 3.7, PostgreSQL 18), and held there by tests/integration/test_value_roundtrip.py:
everything ends in "Z", also where there is no zone; fractions are cut of trailing zeros, except those of timestamptz,
which always have as many digits as the column; the year 0 stands for 1 BC; years above 9999 carry a "+".
"""

from __future__ import annotations

import re

DATE_INFINITY = "+5877611-06-21Z"
DATE_MINUS_INFINITY = "-5877611-06-22Z"
TIMESTAMP_INFINITY = "+292278994-08-16T23:00:00Z"
TIMESTAMP_MINUS_INFINITY = "-292275055-05-16T23:00:00Z"

_DATE = re.compile(r"(\d+)-(\d\d)-(\d\d)( BC)?")
_STAMP = re.compile(r"(\d+)-(\d\d)-(\d\d) (\d\d:\d\d:\d\d)(?:\.(\d+))?(?:\+00)?( BC)?")
_TIMETZ = re.compile(r"(\d\d):(\d\d):(\d\d)(?:\.(\d+))?([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?")
_INTERVAL_UNIT = re.compile(r"(-?\d+) (year|mon|day)s?")
_INTERVAL_CLOCK = re.compile(r"([+-]?)(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_DAY_S = 24 * 60 * 60


def _year(digits: str, bc: str | None) -> str:
    year = 1 - int(digits) if bc else int(digits)
    if year > 9999:
        return f"+{year}"
    return f"{year:04d}" if year >= 0 else f"-{-year:04d}"


def _fraction(digits: str | None) -> str:
    cut = (digits or "").rstrip("0")
    return f".{cut}" if cut else ""


def date(text: str) -> str:
    if text == "infinity":
        return DATE_INFINITY
    if text == "-infinity":
        return DATE_MINUS_INFINITY
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError("not a date")
    year, month, day, bc = match.groups()
    return f"{_year(year, bc)}-{month}-{day}Z"


def time(text: str) -> str:
    """24:00:00 becomes 00:00:00: Debezium knows no other."""
    clock, _, digits = text.partition(".")
    return f"{'00:00:00' if clock == '24:00:00' else clock}{_fraction(digits)}Z"


def timetz(text: str) -> str:
    """Moved to UTC, without the day."""
    match = _TIMETZ.fullmatch(text)
    if match is None:
        raise ValueError("not a time with time zone")
    hours, minutes, seconds, digits, sign, *offset = match.groups()
    total = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    shift = sum(int(part or 0) * unit for part, unit in zip(offset, (3600, 60, 1), strict=True))
    if shift:
        total = (total + (shift if sign == "-" else -shift)) % _DAY_S
    return f"{total // 3600:02d}:{total // 60 % 60:02d}:{total % 60:02d}{_fraction(digits)}Z"


def timestamp(text: str) -> str:
    if text == "infinity":
        return TIMESTAMP_INFINITY
    if text == "-infinity":
        return TIMESTAMP_MINUS_INFINITY
    match = _STAMP.fullmatch(text)
    if match is None:
        raise ValueError("not a timestamp")
    year, month, day, clock, digits, bc = match.groups()
    return f"{_year(year, bc)}-{month}-{day}T{clock}{_fraction(digits)}Z"


def timestamptz(text: str, digits_of_column: int) -> str:
    """`text` is in UTC: the session's time zone."""
    if text in ("infinity", "-infinity"):
        return text
    match = _STAMP.fullmatch(text)
    if match is None:
        raise ValueError("not a timestamp with time zone")
    year, month, day, clock, digits, bc = match.groups()
    fraction = f".{(digits or '').ljust(digits_of_column, '0')}" if digits_of_column else ""
    return f"{_year(year, bc)}-{month}-{day}T{clock}{fraction}Z"


def interval(text: str) -> str:
    """`interval.handling.mode=string`. PostgreSQL 17's infinite intervals arrive as zero; see the round trips' known gaps."""
    if text in ("infinity", "-infinity"):
        return "P0Y0M0DT0H0M0S"
    units = {name: int(count) for count, name in _INTERVAL_UNIT.findall(text)}
    sign, hours, minutes, seconds = "", 0, 0, "0"
    clock = _INTERVAL_CLOCK.search(text)
    if clock is not None:
        sign = "-" if clock[1] == "-" else ""
        hours, minutes = int(clock[2]), int(clock[3])
        whole, _, digits = clock[4].partition(".")
        seconds = f"{int(whole)}{_fraction(digits)}"
    return (
        f"P{units.get('year', 0)}Y{units.get('mon', 0)}M{units.get('day', 0)}D"
        f"T{_signed(sign, str(hours))}H{_signed(sign, str(minutes))}M{_signed(sign, seconds)}S"
    )


def _signed(sign: str, number: str) -> str:
    return number if number == "0" else sign + number
