"""Kafka Connect's REST interface: what `sync-worker connector` and the checks need of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from sync_worker.adapters.debezium.status import ConnectorStatus, read_status
from sync_worker.errors import ConfigurationError, ConnectUnavailable
from sync_worker.ports import Clock

CONNECTOR_CLASS = "io.debezium.connector.postgresql.PostgresConnector"
MINIMUM_VERSION = (3, 7, 0)
"""Older ones lose rows that share an LSN when a task restarts among them."""

_POLL_S = 0.2
_STALE_S = 5.0
_MASKED = "********"


class ConnectClient:
    """One pooled client. Every method raises ConnectUnavailable when Connect does not answer, or answers 5xx or 409.

    Args:
        url: for instance `http://127.0.0.1:8083`; user and password may be part of it.
        transport: for tests.
    """

    def __init__(self, url: str, *, clock: Clock, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._url = url
        self._clock = clock
        try:
            self._http = httpx.AsyncClient(
                base_url=url,
                # Connect validates a configuration by connecting to the database, and forwards requests to its leader.
                timeout=httpx.Timeout(60.0, connect=5.0),
                transport=transport,
                headers={"accept": "application/json"},
            )
        except httpx.InvalidURL as error:
            raise ConfigurationError([f"connector.url {url!r} is no URL"]) from error

    async def __aenter__(self) -> ConnectClient:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def apply(
        self, name: str, config: Mapping[str, str], *, timeout_s: float = 60.0, steady_s: float = 2.0
    ) -> ConnectorStatus:
        """Create the connector or change its configuration, and wait until its task runs. May be repeated.

        A task that failed before is restarted once. RUNNING has to hold for `steady_s`: a task that can't stream (no
        publication, no slot left) says RUNNING first.

        Raises:
            ConfigurationError: Connect refuses the configuration (all of its reasons), or the task fails with it.
            ConnectUnavailable: the task does not run within `timeout_s`.
        """
        if problems := await self.validate(name, config):
            raise ConfigurationError(problems, remedy="mend the configuration and run `sync-worker connector apply` again")
        failed_before = any(task.failed for task in status.tasks) if (status := await self._status_or_none(name)) else False
        await self._request("PUT", f"/connectors/{_path(name)}/config", json=dict(config))
        if failed_before:
            await self.restart(name, only_failed=True)
        return await self._running(name, timeout_s, steady_s, stale=failed_before)

    async def validate(self, name: str, config: Mapping[str, str]) -> list[str]:
        """Connect's own findings, one line each: it knows every option and tries the database. Nothing is changed."""
        plugin = config.get("connector.class", CONNECTOR_CLASS)
        answer = await self._request("PUT", f"/connector-plugins/{_path(plugin)}/config/validate", json={**config, "name": name})
        if not isinstance(answer, dict):
            raise _not_connect(self._url)
        return [
            f"{value.get('name')}: {message}"
            for entry in answer.get("configs", ())
            for value in (entry.get("value") or {},)
            for message in value.get("errors") or ()
        ]

    async def status(self, name: str) -> ConnectorStatus | None:
        """None where there is no such connector."""
        return await self._status_or_none(name)

    async def config(self, name: str) -> dict[str, str] | None:
        """The configuration that Connect holds, its password masked; None where there is no such connector."""
        answer = await self._request("GET", f"/connectors/{_path(name)}/config", missing_ok=True)
        if not isinstance(answer, dict):
            return None
        return {option: _MASKED if "password" in option else str(value) for option, value in answer.items()}

    async def restart(self, name: str, *, include_tasks: bool = True, only_failed: bool = True) -> None:
        """Restart the connector and its tasks, or only what has failed. Returns once Connect has accepted it.

        Raises:
            ConfigurationError: no such connector.
        """
        query = {"includeTasks": str(include_tasks).lower(), "onlyFailed": str(only_failed).lower()}
        await self._request("POST", f"/connectors/{_path(name)}/restart", params=query)

    async def delete(self, name: str) -> bool:
        """False where there was none. Slot, publication, topics and stored offsets stay: see `adapters.source.prepare`."""
        return await self._request("DELETE", f"/connectors/{_path(name)}", missing_ok=True) is not None

    async def offsets(self, name: str) -> dict[str, Any] | None:
        """The stored source offset (`lsn`, `lsn_commit`, `lsn_proc`, …); None before the first commit.

        Connect stores it every `offset.flush.interval.ms`, so it lags behind what is in Kafka.
        """
        answer = await self._request("GET", f"/connectors/{_path(name)}/offsets", missing_ok=True)
        entries = answer.get("offsets", ()) if isinstance(answer, dict) else ()
        return next((dict(entry["offset"]) for entry in entries if isinstance(entry.get("offset"), dict)), None)

    async def version_problems(self) -> list[str]:
        """Whether Debezium is there, and new enough."""
        answer = await self._request("GET", "/connector-plugins")
        entries = answer if isinstance(answer, list) else []
        version = next((str(entry.get("version")) for entry in entries if entry.get("class") == CONNECTOR_CLASS), None)
        if version is None:
            return ["Kafka Connect has no Debezium PostgreSQL connector: put it into a folder that plugin.path names"]
        numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdecimal())
        if numbers < MINIMUM_VERSION:
            return [f"Debezium {version} loses rows when a task restarts among rows that share an LSN: use 3.7.0.Final or later"]
        return []

    async def _running(self, name: str, timeout_s: float, steady_s: float, *, stale: bool) -> ConnectorStatus:
        deadline = self._clock.monotonic() + timeout_s
        # The status of before the restart is shown until the workers have told each other of it.
        stale_until = self._clock.monotonic() + (_STALE_S if stale else 0.0)
        running_since: float | None = None
        while True:
            status = await self._status_or_none(name)
            now = self._clock.monotonic()
            if status is not None and status.error is not None and now >= stale_until:
                raise ConfigurationError(
                    [f"connector {name}: {status.error}"], remedy="mend it, then `sync-worker connector apply`"
                )
            if status is None or not status.running:
                running_since = None
            elif running_since is None:
                running_since = now
            if status is not None and running_since is not None and now - running_since >= steady_s:
                return status
            if now >= deadline:
                state = "unknown" if status is None else status.summary
                raise ConnectUnavailable(
                    f"connector {name} does not run after {timeout_s:g} s ({state})",
                    remedy="look at Connect's log; a rebalance that does not end is one cause",
                )
            await self._clock.sleep(_POLL_S)

    async def _status_or_none(self, name: str) -> ConnectorStatus | None:
        answer = await self._request("GET", f"/connectors/{_path(name)}/status", missing_ok=True)
        return read_status(answer) if isinstance(answer, dict) else None

    async def _request(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        missing_ok: bool = False,
    ) -> Any:
        """The decoded answer, `{}` for an empty one; None for a 404 where `missing_ok`."""
        try:
            response = await self._http.request(method, path, json=json, params=params)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise ConfigurationError([f"connector.url {self._url!r} is no URL for HTTP"]) from error
        except (httpx.HTTPError, httpx.StreamError, httpx.CookieConflict) as error:
            raise ConnectUnavailable(
                f"Kafka Connect at {_shown(self._url)} does not answer ({type(error).__name__})",
                remedy="check that Connect runs and that connector.url is right",
            ) from error
        if response.status_code == 404 and missing_ok:
            return None
        if response.is_success:
            try:
                return response.json() if response.content else {}
            except ValueError as error:
                raise _not_connect(self._url) from error
        message = _message(response)
        if response.status_code == 409:
            raise ConnectUnavailable(f"Kafka Connect is rebalancing: {message}", retry_after_s=1.0)
        if response.status_code >= 500 or response.status_code == 429:
            raise ConnectUnavailable(f"Kafka Connect answers {response.status_code}: {message}")
        raise ConfigurationError([f"Kafka Connect refuses ({response.status_code}): {message}"])


def _path(name: str) -> str:
    return quote(name, safe="")


def _shown(url: str) -> str:
    """Without user and password."""
    return str(httpx.URL(url).copy_with(userinfo=b""))


def _not_connect(url: str) -> ConnectUnavailable:
    return ConnectUnavailable(f"what answers at {_shown(url)} is not Kafka Connect", remedy="check connector.url")


def _message(response: httpx.Response) -> str:
    try:
        answer = response.json()
    except ValueError:
        return response.reason_phrase
    return str(answer.get("message", response.reason_phrase)) if isinstance(answer, dict) else response.reason_phrase
