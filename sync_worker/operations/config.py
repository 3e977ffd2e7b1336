"""The configuration as it may be shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "**********"

_SECRET_NAME = re.compile(r"password|secret|token|jaas|credential|api_?key|scratch_key|admin_key|private", re.IGNORECASE)
_USERINFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def masked(value: Any) -> Any:
    """The same with every secret masked: by its name, and where a URL carries a user or a password.

    The configuration's own secrets are masked by their type; this is for what users put into free tables, such as an embedder's
    `apiKey` or an option of the connector.
    """
    if isinstance(value, Mapping):
        return {
            key: MASK if item and isinstance(item, str) and _SECRET_NAME.search(key) else masked(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    if isinstance(value, str):
        return _USERINFO.sub(MASK, value)
    return value
