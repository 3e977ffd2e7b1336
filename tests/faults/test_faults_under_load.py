"""Every part is killed while rows are written. Afterwards each index shows exactly what its table says, and nothing is open."""

from __future__ import annotations

import httpx
import pytest
from chain import Site, eventually
from load_site import load

from sync_worker.testing.stack import Kind


def test_a_worker_that_is_killed_again_and_again_loses_nothing(site: Site) -> None:
    """SIGKILL at any moment: the next worker goes on from what was acknowledged, and what was sent twice does no harm."""
    with load(site, 1) as running:
        for _ in range(3):
            worker = site.worker()
            eventually(lambda worker=worker: worker.lines("flush applied"), 60, worker.tail)
            running.wait_for(60)
            worker.kill9()
        site.worker()
        running.wait_for(100)
    site.wait_settled()


def test_a_worker_that_is_asked_to_stop_ends_within_ten_seconds_with_status_0(site: Site) -> None:
    """SIGTERM under load: it drains or abandons, commits what is applied, and the next one goes on."""
    with load(site, 2) as running:
        for _ in range(3):
            worker = site.worker()
            eventually(lambda worker=worker: worker.lines("flush applied"), 60, worker.tail)
            running.wait_for(60)
            status, seconds = worker.sigterm()
            assert status == 0, worker.tail()
            assert seconds < 10, worker.tail()
        site.worker()
    site.wait_settled()


def test_a_meilisearch_that_crashes_is_waited_for(site: Site) -> None:
    """SIGKILL of the server: accepted tasks survive in its queue, lost answers are found again, nothing is dead-lettered."""
    meilisearch = site.stack.meilisearch
    if meilisearch.kind in (Kind.OUTSIDE, Kind.DOUBLE):
        pytest.skip("needs a Meilisearch of ours that keeps its data: put `meilisearch` on PATH, or start Docker")
    worker = site.worker()
    with load(site, 3) as running:
        for _ in range(3):
            running.wait_for(100)
            meilisearch.kill()
            running.wait_for(50)
            meilisearch.start()
        running.wait_for(50)
    site.wait_settled()
    assert worker.process.poll() is None, "it waits for the server; it does not end"


@pytest.mark.long
def test_a_meilisearch_that_hangs_is_waited_for(site: Site) -> None:
    """No answer, open connections: the worker holds, names the cause, and never sends a living task's payload again."""
    if site.stack.meilisearch.kind is Kind.OUTSIDE:
        pytest.skip("Meilisearch was given from outside, so it is not ours to pause")
    worker = site.worker()
    with load(site, 4) as running:
        eventually(lambda: worker.lines("flush applied"), 60, worker.tail)
        site.stack.meilisearch.pause()
        try:
            report = worker.wait_for_hold("Sink")
            assert report["reasons"]
        finally:
            site.stack.meilisearch.resume()
        running.wait_for(50)
    site.wait_settled()


def test_a_broker_that_crashes_and_comes_back_loses_nothing(site: Site) -> None:
    """SIGKILL of Kafka: worker and connector wait for it and go on."""
    if site.stack.kafka.kind is Kind.OUTSIDE:
        pytest.skip("Kafka was given from outside, so it is not ours to kill")
    worker = site.worker()
    with load(site, 5) as running:
        eventually(lambda: worker.lines("flush applied"), 60, worker.tail)
        site.stack.kafka.kill()
        running.wait_for(200)
        assert worker.healthz() == 200
        site.stack.kafka.start()
    site.wait_settled(120)


def test_a_connector_whose_task_is_restarted_loses_nothing(site: Site) -> None:
    """`sync-worker connector restart` under load, several times.

    Without changes of keys: Debezium 3.7 loses tombstone and create of a key change when its task restarts between them and the
    delete. That is seen in the stream and mended by another rule, not by this one.
    """
    site.worker()
    with load(site, 6, key_changes=False) as running:
        for _ in range(3):
            running.wait_for(100)
            site.cli("connector", "restart")
            status = f"{site.stack.connect_url}/connectors/{site.name}/status"
            eventually(
                lambda status=status: [task["state"] for task in httpx.get(status, timeout=10).json()["tasks"]] == ["RUNNING"],
                60,
                site.connector_status,
            )
    site.wait_settled(90)


@pytest.mark.long
def test_a_connect_that_is_killed_loses_nothing(site: Site) -> None:
    """SIGKILL of Kafka Connect: it reads again from its last stored position, and duplicates change nothing.

    Without changes of keys, as above.
    """
    if site.stack.connect.kind is Kind.OUTSIDE:
        pytest.skip("Connect was given from outside, so it is not ours to kill")
    site.worker()
    with load(site, 7, key_changes=False) as running:
        running.wait_for(100)
        site.stack.connect.kill()
        running.wait_for(100)
        site.stack.connect.start()
    site.wait_settled(120)


def test_a_database_that_crashes_loses_nothing(site: Site) -> None:
    """SIGKILL of PostgreSQL, with source and state database in it: what was committed arrives once it is back."""
    if site.stack.postgres.kind is Kind.OUTSIDE:
        pytest.skip("PostgreSQL was given from outside, so it is not ours to kill")
    worker = site.worker()
    with load(site, 8, key_changes=False) as running:
        eventually(worker.ready, 60, worker.tail)
        running.wait_for(100)
        site.stack.postgres.kill()
        report = worker.wait_for_hold("State")
        assert report["reasons"]
        site.stack.postgres.start()
        running.wait_for(100)
    site.wait_settled(120)
