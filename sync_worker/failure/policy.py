"""What each of Meilisearch's error codes calls for: one table, as data.

Read in the source of Meilisearch 1.50 (its `Code` enum) and seen on a real server. An unknown code is treated as one
that may be the document's or the environment's, so that nothing is dead-lettered on a guess.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from enum import Enum, auto

from sync_worker.failure.model import ReasonClass


class Verdict(Enum):
    """What a failed task means."""

    HOLD = auto()
    """The environment: hold and send again later."""
    DENIED = auto()
    """How the index, the key or the settings are: hold, loudly, until somebody mended it."""
    OWN_TASK = auto()
    """A document of this very task, never one of a task merged with it."""
    MERGED = auto()
    """A document of some task in the same server batch, perhaps of somebody else's."""
    EITHER = auto()
    """A document or the environment: only isolation can tell."""
    AGAIN = auto()
    """Nothing was wrong with it: send it again."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What to do about one error code, and the sentence for the operator."""

    verdict: Verdict
    reason_class: ReasonClass
    retryable: bool
    remedy: str


_ROOM = Policy(
    Verdict.HOLD,
    ReasonClass.TRANSPORT,
    True,
    "Give the Meilisearch server room (disk, open files, memory); the worker goes on by itself.",
)
_DENIED = Policy(
    Verdict.DENIED, ReasonClass.CONTRACT, True, "Run `sync-worker check`: it names what the index, its settings or the key lack."
)
_ID = Policy(Verdict.OWN_TASK, ReasonClass.REJECTED, False, "Mend the row's key, or declare another primary key.")
_GEO = Policy(Verdict.MERGED, ReasonClass.REJECTED, False, "Mend the row's coordinates, or the declaration of `_geo`.")
_VECTOR = Policy(Verdict.MERGED, ReasonClass.REJECTED, False, "Mend the row's vector, or the embedder's declaration.")
_EITHER = Policy(Verdict.EITHER, ReasonClass.UNKNOWN, True, "Read the message; retry once its cause is gone.")
_AGAIN = Policy(Verdict.AGAIN, ReasonClass.TRANSPORT, True, "")

POLICIES: dict[str, Policy] = {
    "no_space_left_on_device": _ROOM,
    "too_many_open_files": _ROOM,
    "io_error": _ROOM,
    "database_size_limit_reached": _ROOM,
    "too_many_search_requests": _ROOM,
    "invalid_store_file": Policy(
        Verdict.HOLD, ReasonClass.TRANSPORT, True, "The server's store is damaged: restore it, or build the index anew."
    ),
    "index_not_found": _DENIED,
    "index_creation_failed": _DENIED,
    "invalid_api_key": _DENIED,
    "missing_authorization_header": _DENIED,
    "index_primary_key_no_candidate_found": _DENIED,
    "index_primary_key_multiple_candidates_found": _DENIED,
    "index_primary_key_already_exists": _DENIED,
    "invalid_index_primary_key": _DENIED,
    "invalid_index_uid": _DENIED,
    "invalid_document_filter": _DENIED,
    "invalid_document_id": _ID,
    "missing_document_id": _ID,
    "invalid_document_geo_field": _GEO,
    "invalid_document_geojson_field": _GEO,
    "invalid_vector_dimensions": _VECTOR,
    "invalid_vectors_type": _VECTOR,
    "too_many_vectors": _VECTOR,
    "vector_embedding_error": Policy(
        Verdict.EITHER, ReasonClass.REJECTED, True, "The embedder failed: check its service and quota, then retry."
    ),
    "max_fields_limit_exceeded": Policy(
        Verdict.MERGED,
        ReasonClass.REJECTED,
        False,
        "The index would have more than 65,535 fields: declare fewer, or text instead of json.",
    ),
    "payload_too_large": Policy(
        Verdict.OWN_TASK, ReasonClass.REJECTED, False, "Raise the server's payload limit, or leave out large fields."
    ),
    "malformed_payload": Policy(
        Verdict.OWN_TASK, ReasonClass.REJECTED, False, "The document is not JSON that Meilisearch reads."
    ),
    "internal": _EITHER,
    "task_canceled": _AGAIN,
    "task_forgotten": _AGAIN,
}


def policy_for(code: str) -> Policy:
    """The policy of this error code; families by prefix (`invalid_settings_…`), the unknown is EITHER."""
    known = POLICIES.get(code)
    if known is not None:
        return known
    if code.startswith(("invalid_settings_", "invalid_api_key", "missing_master_key")):
        return _DENIED
    return _EITHER


_NAMED = re.compile(r"""(?:with the id|with id|for document|Document identifier)[:\s]*[`"\\]+([A-Za-z0-9_-]{1,511})[`"\\]""")


def named_document(message: str | None, candidates: Container[str]) -> str | None:
    """The document among `candidates` that the server's words name as guilty, None where they name none.

    Geo, vector and id errors name it (recorded from a real 1.50 server); `internal` never does.
    """
    found = _NAMED.search(message or "")
    return found.group(1) if found and found.group(1) in candidates else None
