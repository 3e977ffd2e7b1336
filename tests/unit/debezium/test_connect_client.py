"""Kafka Connect's answers in the project's words, with a transport instead of a server."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import httpx
import pytest

from sync_worker.adapters.debezium.connect import CONNECTOR_CLASS, ConnectClient
from sync_worker.adapters.debezium.status import read_status
from sync_worker.errors import ConfigurationError, ConnectUnavailable

TRACE = """org.x.ConnectException: stopped
	at a.b
Caused by: x: one
	at c
Caused by: org.y.PSQLException: slot is in use
	... 5 more"""


class FakeClock:
    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


def _client(handler: Callable[[httpx.Request], httpx.Response]) -> ConnectClient:
    return ConnectClient("http://user:hidden@connect:8083", clock=FakeClock(), transport=httpx.MockTransport(handler))


def _state(connector: str, *tasks: str) -> dict[str, object]:
    return {
        "name": "c",
        "connector": {"state": connector, "worker_id": "w"},
        "tasks": [{"id": at, "state": state, "worker_id": "w", "trace": TRACE} for at, state in enumerate(tasks)],
    }


class FakeConnect:
    """Answers like Connect; `states` are given out one by one, the last for ever."""

    def __init__(self, *states: dict[str, object] | None) -> None:
        self.states = list(states)
        self.requests: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(f"{request.method} {request.url.path}")
        if request.url.path.endswith("/validate"):
            return httpx.Response(200, json={"configs": []})
        if request.url.path.endswith("/status"):
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            return httpx.Response(404) if state is None else httpx.Response(200, json=state)
        return httpx.Response(204 if request.method == "POST" else 200, json={} if request.method != "POST" else None)


def _exceptions() -> list[type[Exception]]:
    found = [item for _, item in inspect.getmembers(httpx, inspect.isclass) if issubclass(item, Exception)]
    return [item for item in found if item is not httpx.HTTPStatusError]


@pytest.mark.parametrize("exception", _exceptions(), ids=lambda exception: exception.__name__)
async def test_every_exception_of_the_http_library_is_translated(exception: type[Exception]) -> None:
    """Also one that a later release adds: nothing foreign leaves the adapter."""

    def broken(request: httpx.Request) -> httpx.Response:
        try:
            raise exception("broken")
        except TypeError:
            raise exception() from None  # type: ignore[call-arg]

    with pytest.raises((ConnectUnavailable, ConfigurationError)):
        await _client(broken).status("c")


@pytest.mark.parametrize("status", [409, 429, 500, 503])
async def test_what_waiting_mends_is_unavailable(status: int) -> None:
    """A rebalance, an overload, a fault of Connect's: hold and try again."""
    with pytest.raises(ConnectUnavailable, match="the words"):
        await _client(lambda _: httpx.Response(status, json={"message": "the words"})).restart("c")


async def test_what_is_not_connect_is_told() -> None:
    """A proxy's page, a wrong port."""
    with pytest.raises(ConnectUnavailable, match="not Kafka Connect") as raised:
        await _client(lambda _: httpx.Response(200, text="<html>")).status("c")
    assert "hidden" not in str(raised.value)


async def test_the_remedy_names_the_key_of_the_configuration() -> None:
    """`connector.url`, as it is written there."""

    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(ConnectUnavailable) as raised:
        await _client(broken).status("c")
    assert "connector.url" in raised.value.remedy


async def test_apply_waits_until_running_holds() -> None:
    """No connector yet, no tasks yet, then RUNNING."""
    connect = FakeConnect(None, None, _state("RUNNING"), _state("UNASSIGNED", "RUNNING"), _state("RUNNING", "RUNNING"))
    status = await _client(connect).apply("c", {})
    assert status.running
    assert "PUT /connectors/c/config" in connect.requests
    assert not [request for request in connect.requests if request.startswith("POST")]


async def test_apply_tells_why_a_task_failed() -> None:
    """The first line is always the same: the innermost cause is what an operator needs."""
    with pytest.raises(ConfigurationError, match="slot is in use"):
        await _client(FakeConnect(None, _state("RUNNING", "RUNNING"), _state("RUNNING", "FAILED"))).apply("c", {})


async def test_apply_restarts_what_had_failed_before() -> None:
    """The same configuration again would leave a failed task as it is."""
    connect = FakeConnect(_state("RUNNING", "FAILED"), _state("RUNNING", "FAILED"), _state("RUNNING", "RUNNING"))
    assert (await _client(connect).apply("c", {})).running
    assert "POST /connectors/c/restart" in connect.requests


async def test_apply_does_not_wait_for_ever() -> None:
    """A connector without tasks is not alive."""
    with pytest.raises(ConnectUnavailable, match="no tasks"):
        await _client(FakeConnect(None, _state("RUNNING"))).apply("c", {}, timeout_s=5)


async def test_apply_sends_nothing_that_connect_finds_wrong() -> None:
    """All findings at once."""
    requests = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request.method)
        value = {"name": "database.port", "errors": ["must be a number", "is missing"]}
        return httpx.Response(200, json={"configs": [{"value": value}, {"value": {"name": "x", "errors": []}}]})

    with pytest.raises(ConfigurationError) as raised:
        await _client(handler).apply("c", {"connector.class": CONNECTOR_CLASS})
    assert raised.value.problems == ("database.port: must be a number", "database.port: is missing")
    assert requests == ["PUT"]


@pytest.mark.parametrize(
    ("plugins", "told"),
    [
        ([], "has no Debezium"),
        ([{"class": CONNECTOR_CLASS, "version": "3.6.3.Final"}], "3.6.3.Final loses rows"),
        ([{"class": CONNECTOR_CLASS, "version": "3.7.0.Final"}], None),
        ([{"class": CONNECTOR_CLASS, "version": "4.0.1.Final"}], None),
    ],
)
async def test_a_debezium_that_loses_rows_is_told(plugins: list[dict[str, str]], told: str | None) -> None:
    """3.7.0 is the floor."""
    problems = await _client(lambda _: httpx.Response(200, json=plugins)).version_problems()
    assert (told is None) == (problems == [])
    assert told is None or told in problems[0]


async def test_the_stored_offset_is_given_as_it_is() -> None:
    """For the comparison with the slot; None before the first one is stored."""
    stored = {"offsets": [{"partition": {"server": "app"}, "offset": {"lsn": 1, "lsn_commit": 2}}]}
    assert await _client(lambda _: httpx.Response(200, json=stored)).offsets("c") == {"lsn": 1, "lsn_commit": 2}
    assert await _client(lambda _: httpx.Response(200, json={"offsets": []})).offsets("c") is None


@pytest.mark.parametrize(
    ("answer", "running"),
    [
        (_state("RUNNING", "RUNNING"), True),
        (_state("RUNNING"), False),
        (_state("RUNNING", "RUNNING", "FAILED"), False),
        (_state("PAUSED", "RUNNING"), False),
    ],
)
def test_running_means_that_every_task_runs(answer: dict[str, object], running: bool) -> None:
    """`tasks: []` is not alive."""
    assert read_status(answer).running is running
