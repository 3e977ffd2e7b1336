"""API keys: actions, index patterns, and what a request may touch."""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sync_worker.testing.meilisearch.errors import ApiError
from sync_worker.testing.meilisearch.moments import timestamp

_ACTIONS = (
    "*",
    "search",
    "documents.*",
    "documents.add",
    "documents.get",
    "documents.delete",
    "indexes.*",
    "indexes.create",
    "indexes.get",
    "indexes.update",
    "indexes.delete",
    "indexes.swap",
    "tasks.*",
    "tasks.cancel",
    "tasks.delete",
    "tasks.get",
    "settings.*",
    "settings.get",
    "settings.update",
    "stats.*",
    "stats.get",
    "metrics.*",
    "metrics.get",
    "dumps.*",
    "dumps.create",
    "snapshots.*",
    "snapshots.create",
    "version",
    "keys.create",
    "keys.get",
    "keys.update",
    "keys.delete",
    "experimental.get",
    "experimental.update",
    "export",
    "network.get",
    "network.update",
    "chatCompletions",
    "chats.*",
    "chats.get",
    "chats.delete",
    "chatsSettings.*",
    "chatsSettings.get",
    "chatsSettings.update",
    "*.get",
    "webhooks.get",
    "webhooks.update",
    "webhooks.delete",
    "webhooks.create",
    "webhooks.*",
    "indexes.compact",
    "fields.post",
    "tasks.compact",
    "dynamicSearchRules.get",
    "dynamicSearchRules.create",
    "dynamicSearchRules.update",
    "dynamicSearchRules.delete",
    "dynamicSearchRules.*",
)
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


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


class Keys:
    """All keys of an instance. Without a master key everything is open, as in the server."""

    def __init__(self, master_key: str | None) -> None:
        self._master_key = master_key
        self._keys: dict[str, Key] = {}

    def create(self, body: dict[str, Any]) -> Key:
        """Raises ApiError `missing_api_key_*` or `invalid_api_key_*`."""
        known = ("description", "name", "uid", "actions", "indexes", "expiresAt")
        for name in body:
            if name not in known:
                raise ApiError("bad_request", f"Unknown field `{name}`: expected one of {_names(known)}")
        for name in ("actions", "indexes", "expiresAt"):
            if name not in body:
                raise ApiError(f"missing_api_key_{'expires_at' if name == 'expiresAt' else name}", f"Missing field `{name}`")
        for position, action in enumerate(body["actions"]):
            if action not in _ACTIONS:
                raise ApiError(
                    "invalid_api_key_actions",
                    f"Unknown value `{action}` at `.actions[{position}]`: expected one of {_names(_ACTIONS)}",
                )
        for position, pattern in enumerate(body["indexes"]):
            if not isinstance(pattern, str) or not re.fullmatch(r"[A-Za-z0-9_-]*\*?", pattern):
                raise ApiError(
                    "invalid_api_key_indexes",
                    f"Invalid value at `.indexes[{position}]`: `{pattern}` is not a valid index uid pattern. Index uid "
                    "patterns can "
                    "be an integer or a string containing only alphanumeric characters, hyphens (-), underscores (_), and "
                    "optionally "
                    "end with a star (*).",
                )
        expires = body["expiresAt"]
        if expires is not None and not (re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", expires) and expires > timestamp()):
            raise ApiError(
                "invalid_api_key_expires_at",
                f"Invalid value at `.expiresAt`: `{expires}` is not a valid date. It should follow the RFC 3339 format "
                "to represents "
                "a date or datetime in the future or specified as a null value. e.g. 'YYYY-MM-DD' or 'YYYY-MM-DD HH:MM:SS'.\n",
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
