"""API keys: actions, index patterns, and what a request may touch."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sync_worker.testing.meilisearch.errors import ApiError
from sync_worker.testing.meilisearch.moments import timestamp

_GLOBAL_ONLY = {"version", "metrics.get", "keys.create", "keys.get", "keys.update", "keys.delete"}
"""Actions whose routes look at no index: a key that names indexes never has them."""


@dataclass(frozen=True, slots=True)
class Access:
    """Whom a request acts for: the master, or one key."""

    actions: frozenset[str] | None
    patterns: tuple[str, ...]

    def sees_index(self, index_uid: str) -> bool:
        return self.actions is None or any(_matches(pattern, index_uid) for pattern in self.patterns)

    @property
    def sees_everything(self) -> bool:
        return self.actions is None or "*" in self.patterns

    def may(self, action: str) -> bool:
        if self.actions is None:
            return True
        family = action.split(".", maxsplit=1)[0]
        granted = action in self.actions or f"{family}.*" in self.actions
        granted = granted or (action.endswith(".get") and "*.get" in self.actions and not action.startswith("keys"))
        granted = granted or ("*" in self.actions and not action.startswith("keys"))
        return granted and (self.sees_everything or action not in _GLOBAL_ONLY)

    def creates_index(self, index_uid: str) -> bool:
        return self.may("indexes.create") and self.sees_index(index_uid)


MASTER = Access(None, ("*",))


def _matches(pattern: str, index_uid: str) -> bool:
    return index_uid.startswith(pattern[:-1]) if pattern.endswith("*") else index_uid == pattern


@dataclass
class Key:
    """A key as `/keys` shows it."""

    uid: str
    key: str
    actions: list[str]
    indexes: list[str]
    name: str | None = None
    description: str | None = None
    expires_at: str | None = None
    created_at: str = field(default_factory=timestamp)

    def view(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "description": self.description,
            "key": self.key,
            "uid": self.uid,
            "actions": self.actions,
            "indexes": self.indexes,
            "expiresAt": self.expires_at,
            "createdAt": self.created_at,
            "updatedAt": self.created_at,
        }


class Keys:
    """All keys of an instance. Without a master key everything is open, as in the server."""

    def __init__(self, master_key: str | None) -> None:
        self._master_key = master_key
        self._keys: dict[str, Key] = {}

    def create(self, body: dict[str, Any]) -> Key:
        """Raises ApiError `missing_api_key_*` or `invalid_api_key_*`."""
        for name in ("actions", "indexes", "expiresAt"):
            if name not in body:
                raise ApiError(f"missing_api_key_{'expires_at' if name == 'expiresAt' else name}", f"Missing field `{name}`")
        for position, pattern in enumerate(body["indexes"]):
            if not isinstance(pattern, str) or (
                not pattern.rstrip("*").replace("-", "").replace("_", "").isalnum() and pattern != "*"
            ):
                raise ApiError(
                    "invalid_api_key_indexes", f"Invalid value at `.indexes[{position}]`: `{pattern}` is not a valid index uid."
                )
        uid = str(body.get("uid") or uuid.uuid4())
        secret = hmac.new((self._master_key or "").encode(), uid.encode(), hashlib.sha256).hexdigest()
        key = Key(uid, secret, body["actions"], body["indexes"], body.get("name"), body.get("description"), body["expiresAt"])
        self._keys[uid] = key
        return key

    def find(self, uid_or_key: str) -> Key:
        """Raises ApiError `api_key_not_found`."""
        for key in self._keys.values():
            if uid_or_key in {key.uid, key.key}:
                return key
        raise ApiError("api_key_not_found", f"API key `{uid_or_key}` not found.")

    def delete(self, uid_or_key: str) -> None:
        del self._keys[self.find(uid_or_key).uid]

    def all(self) -> Iterable[Key]:
        return reversed(self._keys.values())

    def authorize(self, header: str | None, action: str, index_uid: str | None) -> Access:
        """Raises ApiError `missing_authorization_header` or `invalid_api_key`."""
        if self._master_key is None:
            return MASTER
        if header is None:
            raise ApiError(
                "missing_authorization_header",
                "The Authorization header is missing. It must use the bearer authorization method.",
            )
        token = header.removeprefix("Bearer ").strip()
        if token == self._master_key:
            return MASTER
        key = next((key for key in self._keys.values() if key.key == token), None)
        if key is None or (key.expires_at is not None and key.expires_at < timestamp()):
            raise _invalid()
        access = Access(frozenset(key.actions), tuple(key.indexes))
        if index_uid is not None and not access.sees_index(index_uid):
            listed = ", ".join(f'"{pattern}"' for pattern in key.indexes)
            raise ApiError(
                "invalid_api_key", f"The API key cannot acces the index `{index_uid}`, authorized indexes are [{listed}]."
            )
        if not access.may(action):
            raise _invalid()
        return access


def _invalid() -> ApiError:
    return ApiError("invalid_api_key", "The provided API key is invalid.")
