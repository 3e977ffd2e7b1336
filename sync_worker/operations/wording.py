"""Numbers with their nouns, in what people read."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 check`, `2 checks`, `0 checks`; `plural` where an s does not make it."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
