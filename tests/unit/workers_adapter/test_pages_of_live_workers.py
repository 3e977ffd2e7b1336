"""What `status` reads of the workers' own pages."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httpx

from sync_worker.adapters.workers.pages import WorkerPage, worker_pages
from sync_worker.change.model import TopicPartition

PLACE = TopicPartition("sync.public.things", 0)


@dataclass(frozen=True)
class Row:
    worker: str
    address: str


METRICS = """# HELP sync_worker_lag_messages x
# TYPE sync_worker_lag_messages gauge
sync_worker_lag_messages{partition="0",topic="sync.public.things"} 7.0
sync_worker_lag_seconds{partition="0",topic="sync.public.things"} 1.5
sync_worker_events_total{op="c"} 99.0
"""


def pages(request: httpx.Request) -> httpx.Response:
    if request.url.host == "silent":
        raise httpx.ConnectError("refused")
    path = request.url.path
    if path == "/positions":
        position = {"topic": PLACE.topic, "partition": 0, "topic_id": "id", "applied": 12, "generation": 3}
        return httpx.Response(200, json={"worker": "w1", "positions": [position], "holds": []})
    if path == "/readyz":
        hold = {"subject": "things", "kind": "SinkUnavailable", "cause": "down", "since": 5.0, "for_s": 1.0, "remedy": "start it"}
        return httpx.Response(503, json={"ready": False, "alive": True, "canary_age_s": 0.4, "holds": [hold]})
    return httpx.Response(200, text=METRICS)


def ask(*rows: Row) -> dict[str, WorkerPage]:
    return dict(asyncio.run(worker_pages(rows, transport=httpx.MockTransport(pages))))


def test_three_pages_become_one_answer() -> None:
    """A worker that is not ready answers 503, and says why."""
    page = ask(Row("w1", "http://w1"))["w1"]
    assert (page.ready, page.alive, page.canary_age_s) == (False, True, 0.4)
    assert (page.applied, page.lag_messages, page.lag_s) == ({PLACE: 12}, {PLACE: 7}, {PLACE: 1.5})
    assert page.holds[0]["since"] == 5.0


def test_who_does_not_answer_is_left_out() -> None:
    """So is one without an address, and another one that got its port meanwhile."""
    assert set(ask(Row("w1", "http://w1"), Row("w2", "http://silent"), Row("w3", ""), Row("w4", "http://w1"))) == {"w1"}
