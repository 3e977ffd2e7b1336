"""A worker that waits, or does nothing, is seen from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import httpx
import pytest

from sync_worker.adapters.telemetry.health import HealthServer
from sync_worker.adapters.telemetry.prometheus import PrometheusTelemetry
from sync_worker.change.model import TopicPartition
from sync_worker.errors import ConfigurationError
from sync_worker.failure.model import Finding


@dataclass(frozen=True)
class Waiting:
    subject: str = "cities"
    kind: str = "SinkDenied"
    cause: str = "the key was revoked"
    since: float = 1_000.0
    remedy: str = "sync-worker keys"


@dataclass
class Worker:
    is_ready: bool = True
    held: list[Waiting] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    ages: dict[TopicPartition, float] = field(default_factory=dict)
    applied_age: float | None = None
    failed: list[str] = field(default_factory=list)

    def ready(self) -> bool:
        return self.is_ready

    def holds(self) -> Sequence[Waiting]:
        return self.held

    def unready_findings(self) -> Sequence[Finding]:
        return self.findings

    def commit_age_s(self) -> Mapping[TopicPartition, float]:
        return self.ages

    def last_applied_age_s(self) -> float | None:
        return self.applied_age

    def failed_tasks(self) -> Sequence[str]:
        return self.failed


@dataclass
class Chain:
    age: float | None = 0.5
    why: str | None = None

    def age_s(self) -> float | None:
        return self.age

    def alive(self) -> bool:
        return self.why is None

    def silence(self) -> str | None:
        return self.why


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
async def http(worker: Worker, chain: Chain) -> AsyncIterator[httpx.AsyncClient]:
    async def echo(query: Mapping[str, Sequence[str]]) -> tuple[int, Mapping[str, object]]:
        return 409, {"asked": query}

    server = HealthServer(worker, chain, PrometheusTelemetry().registry, host="127.0.0.1", port=0, pages={"/echo": echo})
    await server.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
        yield client
    await server.stop()


async def test_a_working_worker_is_alive_and_ready(http: httpx.AsyncClient) -> None:
    """Both pages answer 200 while nothing is wrong."""
    assert (await http.get("/healthz")).status_code == 200
    assert (await http.get("/readyz")).json()["ready"] is True


async def test_a_hold_makes_it_unready_and_says_why(worker: Worker, http: httpx.AsyncClient) -> None:
    """On hold: alive, not ready, with cause, time and remedy, and the gauge is set; released, all of it goes away."""
    worker.held.append(Waiting())
    answer = await http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["holds"][0].items() >= {"subject": "cities", "since": 1_000.0, "remedy": "sync-worker keys"}.items()
    assert (await http.get("/healthz")).status_code == 200
    assert 'sync_worker_holds{cause="SinkDenied",subject="cities"} 1.0' in (await http.get("/metrics")).text
    worker.held.clear()
    assert (await http.get("/readyz")).status_code == 200
    assert "sync_worker_holds{" not in (await http.get("/metrics")).text


async def test_a_pause_is_shown_and_makes_nothing_unready(worker: Worker, http: httpx.AsyncClient) -> None:
    """An operator asked for it: it must not look like a fault, nor be overlooked."""
    worker.held.append(Waiting(kind="paused", cause="me@desk paused it: an upgrade", remedy="sync-worker resume cities"))
    answer = await http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["holds"][0]["remedy"] == "sync-worker resume cities"
    assert 'sync_worker_holds{cause="paused",subject="cities"} 1.0' in (await http.get("/metrics")).text


async def test_before_an_assignment_it_is_not_ready(worker: Worker, http: httpx.AsyncClient) -> None:
    """A worker that owns nothing yet does not count as ready."""
    worker.is_ready = False
    answer = await http.get("/readyz")
    assert (answer.status_code, answer.json()["reasons"]) == (503, ["no partition is assigned and prepared yet"])


async def test_a_finding_that_blocks_makes_it_unready(worker: Worker, http: httpx.AsyncClient) -> None:
    """What needs an operator is named with its remedy."""
    worker.findings.append(
        Finding("sink-lost-memory", "cities", "created anew", "all documents", "sync-worker check", True, 1, 2)
    )
    answer = await http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["findings"][0]["kind"] == "sink-lost-memory"


async def test_a_task_that_ended_makes_it_dead(worker: Worker, http: httpx.AsyncClient) -> None:
    """A worker whose fetch loop ended without a word is restarted by its orchestrator."""
    worker.failed.append("settle: LogUnavailable")
    answer = await http.get("/healthz")
    assert (answer.status_code, answer.json()["failed_tasks"]) == (503, ["settle: LogUnavailable"])
    assert (await http.get("/readyz")).status_code == 503


async def test_alive_and_consuming_nothing_is_seen(worker: Worker, http: httpx.AsyncClient) -> None:
    """The age of the last acknowledgement is read at the scrape, so that a stalled worker can't leave an old value standing."""
    worker.ages[TopicPartition("shop.public.cities", 0)] = 900.0
    assert (await http.get("/readyz")).json()["commit_age_s"] == {"shop.public.cities/0": 900.0}
    line = 'sync_worker_commit_age_seconds{partition="0",topic="shop.public.cities"} 900.0'
    assert line in (await http.get("/metrics")).text
    worker.ages[TopicPartition("shop.public.cities", 0)] = 960.0
    assert line.replace("900.0", "960.0") in (await http.get("/metrics")).text


async def test_a_taken_port_is_a_mistake_of_the_configuration(worker: Worker, http: httpx.AsyncClient) -> None:
    """The message names the address and the option."""
    taken = http.base_url.port
    assert taken is not None
    second = HealthServer(worker, Chain(), PrometheusTelemetry().registry, host="127.0.0.1", port=taken)
    with pytest.raises(ConfigurationError, match=f"127.0.0.1:{taken}"):
        await second.start()


async def test_a_silent_canary_makes_it_unready_and_dead_but_does_not_restart_it(chain: Chain, http: httpx.AsyncClient) -> None:
    """`alive` comes from the canary alone; the status of /healthz does not, for a restart mends nothing at the source."""
    chain.age, chain.why = 61.0, "the newest message is 61 s old: Kafka Connect does not answer"
    ready, alive = await http.get("/readyz"), await http.get("/healthz")
    assert (ready.status_code, ready.json()["reasons"]) == (503, [f"canary: {chain.why}"])
    assert (alive.status_code, alive.json()["alive"], alive.json()["process"]) == (200, False, "running")
    metrics = (await http.get("/metrics")).text
    assert "sync_worker_canary_age_seconds 61.0" in metrics
    assert "sync_worker_alive 0.0" in metrics


async def test_a_task_that_ended_does_not_make_the_chain_dead(worker: Worker, http: httpx.AsyncClient) -> None:
    """The canary came through: what is said of the chain is not mixed with what is said of the process."""
    worker.failed.append("settle: LogUnavailable")
    answer = await http.get("/healthz")
    assert (answer.status_code, answer.json()["alive"], answer.json()["process"]) == (503, True, "failed")


async def test_a_further_page_gets_the_query_and_gives_the_status(http: httpx.AsyncClient) -> None:
    """A value may be given more than once."""
    answer = await http.get("/echo?index=a&index=b&lsn=0/1")
    assert (answer.status_code, answer.json()) == (409, {"asked": {"index": ["a", "b"], "lsn": ["0/1"]}})
