"""What Meilisearch, a proxy before it, or the HTTP client said → the project's errors.

The question behind every write is: may the server have taken it? Where that can't be excluded, the answer is AnswerLost.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import meilisearch.errors
import orjson
import pydantic
import requests.exceptions
import urllib3.exceptions

from sync_worker.errors import (
    AnswerLost,
    PayloadTooLarge,
    SinkDenied,
    SinkFull,
    SinkRejected,
    SinkUnavailable,
    SyncWorkerError,
)


@dataclass(frozen=True, slots=True)
class Call:
    """One request, in the words of an error message.

    Attributes:
        what: `POST /indexes/cities/documents`.
        action: the action that a key needs for it, for instance `documents.add`.
        key_name: which key was used, never the key.
        server: base URL.
        writes: whether the server does something for it.
    """

    what: str
    action: str
    key_name: str
    server: str
    writes: bool


ADMINISTRATORS_KEY = "administrator's key"
"""`key_name` of what the operator gives for one command, and `sync-worker keys` can't make."""

FULL = frozenset({"no_space_left_on_device", "too_many_open_files", "io_error", "database_size_limit_reached"})
"""A full task store answers `no_space_left_on_device` too. A read of the error table of Meilisearch 1.50."""

DENIED = frozenset(
    {
        "missing_authorization_header",
        "invalid_api_key",
        "missing_master_key",
        "index_not_found",
        "index_already_exists",
        "invalid_index_uid",
        "invalid_index_primary_key",
        "invalid_content_type",
        "missing_content_type",
        "unsupported_media_type",
        "not_leader",
    }
)
DENIED_PREFIXES = ("index_primary_key_", "invalid_settings_", "invalid_api_key_", "index_scoped_api_key_")
NOT_AN_OBJECT = ", expected a map at line"
"""How a 500 `internal` reads when a line of NDJSON is no object: the payload's fault, and found before anything is stored."""
OVERSIZED_DELETE = "is larger than allowed (limit:"
"""How a 500 `internal` reads when a list of ids is above the payload limit: there is no 413 on that route."""
CUT_OFF = "The provided payload is incomplete"
"""How a 400 `bad_request` reads when a body was damaged or cut off on its way."""

NOTHING_SENT: tuple[type[Exception], ...] = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
MISUSED: tuple[type[Exception], ...] = (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, aiohttp.RedirectClientError)


def from_client(error: Exception, call: Call, *, broken_off: bool = False) -> SyncWorkerError:
    """An exception of aiohttp, of the total time-out, or of the socket.

    `broken_off`: part of the body was never sent, so that the server can't have taken the write.
    """
    text = f"{call.what} on {call.server}: {type(error).__name__}: {error}".rstrip(": ")
    if isinstance(error, MISUSED):
        return SinkDenied(text, remedy="Mend the URL of this Meilisearch in the configuration.")
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ServerFingerprintMismatch)):
        return SinkUnavailable(text, remedy="The server's certificate is not trusted here.")
    if isinstance(error, NOTHING_SENT) or broken_off or not call.writes:
        return SinkUnavailable(text)
    return AnswerLost(text)


def from_answer(status: int, headers: Mapping[str, str], body: bytes, call: Call) -> SyncWorkerError:
    """An answer that is not the one asked for: a status other than 2xx, or a body that is not Meilisearch's."""
    answer = _error_object(body)
    if answer is None:
        return _from_stranger(status, headers, body, call)
    return from_code(status, answer["code"], str(answer.get("message", "")), call, retry_after_s=_retry_after(headers))


