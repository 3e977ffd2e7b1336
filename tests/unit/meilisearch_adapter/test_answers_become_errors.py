"""Every answer of the server, or of a proxy before it, becomes the error that says how to recover."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sync_worker.adapters.meilisearch.errors import ADMINISTRATORS_KEY, Call, from_answer
from sync_worker.errors import (
    AnswerLost,
    PayloadTooLarge,
    SinkDenied,
    SinkFull,
    SinkRejected,
    SinkUnavailable,
    SyncWorkerError,
)

WRITE = Call("POST /indexes/cities/documents", "documents.add", "worker key", "http://search", writes=True)
READ = replace(WRITE, what="GET /tasks", action="tasks.get", writes=False)
HTML = "<html>Bad gateway</html>"

EITHER_WAY = [
    (401, "missing_authorization_header", "", SinkDenied),
    (403, "invalid_api_key", "The provided API key is invalid.", SinkDenied),
    (401, "missing_master_key", "", SinkDenied),
    (404, "index_not_found", "Index `cities` not found.", SinkDenied),
    (422, "no_space_left_on_device", "", SinkFull),
    (422, "too_many_open_files", "", SinkFull),
    (422, "io_error", "", SinkFull),
    (500, "database_size_limit_reached", "", SinkFull),
    (500, "internal", "Task panicked", SinkUnavailable),
    (500, "invalid_store_file", "", SinkUnavailable),
    (502, "remote_timeout", "", SinkUnavailable),
    (503, "too_many_search_requests", "", SinkUnavailable),
]
WRITES = [
    (413, "payload_too_large", "", PayloadTooLarge),
    (500, "internal", "JSON payload (12388890 bytes) is larger than allowed (limit: 8000000 bytes).", PayloadTooLarge),
    (500, "internal", "invalid type: sequence, expected a map at line 1 column 0", SinkRejected),
    (500, "internal", "invalid type: integer `3`, expected a map at line 1 column 1", SinkRejected),
    (400, "malformed_payload", "", SinkRejected),
    (400, "missing_payload", "", SinkRejected),
    (400, "invalid_document_id", "", SinkRejected),
    (400, "bad_request", "Json deserialize error: invalid type: map", SinkRejected),
    (400, "bad_request", "The provided payload is incomplete and cannot be parsed", SinkUnavailable),
    (400, "bad_request", "Unknown parameter `customMetadata`: expected one of `primaryKey`, `csvDelimiter`", SinkDenied),
    (400, "index_primary_key_already_exists", "", SinkDenied),
    (400, "index_primary_key_no_candidate_found", "", SinkDenied),
    (400, "invalid_settings_ranking_rules", "", SinkDenied),
    (400, "invalid_index_uid", "", SinkDenied),
    (415, "invalid_content_type", "", SinkDenied),
]


def answered(status: int, code: str, message: str, call: Call, **headers: str) -> SyncWorkerError:
    return from_answer(status, headers, json.dumps({"code": code, "message": message, "type": "x"}).encode(), call)


@pytest.mark.parametrize(("status", "code", "message", "expected"), EITHER_WAY + WRITES)
def test_what_the_server_says_of_a_write(status: int, code: str, message: str, expected: type[SyncWorkerError]) -> None:
    """A code decides by what it calls for; the server's own words and its code are kept."""
    error = answered(status, code, message, WRITE)
    assert type(error) is expected
    assert message in error.message
    assert getattr(error, "code", code) == code


@pytest.mark.parametrize(("status", "code", "message", "expected"), EITHER_WAY)
def test_what_the_server_says_of_a_read(status: int, code: str, message: str, expected: type[SyncWorkerError]) -> None:
    """Reads know faults of the environment only."""
    assert type(answered(status, code, message, READ)) is expected


def test_a_denied_key_names_the_key_and_the_action_but_not_the_secret() -> None:
    """The operator learns which key lacks what."""
    error = answered(403, "invalid_api_key", "The provided API key is invalid.", WRITE)
    assert "worker key" in error.remedy
    assert "documents.add" in error.remedy


@pytest.mark.parametrize("status", [429, 503])
def test_the_server_asks_to_wait(status: int) -> None:
    """Retry-After travels with the error, whoever sent it."""
    error = from_answer(status, {"Retry-After": "10"}, HTML.encode(), READ)
    assert isinstance(error, SinkUnavailable)
    assert error.retry_after_s == 10
    told = answered(status, "too_many_search_requests", "", WRITE, **{"Retry-After": "7"})
    assert isinstance(told, SinkUnavailable)
    assert told.retry_after_s == 7


@pytest.mark.parametrize("status", [200, 202, 408, 500, 502, 503, 504, 520])
def test_a_proxy_that_may_have_passed_the_write_on(status: int) -> None:
    """An answer that is not Meilisearch's leaves a write in doubt; a read is only unavailable."""
    assert type(from_answer(status, {}, HTML.encode(), WRITE)) is AnswerLost
    assert type(from_answer(status, {}, HTML.encode(), READ)) is SinkUnavailable


@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b"{}", b'{"code": 5}', b"\xff\xfe", b"{"])
def test_any_body_is_survived(body: bytes) -> None:
    """No shape of an answer raises something of its own."""
    assert type(from_answer(502, {}, body, WRITE)) is AnswerLost


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_proxy_that_refuses_blames_no_document(status: int) -> None:
    """A firewall's 400 or 403 is about the set-up: taken for Meilisearch's, it would dead-letter a good document."""
    assert type(from_answer(status, {}, HTML.encode(), WRITE)) is SinkDenied


def test_a_proxy_limits_the_payload() -> None:
    """413 means split, whoever says it."""
    assert type(from_answer(413, {}, HTML.encode(), WRITE)) is PayloadTooLarge


def test_a_redirect_names_its_target() -> None:
    """Following it would turn a POST into a GET."""
    error = from_answer(301, {"Location": "https://search/"}, b"", WRITE)
    assert type(error) is SinkDenied
    assert "https://search/" in error.remedy


def test_a_refused_administrators_key_is_not_to_be_mended_by_making_keys() -> None:
    """`sync-worker keys` is what was refused: the key that was given is at fault."""
    call = Call("POST /keys", "keys.create", ADMINISTRATORS_KEY, "http://search", writes=True)
    body = json.dumps({"code": "invalid_api_key", "message": "The provided API key is invalid."}).encode()
    told = from_answer(403, {}, body, call)
    assert told.remedy.startswith("The administrator's key that was given is wrong, has expired, or lacks the action keys.create")
    assert "sync-worker keys" not in told.remedy
