"""The libraries' exceptions are all known: a new one fails here until somebody decides what it means for a write."""

from __future__ import annotations

import inspect

import aiohttp
import meilisearch.errors
import pytest
import requests.exceptions

from sync_worker.adapters.meilisearch.errors import OFFICIAL_ERRORS, Call, from_client, from_official
from sync_worker.errors import AnswerLost, SinkDenied, SinkUnavailable, SyncWorkerError

WRITE = Call("POST /indexes/cities/documents", "documents.add", "worker key", "http://search", writes=True)
READ = Call("GET /tasks", "tasks.get", "worker key", "http://search", writes=False)

OF_A_WRITE: dict[str, type[SyncWorkerError]] = {
    "ClientConnectionError": AnswerLost,
    "ClientConnectionResetError": AnswerLost,
    "ClientConnectorCertificateError": SinkUnavailable,
    "ClientConnectorDNSError": SinkUnavailable,
    "ClientConnectorError": SinkUnavailable,
    "ClientConnectorSSLError": SinkUnavailable,
    "ClientError": AnswerLost,
    "ClientHttpProxyError": AnswerLost,
    "ClientOSError": AnswerLost,
    "ClientPayloadError": AnswerLost,
    "ClientProxyConnectionError": SinkUnavailable,
    "ClientResponseError": AnswerLost,
    "ClientSSLError": SinkUnavailable,
    "ConnectionTimeoutError": SinkUnavailable,
    "ContentTypeError": AnswerLost,
    "InvalidURL": SinkDenied,
    "InvalidUrlClientError": SinkDenied,
    "InvalidUrlRedirectClientError": SinkDenied,
    "NonHttpUrlClientError": SinkDenied,
    "NonHttpUrlRedirectClientError": SinkDenied,
    "RedirectClientError": SinkDenied,
    "ServerConnectionError": AnswerLost,
    "ServerDisconnectedError": AnswerLost,
    "ServerFingerprintMismatch": SinkUnavailable,
    "ServerTimeoutError": AnswerLost,
    "SocketTimeoutError": AnswerLost,
    "TooManyRedirects": AnswerLost,
    "UnixClientConnectorError": SinkUnavailable,
    "UploadAbortedError": AnswerLost,
    "WSServerHandshakeError": AnswerLost,
}
THROWN = {name: thing for name, thing in inspect.getmembers(aiohttp, inspect.isclass) if issubclass(thing, aiohttp.ClientError)}


def unbuilt(kind: type[Exception]) -> Exception:
    """An instance without the arguments that its constructor wants."""
    return kind.__new__(kind)


@pytest.mark.parametrize("name", sorted(THROWN))
def test_each_exception_of_the_client_is_decided(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """AnswerLost wherever the request may have reached the server, and never on a read."""
    assert name in OF_A_WRITE, f"aiohttp has a new exception: decide what {name} means for a write"
    kind = THROWN[name]
    monkeypatch.setattr(kind, "__str__", lambda _: "text")
    assert type(from_client(unbuilt(kind), WRITE)) is OF_A_WRITE[name]
    assert not isinstance(from_client(unbuilt(kind), READ), AnswerLost)


def test_a_time_out_and_a_broken_socket() -> None:
    """What is not aiohttp's own: the total time-out, and errors of the operating system."""
    assert type(from_client(TimeoutError(), WRITE)) is AnswerLost
    assert type(from_client(ConnectionResetError(), WRITE)) is AnswerLost
    assert type(from_client(TimeoutError(), READ)) is SinkUnavailable


def test_a_body_that_never_went_out_whole_was_not_taken() -> None:
    """Its length was announced, so no server acts on a part of it: the write is not in doubt."""
    assert type(from_client(ConnectionResetError(), WRITE, broken_off=True)) is SinkUnavailable


def test_each_exception_of_the_official_client_is_caught() -> None:
    """Its own, and those of requests that it lets through."""
    modules = (meilisearch.errors, requests.exceptions)
    thrown = [
        thing
        for module in modules
        for _, thing in inspect.getmembers(module, inspect.isclass)
        if issubclass(thing, Exception) and not issubclass(thing, Warning) and thing.__module__ == module.__name__
    ]
    assert len(thrown) > 10
    assert [thing.__name__ for thing in thrown if not issubclass(thing, OFFICIAL_ERRORS)] == []


def test_the_official_client_lost_an_answer() -> None:
    """A time-out after the connection leaves a write in doubt, one before does not."""
    late = meilisearch.errors.MeilisearchTimeoutError("slow")
    late.__cause__ = requests.exceptions.ReadTimeout()
    early = meilisearch.errors.MeilisearchTimeoutError("slow")
    early.__cause__ = requests.exceptions.ConnectTimeout()
    assert type(from_official(late, WRITE)) is AnswerLost
    assert type(from_official(early, WRITE)) is SinkUnavailable
    assert type(from_official(late, READ)) is SinkUnavailable
