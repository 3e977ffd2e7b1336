"""JSON as the server's parser sees it: what it lets through unread, and the words with which it stops.

The server keeps each field of a document as raw text and parses it later, so it accepts text (numbers out of range, lone
surrogates, any depth) that it cannot read afterwards. orjson is the fast path; this scanner is for what orjson refuses.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import orjson

MAX_DEPTH = 127
"""Levels inside one field that the server can read back (seen on a 1.50 server)."""

_TOO_DEEP = "recursion limit exceeded"
_SPACE = re.compile(rb"[ \t\r\n]*")
_STRING = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_STRING_BODY = re.compile(rb'(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_IDENTS = {ord("n"): b"null", ord("t"): b"true", ord("f"): b"false"}
_SURROGATE = re.compile(
    rb"(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)


class JsonError(Exception):
    """Where the parser stopped. `str()` ends with `at line L column C`, as the server's messages do."""

    def __init__(self, problem: str, data: bytes, consumed: int) -> None:
        line = data.count(b"\n", 0, consumed) + 1
        column = consumed - (data.rfind(b"\n", 0, consumed) + 1)
        super().__init__(f"{problem} at line {line} column {column}")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A field's text that the server stored but cannot read: the stored poison of the facts."""

    raw: bytes
    problem: str

    @property
    def is_too_deep(self) -> bool:
        return self.problem.startswith(_TOO_DEEP)


def skip_space(data: bytes, at: int) -> int:
    match = _SPACE.match(data, at)
    return match.end() if match else at


def end_of_value(data: bytes, at: int) -> int:
    """Index after the value that starts at `at`. Raises JsonError."""
    closers: list[int] = []
    while True:
        at = skip_space(data, at)
        if at >= len(data):
            opened = closers and data.rstrip()[-1:] in b"[{"
            raise JsonError(_eof(closers if opened else []), data, len(data))
        char = data[at]
        if char in b"{[":
            closer = ord("}") if char == ord("{") else ord("]")
            at = skip_space(data, at + 1)
            if at < len(data) and data[at] == closer:
                at += 1
            else:
                closers.append(closer)
                at = _key(data, at) if closer == ord("}") else at
                continue
        else:
            at = _scalar(data, at)
        while True:
            if not closers:
                return at
            at = skip_space(data, at)
            if at >= len(data):
                raise JsonError(_eof(closers), data, len(data))
            if data[at] == closers[-1]:
                closers.pop()
                at += 1
                continue
            if data[at] != ord(","):
                if data[at - 1 : at] == b"0" and data[at : at + 1].isdigit() and data[at - 2 : at - 1] in b":[, -":
                    raise JsonError("invalid number", data, at + 1)
                raise JsonError(f"expected `,` or `{chr(closers[-1])}`", data, at + 1)
            at = skip_space(data, at + 1)
            if at < len(data) and data[at] == closers[-1]:
                raise JsonError("key must be a string" if closers[-1] == ord("}") else "trailing comma", data, at + 1)
            if closers[-1] == ord("}"):
                at = _key(data, at)
            break


def _eof(closers: list[int]) -> str:
    if not closers:
        return "EOF while parsing a value"
    return "EOF while parsing an object" if closers[-1] == ord("}") else "EOF while parsing a list"


def _key(data: bytes, at: int) -> int:
    """Index after the colon of the member whose key starts at `at`."""
    if at >= len(data):
        raise JsonError("EOF while parsing an object", data, len(data))
    if data[at] != ord('"'):
        raise JsonError("key must be a string", data, at + 1)
    at = skip_space(data, _scalar(data, at))
    if at >= len(data):
        raise JsonError("EOF while parsing an object", data, len(data))
    if data[at] != ord(":"):
        raise JsonError("expected `:`", data, at + 1)
    return at + 1


def _scalar(data: bytes, at: int) -> int:
    char = data[at]
    if char == ord('"'):
        match = _STRING.match(data, at)
        if match:
            return match.end()
        body = _STRING_BODY.match(data, at + 1)
        stop = body.end() if body else at + 1
        if stop >= len(data):
            raise JsonError("EOF while parsing a string", data, len(data))
        if data[stop] == ord("\\"):
            raise JsonError("invalid escape", data, min(stop + 2, len(data)))
        raise JsonError("control character (\\u0000-\\u001F) found while parsing a string", data, stop)
    if ident := _IDENTS.get(char):
        for offset, expected in enumerate(ident):
            if at + offset >= len(data):
                raise JsonError("EOF while parsing a value", data, len(data))
            if data[at + offset] != expected:
                raise JsonError("expected ident", data, at + offset + 1)
        return at + len(ident)
    match = _NUMBER.match(data, at)
    if match:
        return match.end()
    if char == ord("-"):
        raise JsonError("invalid number", data, min(at + 2, len(data)))
    raise JsonError("expected value", data, at + 1)


