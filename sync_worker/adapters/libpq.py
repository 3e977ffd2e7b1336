"""What libpq says of a connection that failed: it gives no SQLSTATE then, only words."""

from __future__ import annotations

import re
from enum import StrEnum


class Refusal(StrEnum):
    """What waiting does not mend."""

    CREDENTIALS = "credentials"
    DATABASE = "database"
    ACCESS = "access"


_WORDS = (
    (re.compile("password authentication failed|no password supplied|role .* does not exist"), Refusal.CREDENTIALS),
    (re.compile("database .* does not exist"), Refusal.DATABASE),
    (re.compile("no pg_hba.conf entry"), Refusal.ACCESS),
)
_SEVERAL = "Multiple connection attempts failed"
"""How psycopg begins where a host's name has several addresses, as localhost has; a line for each of them follows."""


def refusal(line: str) -> Refusal | None:
    """None where the server may only be away. One that speaks another language is taken for one that is."""
    return next((what for words, what in _WORDS if words.search(line)), None)


def telling_line(text: str) -> str:
    """The one line of an error's text to show. Never a DETAIL, which may quote a row's values."""
    lines = text.strip().splitlines() or [""]
    if lines[0].startswith(_SEVERAL) and len(lines) > 1:
        return next((line for line in lines[1:] if refusal(line)), lines[1]).removeprefix("- ")
    return lines[0]
