"""PostgreSQL's text formats of arrays and hstore, read into Python. Pure."""

from __future__ import annotations

import re

ArrayItem = str | None | list["ArrayItem"]

_BOUNDS = re.compile(r"^(\[[-\d]+:[-\d]+\])+=")
_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"|([^{},"]+)', re.DOTALL)
_HSTORE_PAIR = re.compile(r'"((?:[^"\\]|\\.)*)"=>(?:"((?:[^"\\]|\\.)*)"|NULL)(?:, )?', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def parse_array(text: str) -> list[ArrayItem]:
    """`{1,NULL,{2}}` → nested lists of texts, None for NULL. Lower bounds (`[2:3]={…}`) are dropped.

    Raises:
        ValueError: not the text of an array.
    """
    body = _BOUNDS.sub("", text)
    if not body.startswith("{"):
        raise ValueError("not an array")
    root: list[ArrayItem] = []
    stack: list[list[ArrayItem]] = [root]
    position = 0
    while position < len(body):
        char = body[position]
        if char == "{":
            inner: list[ArrayItem] = []
            stack[-1].append(inner)
            stack.append(inner)
            position += 1
        elif char == "}":
            stack.pop()
            position += 1
        elif char == ",":
            position += 1
        else:
            item = _ITEM.match(body, position)
            if item is None:
                raise ValueError("not an array")
            quoted, plain = item.groups()
            if quoted is not None:
                stack[-1].append(_ESCAPED.sub(r"\1", quoted))
            else:
                stack[-1].append(None if plain == "NULL" else plain)
            position = item.end()
    outer = root[0]
    if len(stack) != 1 or not isinstance(outer, list):
        raise ValueError("not an array")
    return outer


def parse_hstore(text: str) -> dict[str, str | None]:
    """`"a"=>"1", "b"=>NULL` → a mapping in the text's order.

    Raises:
        ValueError: not the text of an hstore.
    """
    pairs: dict[str, str | None] = {}
    position = 0
    while position < len(text):
        pair = _HSTORE_PAIR.match(text, position)
        if pair is None:
            raise ValueError("not an hstore")
        key, value = pair.groups()
        pairs[_ESCAPED.sub(r"\1", key)] = None if value is None else _ESCAPED.sub(r"\1", value)
        position = pair.end()
    return pairs
