"""The text of a failure, in a form that every store takes."""

from __future__ import annotations

MESSAGE_LIMIT = 4096
"""Bytes of a failure's message that are kept: enough for Meilisearch's words, little enough for a header."""

_CUT = " …"


def storable(text: str) -> str:
    """The text without what UTF-8 (lone surrogates) or PostgreSQL (NUL) can't hold; both come out as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")


def cut(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Storable text of at most `limit` bytes in UTF-8; what was cut ends in an ellipsis."""
    encoded = storable(text).encode()
    if len(encoded) <= limit:
        return encoded.decode()
    return encoded[: limit - len(_CUT.encode())].decode("utf-8", "ignore") + _CUT
