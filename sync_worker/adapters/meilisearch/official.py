"""The official client with our errors, for administration: indexes, settings, keys.

It opens a connection for each call: fine for calls that happen a few times a day. Unlike the write path it takes a proxy from
the environment (`NO_PROXY` exempts a host).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import meilisearch

from sync_worker.adapters.meilisearch import errors
from sync_worker.adapters.meilisearch.errors import Call

TIMEOUT_S = 10
T = TypeVar("T")


class Official:
    """Calls of the official client to one server with one key. Blocking."""

    def __init__(self, url: str, api_key: str, *, key_name: str) -> None:
        self._url = url.rstrip("/")
        self._api_key = api_key
        self._key_name = key_name

    def call(self, what: str, action: str, *, writes: bool = True) -> Call:
        """A request in the words of an error message."""
        return Call(what, action, self._key_name, self._url, writes=writes)

    def do(self, call: Call, use: Callable[[meilisearch.Client], T]) -> T:
        """Run `use` with a client of its own: one instance keeps headers between calls and can't be shared by threads."""
        try:
            return use(meilisearch.Client(self._url, self._api_key, timeout=TIMEOUT_S))
        except errors.OFFICIAL_ERRORS as error:
            raise errors.from_official(error, call) from error
