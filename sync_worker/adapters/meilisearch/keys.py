"""The two keys of a worker, and what a key may do.

The worker's key lacks `indexes.create` on purpose: no late write of it can bring a deleted index back. Scratch indexes have a
key of their own, which may create and delete, but only `scratch-*`.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sync_worker.adapters.meilisearch.errors import ADMINISTRATORS_KEY
from sync_worker.adapters.meilisearch.official import Official
from sync_worker.errors import SinkRejected

WORKER_ACTIONS = (
    "documents.add",
    "documents.get",
    "documents.delete",
    "tasks.get",
    "stats.get",
    "settings.get",
    "indexes.get",
)
SCRATCH_ACTIONS = (
    "documents.add",
    "documents.get",
    "documents.delete",
    "tasks.get",
    "settings.get",
    "settings.update",
    "indexes.create",
    "indexes.get",
    "indexes.delete",
)
SCRATCH_PATTERN = "scratch-*"
_NAMESPACE = uuid.UUID("6f6a1f0e-7d0b-5f5c-9a57-0f1c6c0b8a11")


@dataclass(frozen=True, slots=True)
class WorkerKeys:
    """Secrets: kept out of `repr`, so that no log or traceback shows them."""

    worker_key: str = field(repr=False)
    scratch_key: str = field(repr=False)


def make_worker_keys(admin_url: str, admin_key: str, index_patterns: Sequence[str]) -> WorkerKeys:
    """Create both keys, or return them where they exist: their uids follow from role, actions and indexes.

    Blocking. `index_patterns` are index uids, `cities` or `cities*` (which covers the targets of rebuilds). Other patterns make
    another worker key beside the old one, because Meilisearch never changes a key's indexes.

    Raises SinkDenied where `admin_key` may not make keys or the server has no master key, SinkUnavailable.
    """
    official = Official(admin_url, admin_key, key_name=ADMINISTRATORS_KEY)
    return WorkerKeys(
        worker_key=_key(official, "worker", WORKER_ACTIONS, sorted(set(index_patterns))),
        scratch_key=_key(official, "scratch", SCRATCH_ACTIONS, [SCRATCH_PATTERN]),
    )


def _key(official: Official, role: str, actions: Sequence[str], indexes: Sequence[str]) -> str:
    uid = str(uuid.uuid5(_NAMESPACE, " ".join([role, *actions, "|", *indexes])))
    wanted: dict[str, Any] = {
        "uid": uid,
        "name": f"sync-worker {role}",
        "description": f"sync-worker: {role} on {', '.join(indexes)}",
        "actions": list(actions),
        "indexes": list(indexes),
        "expiresAt": None,
    }
    try:
        return official.do(official.call("POST /keys", "keys.create"), lambda client: client.create_key(wanted).key)
    except SinkRejected as error:
        if error.code != "api_key_already_exists":
            raise
    return official.do(official.call(f"GET /keys/{uid}", "keys.get", writes=False), lambda client: client.get_key(uid).key)