def from_code(status: int, code: str, message: str, call: Call, *, retry_after_s: float | None = None) -> SyncWorkerError:
    """An error that Meilisearch itself gave."""
    text = f"{call.what} on {call.server}: {status} {code}: {message}"
    if status == 413 or code == "payload_too_large" or (code == "internal" and OVERSIZED_DELETE in message):
        return PayloadTooLarge(text)
    if code in FULL:
        return SinkFull(text, code=code, remedy="Make room for Meilisearch (disk, open files), or delete finished tasks.")
    if status in (401, 403) or code in DENIED or code.startswith(DENIED_PREFIXES):
        return SinkDenied(text, code=code, remedy=_remedy(code, call))
    if status >= 500 or status == 429:
        if code == "internal" and call.writes and NOT_AN_OBJECT in message:
            return SinkRejected(text, code=code)
        return SinkUnavailable(text, code=code, retry_after_s=retry_after_s)
    if code == "bad_request" and message.startswith(CUT_OFF):
        return SinkUnavailable(text, code=code)
    if code == "bad_request" and "`customMetadata`" in message and message.startswith("Unknown parameter"):
        return SinkDenied(text, code=code, remedy="Meilisearch 1.26 or later is needed: it is the first to keep customMetadata.")
    if call.writes:
        return SinkRejected(text, code=code)
    return SinkDenied(text, code=code)


def from_official(error: Exception, call: Call) -> SyncWorkerError:
    """An exception of the official client, which serves administration."""
    text = f"{call.what} on {call.server}: {type(error).__name__}: {error}"
    if isinstance(error, meilisearch.errors.MeilisearchApiError):
        if isinstance(error.code, str):
            return from_code(error.status_code, error.code, error.message, call)
        return _from_stranger(error.status_code, {}, error.message.encode(), call)
    if not call.writes or _never_connected(error.__cause__):
        return SinkUnavailable(text)
    return AnswerLost(text)


OFFICIAL_ERRORS: tuple[type[Exception], ...] = (
    meilisearch.errors.MeilisearchError,
    requests.exceptions.RequestException,
    pydantic.ValidationError,
)
"""What a call of the official client may raise; a body that is not Meilisearch's shows as either of the last two."""


def _from_stranger(status: int, headers: Mapping[str, str], body: bytes, call: Call) -> SyncWorkerError:
    """Something that is not Meilisearch answered: a proxy, mostly. It says nothing about any document."""
    text = f"{call.what} on {call.server}: {status} without an answer of Meilisearch's: {body[:200].decode(errors='replace')!r}"
    if status == 413:
        return PayloadTooLarge(text)
    if status == 429:
        return SinkUnavailable(text, retry_after_s=_retry_after(headers))
    if 300 <= status < 400:
        return SinkDenied(text, remedy=f"Configure the final URL: it redirects to {headers.get('Location', 'another one')}.")
    if 400 <= status < 500 and status != 408:
        return SinkDenied(text, remedy=f"Is {call.server} Meilisearch's base URL, and does the proxy before it let this through?")
    if call.writes:
        return AnswerLost(text, retry_after_s=_retry_after(headers))
    return SinkUnavailable(text, retry_after_s=_retry_after(headers))


def _never_connected(cause: BaseException | None) -> bool:
    if isinstance(cause, requests.exceptions.ConnectTimeout):
        return True
    reason = getattr(cause.args[0], "reason", None) if cause is not None and cause.args else None
    return isinstance(reason, urllib3.exceptions.NewConnectionError)


def _error_object(body: bytes) -> dict[str, Any] | None:
    with contextlib.suppress(orjson.JSONDecodeError):
        answer = orjson.loads(body)
        if isinstance(answer, dict) and isinstance(answer.get("code"), str):
            return answer
    return None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds; the form with a date is not worth a clock."""
    try:
        return max(0.0, float(headers.get("Retry-After", "")))
    except ValueError:
        return None


def _remedy(code: str, call: Call) -> str:
    if code in ("missing_authorization_header", "invalid_api_key") and call.key_name == ADMINISTRATORS_KEY:
        return (
            f"The {call.key_name} that was given is wrong, has expired, or lacks the action {call.action}: give the master key, "
            "or a key that has it."
        )
    if code in ("missing_authorization_header", "invalid_api_key"):
        return (
            f"The {call.key_name} must exist, must not have expired, and needs the action {call.action} on this index; "
            "`sync-worker keys` makes one that has it."
        )
    if code == "missing_master_key":
        return "Start Meilisearch with a master key; without one it has no keys."
    if code == "index_not_found":
        return "Create the index with its primary key and settings before writing: `sync-worker check` shows which are missing."
    return ""