def members(raw: bytes) -> list[tuple[str, bytes]]:
    """The members of a valid object, in order, duplicates included, each value as its own text."""
    found = []
    at = skip_space(raw, skip_space(raw, 0) + 1)
    while raw[at] != ord("}"):
        colon = _key(raw, at)
        key = json.loads(raw[at : skip_space(raw, _scalar(raw, at))])
        start = skip_space(raw, colon)
        end = end_of_value(raw, start)
        found.append((key, raw[start:end]))
        at = skip_space(raw, end)
        if raw[at] == ord(","):
            at = skip_space(raw, at + 1)
    return found


def elements(raw: bytes) -> list[bytes]:
    """The elements of a valid array, each as its own text."""
    found = []
    at = skip_space(raw, skip_space(raw, 0) + 1)
    while raw[at] != ord("]"):
        end = end_of_value(raw, at)
        found.append(raw[at:end])
        at = skip_space(raw, end)
        if raw[at] == ord(","):
            at = skip_space(raw, at + 1)
    return found


def read_field(raw: bytes) -> Any:
    """The value, or Unreadable where the server's parser would stop."""
    if too_deep := _too_deep(raw):
        return Unreadable(raw, str(too_deep))
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        pass
    if match := _SURROGATE.search(raw):
        return Unreadable(raw, str(_lone_surrogate(raw, match)))
    for number in _NUMBER.finditer(raw):
        if number.group() and abs(float(number.group())) == float("inf"):
            return Unreadable(raw, str(JsonError("number out of range", raw, number.end())))
    return Unreadable(raw, str(JsonError("expected value", raw, 1)))


def _lone_surrogate(raw: bytes, escape: re.Match[bytes]) -> JsonError:
    """The parser wants a second escape; what it says depends on how far it gets with one."""
    end = escape.end()
    if escape[0][3:4] in b"cdefCDEF":
        return JsonError("lone leading surrogate in hex escape", raw, end)
    if raw[end : end + 2] == b"\\u":
        return JsonError("lone leading surrogate in hex escape", raw, end + 6)
    return JsonError("unexpected end of hex escape", raw, end + 1)


def _too_deep(raw: bytes) -> JsonError | None:
    if raw.count(b"{") + raw.count(b"[") <= MAX_DEPTH:
        return None
    depth, at = 0, 0
    while at < len(raw):
        char = raw[at]
        if char == ord('"'):
            at = _scalar(raw, at)
            continue
        if char in b"{[":
            depth += 1
            if depth > MAX_DEPTH:
                return JsonError(_TOO_DEEP, raw, at + 1)
        elif char in b"}]":
            depth -= 1
        at += 1
    return None


def wrong_type(value: Any, expected: str, text: bytes) -> str:
    """What the parser says of a value that is not a map (or a sequence, …). Containers are refused before their text is read."""
    if isinstance(value, dict):
        return f"invalid type: map, expected {expected} at line 1 column 0"
    if isinstance(value, list):
        return f"invalid type: sequence, expected {expected} at line 1 column 0"
    if value is None:
        kind = "null"
    elif isinstance(value, bool):
        kind = f"boolean `{str(value).lower()}`"
    elif isinstance(value, int):
        kind = f"integer `{value}`"
    elif isinstance(value, float):
        kind = f"floating point `{value}`"
    else:
        kind = f"string {compact(value)}"
    return f"invalid type: {kind}, expected {expected} at line 1 column {len(text)}"


def found_text(value: Any) -> str:
    """A value as the server's checks of decoded JSON describe it."""
    if isinstance(value, bool):
        kind = "a boolean"
    elif isinstance(value, str):
        kind = "a string"
    elif isinstance(value, int):
        kind = "a negative integer" if value < 0 else "a positive integer"
    elif isinstance(value, float):
        kind = "a number"
    elif isinstance(value, list):
        kind = "an array"
    elif isinstance(value, dict):
        kind = "an object"
    else:
        return "null"
    return f"{kind}: `{compact(value)}`"


def compact(value: Any) -> str:
    """JSON without spaces, as the server quotes values in its messages."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=lambda field: field.raw.decode(errors="replace"))
