"""The worker seen from outside: `/metrics`, `/healthz` (alive) and `/readyz` (not on hold), on aiohttp."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sync_worker.change.model import TopicPartition
from sync_worker.errors import ConfigurationError
from sync_worker.failure.model import Finding
from sync_worker.metrics import METRICS, ScrapedName, exported_name
from sync_worker.ports import PAUSED


class Hold(Protocol):
    """The worker waits: for whom, why, since when (seconds since 1970), and what mends it.

    `kind` is stable, a class of error or a kind of finding; `cause` is a sentence.
    """

    @property
    def subject(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def cause(self) -> str: ...
    @property
    def since(self) -> float: ...
    @property
    def remedy(self) -> str: ...


Page = Callable[[Mapping[str, Sequence[str]]], Awaitable[tuple[int, Mapping[str, Any]]]]
"""A further page: the query's values → status and JSON."""


class Chain(Protocol):
    """Whether changes come through from the source, proven by the canary alone. Answers at once."""

    def age_s(self) -> float | None:
        """Age of the newest message that came the whole way; None before the first."""
        ...

    def alive(self) -> bool: ...

    def silence(self) -> str | None:
        """None while the canary is within its limit, or as long as there has not been time for it; else what is known of why."""
        ...


class HealthSource(Protocol):
    """What the worker says about itself. Every method answers at once and waits for nobody."""

    def ready(self) -> bool:
        """Whether partitions are assigned and prepared: false before the first assignment."""
        ...

    def holds(self) -> Sequence[Hold]: ...

    def unready_findings(self) -> Sequence[Finding]:
        """Open findings of the kinds that make readiness false, as last read from the state database."""
        ...

    def commit_age_s(self) -> Mapping[TopicPartition, float]:
        """Seconds since the last acknowledgement of every owned partition that has a backlog, and only of those."""
        ...

    def last_applied_age_s(self) -> float | None:
        """Seconds since a change was last applied; None before the first one."""
        ...

    def failed_tasks(self) -> Sequence[str]:
        """Names of the worker's own tasks that ended though they should run for ever, each with its reason."""
        ...


class HealthServer:
    """Serves its pages in the worker's own event loop, so that a blocked loop shows as no answer.

    Args:
        host, port: where to listen; port 0 takes a free one, see `port`.
        pages: path → page, beside the three of its own.
    """

    def __init__(
        self,
        source: HealthSource,
        chain: Chain,
        registry: CollectorRegistry,
        *,
        host: str,
        port: int,
        pages: Mapping[str, Page] | None = None,
    ) -> None:
        self._source = source
        self._chain = chain
        self._pages = pages or {}
        self._registry = registry
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None
        registry.register(_Scraped(source, chain))

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        return self._port

    async def start(self) -> None:
        """Raises ConfigurationError when the address can't be listened on."""
        app = web.Application()
        app.add_routes([web.get("/metrics", self._metrics), web.get("/healthz", self._alive), web.get("/readyz", self._ready)])
        app.add_routes([web.get(path, _handler(page)) for path, page in self._pages.items()])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise ConfigurationError(
                [f"worker: cannot listen on {self._host}:{self._port}: {error.strerror or error}"],
                remedy="set another http_host or http_port in [worker]; port 0 takes a free one",
            ) from error
        self._runner = runner
        self._port = runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    async def _alive(self, _request: web.Request) -> web.Response:
        # The status is about this process alone: to start it again mends nothing while the source is silent.
        failed = list(self._source.failed_tasks())
        body = {
            "alive": self._chain.alive(),
            "canary_age_s": _rounded(self._chain.age_s()),
            "silence": self._chain.silence(),
            "process": "failed" if failed else "running",
            "failed_tasks": failed,
        }
        return _answer(not failed, body)

    async def _ready(self, _request: web.Request) -> web.Response:
        report = readiness(self._source, self._chain, now=time.time())
        return _answer(bool(report["ready"]), report)


def _handler(page: Page) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        status, body = await page({name: request.query.getall(name) for name in request.query})
        return web.json_response(dict(body), status=status, dumps=_dumps)

    return handle


def readiness(source: HealthSource, chain: Chain, *, now: float) -> dict[str, Any]:
    """What `/readyz` says: `ready`: partitions prepared, no hold, no finding of a kind that matters here, nothing failed."""
    holds = source.holds()
    findings = source.unready_findings()
    failed = source.failed_tasks()
    reasons = [f"{hold.subject}: {hold.cause}" for hold in holds if hold.kind != PAUSED]
    reasons += [f"{finding.subject}: {finding.kind}" for finding in findings]
    reasons += [f"task ended: {name}" for name in failed]
    silence = chain.silence()
    if silence is not None:
        reasons.append(f"canary: {silence}")
    if not source.ready():
        reasons.append("no partition is assigned and prepared yet")
    return {
        "ready": not reasons,
        "reasons": reasons,
        "holds": [
            {
                "subject": hold.subject,
                "kind": hold.kind,
                "cause": hold.cause,
                "since": hold.since,
                "for_s": round(now - hold.since, 3),
                "remedy": hold.remedy,
            }
            for hold in holds
        ],
        "findings": [
            {"kind": finding.kind, "subject": finding.subject, "evidence": finding.evidence, "remedy": finding.remedy}
            for finding in findings
        ],
        "commit_age_s": {f"{p.topic}/{p.partition}": round(age, 3) for p, age in source.commit_age_s().items()},
        "last_applied_age_s": source.last_applied_age_s(),
        "alive": chain.alive(),
        "canary_age_s": _rounded(chain.age_s()),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _answer(good: bool, body: Mapping[str, Any]) -> web.Response:
    return web.json_response(dict(body), status=200 if good else 503, dumps=_dumps)


class _Scraped(Collector):
    """The metrics that are read when somebody scrapes."""

    def __init__(self, source: HealthSource, chain: Chain) -> None:
        self._source = source
        self._chain = chain

    def collect(self) -> Iterator[Metric]:
        hold = _family("holds")
        for subject, kind in sorted({(h.subject, h.kind) for h in self._source.holds()}):
            hold.add_metric([subject, kind], 1)
        yield hold
        commit_age = _family("commit_age_seconds")
        for partition, age in self._source.commit_age_s().items():
            commit_age.add_metric([partition.topic, str(partition.partition)], age)
        yield commit_age
        applied = _family("last_applied_age_seconds")
        applied_age = self._source.last_applied_age_s()
        if applied_age is not None:
            applied.add_metric([], applied_age)
        yield applied
        canary = _family("canary_age_seconds")
        canary_age = self._chain.age_s()
        if canary_age is not None:
            canary.add_metric([], canary_age)
        yield canary
        alive = _family("alive")
        alive.add_metric([], 1.0 if self._chain.alive() else 0.0)
        yield alive

    def describe(self) -> Iterator[Metric]:
        # Registering must not ask a worker that is not built yet.
        return iter(())


def _family(name: ScrapedName) -> GaugeMetricFamily:
    return GaugeMetricFamily(exported_name(name), METRICS[name].meaning, labels=METRICS[name].labels)
