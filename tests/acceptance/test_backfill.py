"""A table's rows once more into its index, whatever the index holds and whatever dies in the middle: done means applied."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psycopg
import pytest
from chain import PROGRAM, Load, Pair, Site, Worker, eventually

from sync_worker.testing.stack import Stack

pytestmark = pytest.mark.unfinished

ROWS = 3_000
MORE = 8_000
SLOW = """
[connector.overrides]
"incremental.snapshot.chunk.size" = "1"
"""
"""So that a scan lasts long enough to be seen in its middle: each chunk costs its queries."""

TABLES = f"""
CREATE TABLE things (id bigint PRIMARY KEY, name text, extra text);
INSERT INTO things SELECT i, 'thing ' || i, 'x' FROM generate_series(1, {ROWS}) AS i;
"""

INDEXES = """
[indexes.things]
uid = "{index}-things"
table = "public.things"
primary_key = "id"
fields = { name = "text" }
"""

PAIRS = (Pair("things", "SELECT id, name FROM things", lambda row: row),)


@pytest.fixture
def site(stack: Stack, tmp_path: Path) -> Iterator[Site]:
    yield from made(Site(stack, tmp_path, TABLES, INDEXES, PAIRS))


@pytest.fixture
def slow(stack: Stack, tmp_path: Path) -> Iterator[Site]:
    yield from made(Site(stack, tmp_path, TABLES.replace(str(ROWS), str(MORE)), INDEXES + SLOW, PAIRS))


def made(site: Site) -> Iterator[Site]:
    try:
        yield site.set_up()
    finally:
        site.remove()


def backfill(site: Site, *arguments: str, status: int = 0) -> dict[str, Any]:
    said = site.cli("backfill", *arguments, "--json", "--timeout", "150", status=status)
    return json.loads(said.stdout) if said.stdout else {"error": said.stderr}


def now(site: Site) -> dict[str, Any]:
    """The backfill that runs, or the last one."""
    found: dict[str, Any] = json.loads(site.cli("backfill", "status", "--json").stdout)["backfills"][0]
    return found


def in_the_middle(site: Site, worker: Worker) -> dict[str, Any]:
    """Until rows of the scan that runs are in the log, and not all of them."""

    def scanning() -> dict[str, Any] | None:
        # By SQL: the command line takes longer to start than a scan may last.
        [(stage, progress)] = site.state("SELECT stage, progress FROM backfills ORDER BY id DESC LIMIT 1")
        assert stage in ("requested", "scanning"), f"it is over already: {stage}"
        return dict(progress) if stage == "scanning" and progress["sent"] > 0 else None

    found: dict[str, Any] = eventually(scanning, 60, lambda: f"never in the middle: {now(site)}\n{worker.tail()}")
    return found


@contextmanager
def stopped_in_the_middle(site: Site, worker: Worker) -> Iterator[None]:
    """Debezium reads no row meanwhile: a command line may take longer to start than a whole scan lasts."""
    in_the_middle(site, worker)
    with psycopg.connect(site.database_url) as connection:
        connection.execute("LOCK TABLE things IN ACCESS EXCLUSIVE MODE")
        yield


def until_done(site: Site, within_s: float = 150) -> dict[str, Any]:
    eventually(lambda: now(site)["ended_at"], within_s, lambda: f"not done: {now(site)}\n{site.what_workers_say()}")
    return now(site)


def begun(site: Site, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PROGRAM, "backfill", *arguments, "--config", str(site.config)],
        env=site.environment, cwd=site.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def kept_alive(site: Site, arguments: list[str]) -> dict[str, Any]:
    """The verb beside a worker that is started again whenever it ends, as an orchestrator does."""
    verb = begun(site, *arguments, "--json", "--timeout", "150")

    def ended() -> bool:
        if site.workers[-1].process.poll() is not None:
            site.worker()
        return verb.poll() is not None

    eventually(ended, 170, lambda: f"{now(site)}\n{site.what_workers_say()}")
    out, said = verb.communicate()
    assert verb.returncode == 0, f"{out}\n{said}\n{site.what_workers_say()}"
    report: dict[str, Any] = json.loads(out)
    return report


def churn(cursor: psycopg.Cursor[Any], random: Random) -> None:
    """Updates, deletes and re-inserts of the same few hundred keys."""
    key = random.randrange(1, 400)
    if random.random() < 0.3:
        cursor.execute(b"DELETE FROM things WHERE id = %s", [key])
    else:
        cursor.execute(
            b"INSERT INTO things VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET name = excluded.name",
            [key, f"changed {random.randrange(1_000_000)}"],
        )


def test_a_partial_index_with_ghosts_is_made_what_its_table_is(site: Site) -> None:
    """Under updates, deletes and re-inserts; what the fill proves is cleared; part of it, single ids, and the plan as well."""
    site.worker()
    site.wait_settled()
    with site.meilisearch() as client:
        url = f"/indexes/{site.uid('things')}/documents"
        site.task(client.post(f"{url}/delete-batch", json=list(range(1_000, 1_200))))
        ghosts = [{"id": key, "name": "a ghost"} for key in [*range(50_000, 50_040), *range(300, 310)]]
        site.task(client.post(url, json=ghosts))
    eventually(lambda: ("foreign-write", "things") in site.findings(), 30, "the foreign write is told")
    with Load(site, churn, seed=7, pause_s=0.01) as load:
        load.wait_for(50)
        report = backfill(site, "things", "--prune")
        load.wait_for(50)
    one = report["backfill"]
    assert (one["stage"], one["failed"], report["joined"], report["created"]) == ("done", 0, False, False)
    assert one["ghosts"] >= 40
    assert one["applied"] >= ROWS - 400
    site.wait_settled()

    some = backfill(site, "things", "--where", "id BETWEEN 2001 AND 2010")["backfill"]
    assert (some["total"], some["stage"], some["where"]) == (10, "done", "id BETWEEN 2001 AND 2010")
    for wrong in ("nope = 1", "id = 1; DROP TABLE things", "pg_sleep(10) IS NULL", "id = 'text'"):
        assert backfill(site, "things", "--where", wrong, status=2)
    assert backfill(site, "nowhere", status=2)

    with site.meilisearch() as client:
        site.task(client.post(f"{url}/delete-batch", json=[2_001]))
        site.task(client.post(url, json=[{"id": 60_000, "name": "a ghost"}]))
    ids = backfill(site, "things", "--ids", "2001,60000")
    assert (ids["written"], ids["waiting"], ids["differing"]) == (["2001", "60000"], 0, [])
    site.wait_equal()

    plan = backfill(site, "things", "--plan")
    assert plan["recommended"] in ("in place", "reindex")
    assert plan["in_place_s"] > 0
    assert plan["rows"] == len(site.documents("things"))
    assert now(site)["where"], "a plan starts nothing"


def test_an_index_that_was_emptied_or_is_gone_is_filled(site: Site) -> None:
    """An idle worker tells of a clear that is nobody's of its group, and holds where the index is gone; the fill lifts the hold,
    and proves the index."""
    site.worker()
    site.wait_settled()
    with site.meilisearch() as client:
        site.task(client.delete(f"/indexes/{site.uid('things')}/documents"))
    eventually(lambda: ("foreign-write", "things") in site.findings(), 30, "the clear is told")
    report = backfill(site, "things", "--prune")
    assert (report["backfill"]["stage"], report["backfill"]["applied"]) == ("done", ROWS)
    site.wait_settled()

    with site.meilisearch() as client:
        site.task(client.delete(f"/indexes/{site.uid('things')}"))
    site.workers[-1].wait_for_hold("sink-lost-memory")
    report = kept_alive(site, ["things"])
    assert (report["created"], report["backfill"]["stage"], report["backfill"]["prune"]) == (True, "done", True)
    site.wait_settled()


def test_whatever_dies_in_the_middle_it_completes(slow: Site) -> None:
    """The connector, the worker, Meilisearch and the terminal. Meanwhile a second one joins, or is refused."""
    site, worker = slow, slow.worker()
    site.wait_settled()
    assert backfill(site, "things", "--prune", "--detach")["backfill"]["ended_at"] is None
    with stopped_in_the_middle(site, worker):
        site.cli("backfill", "pause", "things")
    assert now(site)["paused"], "it was over before it was paused"
    assert backfill(site, "things", "--detach")["joined"], "one that removes ghosts as well does what is asked for"
    assert "one at a time" in backfill(site, "things", "--where", "id = 1", status=1)["error"]
    site.cli("backfill", "resume", "things")
    restart = f"{site.stack.connect_url}/connectors/{site.name}/restart?includeTasks=true&onlyFailed=false"
    httpx.post(restart, timeout=60).raise_for_status()
    worker.kill9()
    site.stack.meilisearch.stop()
    second = site.worker()
    site.stack.meilisearch.start()
    done = until_done(site)
    assert (done["stage"], done["failed"]) == ("done", 0), second.tail()
    site.wait_settled()


def test_pause_resume_stop_and_a_scan_that_fails_by_name(slow: Site) -> None:
    """Paused it goes no further, resumed it ends, stopped it ends at once; a scan that PostgreSQL refuses is no success."""
    site, worker = slow, slow.worker()
    site.wait_settled()
    backfill(site, "things", "--detach")
    with stopped_in_the_middle(site, worker):
        paused = json.loads(site.cli("backfill", "pause", "things", "--json").stdout)
    assert paused["done"]
    assert paused["backfill"]["ended_at"] is None, "it was over before it was paused"
    eventually(lambda: now(site)["condition"].startswith("paused"), 20, lambda: str(now(site)))
    site.cli("backfill", "resume", "things")
    assert until_done(site)["stage"] == "done"
    site.wait_settled()

    backfill(site, "things", "--detach")
    with stopped_in_the_middle(site, worker):
        stop = begun(site, "stop", "things")
        eventually(
            lambda: site.state("SELECT wish FROM backfills ORDER BY id DESC LIMIT 1") == [("stop",)], 60, "it is asked for"
        )
    assert stop.wait(90) == 0
    assert until_done(site)["stage"] == "stopped"

    backfill(site, "things", "--where", "extra = 'x'", "--detach")
    in_the_middle(site, worker)
    site.execute("ALTER TABLE things DROP COLUMN extra")
    failed = until_done(site)
    assert failed["stage"] == "failed"
    assert "SQL_EXCEPTION" in failed["condition"]
    site.cli("backfill", "stop", "things", status=1)
