"""The runbook of an index that does not say what the table says, on the real parts, while updates flow all the time."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from chain import Pair, Site, Worker, eventually

from sync_worker.testing.stack import Stack

ROWS = 3000
BUSY = 400
"""Rows from this id on are nobody's but the writer's."""

TABLES = """
CREATE TABLE things (
    id int PRIMARY KEY, name text, price numeric(20, 6), weight double precision, seen timestamptz, tags text[], more jsonb,
    lat double precision, lng double precision, hidden boolean
);
"""

INDEXES = """
[indexes.things]
uid = "{index}-things"
table = "public.things"
primary_key = "id"
where = "hidden IS NOT TRUE"

[indexes.things.fields]
name = "text"
price = "number"
weight = "number"
seen = "timestamp"
tags = "json"
more = "json"
_geo = { type = "geo", lat = "lat", lng = "lng" }

[indexes.things.settings]
displayedAttributes = ["name"]
"""

FILL = f"""
INSERT INTO things
SELECT n, 'thing ' || n, (random() * 1e6)::numeric(20, 6), (random() - 0.5) * 10 ^ (n % 200 - 100),
       to_timestamp(1.7e9 + random() * 1e7), ARRAY['a', NULL, 'ü' || n],
       jsonb_build_object('x', random(), 'list', jsonb_build_array(1, 1.0, -0.0, null, true, n::text)),
       random() * 180 - 90, random() * 360 - 180, n % 50 = 0
FROM generate_series(1, {ROWS}) n
"""

PAIRS = (Pair("things", "SELECT id FROM things WHERE hidden IS NOT TRUE", lambda row: row),)


@pytest.fixture
def site(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(stack, tmp_path_factory.mktemp("drift"), TABLES, INDEXES, PAIRS, settings={"scrub": {"rows_per_second": 2000}})
    try:
        made.set_up()
        yield made
    finally:
        made.remove()


@contextmanager
def updates_flow(site: Site) -> Iterator[None]:
    """Somebody inserts, updates, hides and deletes rows without a pause."""
    stop = threading.Event()
    trouble: list[BaseException] = []

    def write() -> None:
        with psycopg.connect(site.database_url, autocommit=True) as connection:
            number = 0
            while not stop.is_set():
                number += 1
                key = BUSY + number * 7 % (ROWS - BUSY) + 1
                connection.execute("UPDATE things SET weight = random(), name = %s WHERE id = %s", (f"change {number}", key))
                if number % 3 == 0:
                    connection.execute("DELETE FROM things WHERE id = %s", (BUSY + number * 11 % (ROWS - BUSY) + 1,))
                if number % 4 == 0:
                    connection.execute(
                        "INSERT INTO things (id, name) VALUES (%s, 'again') ON CONFLICT DO NOTHING",
                        (BUSY + number * 13 % (ROWS - BUSY) + 1,),
                    )
                if number % 5 == 0:
                    connection.execute("UPDATE things SET hidden = NOT coalesce(hidden, false) WHERE id = %s", (key,))

    def guarded() -> None:
        try:
            write()
        except BaseException as error:
            trouble.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not trouble, trouble


def arrived(site: Site, worker: Worker) -> None:
    expected = ROWS - ROWS // 50

    def trouble() -> str:
        return f"{len(site.documents('things'))} of {expected} rows arrived: {site.failures()[:2]} {worker.tail(6)}"

    eventually(lambda: len(site.documents("things")) == expected, 90, trouble)


def drift(site: Site, *arguments: str, status: int = 0) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(site.cli("drift", "things", *arguments, "--json", status=status).stdout)
    return answer


def found(report: dict[str, Any]) -> dict[str, tuple[str, list[str]]]:
    return {item["document_id"]: (item["kind"], item["fields"]) for item in report["indexes"][0]["items"]}


def spoil(site: Site) -> dict[str, tuple[str, list[str]]]:
    """Behind the worker's back: what must be reported afterwards, exactly."""
    with site.meilisearch() as client:
        path = f"/indexes/{site.uid('things')}/documents"
        site.task(client.post(f"{path}/delete-batch", json=[3, 77, 201]))
        site.task(client.post(path, json=[{"id": 900_001, "name": "ghost"}, {"id": "no-int_at-all", "name": "ghost"}]))
        site.task(client.put(path, json=[{"id": 5, "name": "forged"}, {"id": 6, "price": 1, "extra": None}]))
        site.task(client.post(path, json=[{"id": 50, "name": "its row is hidden"}]))
    return {
        "3": ("missing", []),
        "77": ("missing", []),
        "201": ("missing", []),
        "5": ("different", ["name"]),
        "6": ("different", ["extra", "price"]),
        "50": ("ghost", []),
        "900001": ("ghost", []),
        "no-int_at-all": ("ghost", []),
    }


def test_what_was_done_behind_the_workers_back_is_named_and_mended(site: Site) -> None:
    """No change in flight is ever reported, whatever the depth; what was spoilt is, and nothing else; then it is mended."""
    site.execute(FILL)
    arrived(site, site.worker())

    # In sync to the last value, at rest and in motion.
    assert drift(site)["in_sync"]
    with updates_flow(site):
        for depth in ("--content", "--ids", "--counts"):
            report = drift(site, depth)
            assert report["in_sync"], found(report) or report["indexes"][0]
    assert site.state("SELECT count(*) FROM comparisons WHERE differences = 0") == [(2,)]

    # Spoilt: exactly that is named, while others go on writing.
    spoilt = spoil(site)
    with updates_flow(site):
        assert found(drift(site, status=3)) == spoilt
        ids = found(drift(site, "--ids", status=3))
        assert ids == {key: told for key, told in spoilt.items() if told[0] != "different"}
        sliced = drift(site, "--where", "id < 60", status=3)
        assert found(sliced) == {key: spoilt[key] for key in ("3", "5", "6", "50")}
        assert sliced["indexes"][0]["ghosts"] == "slice"
        shown = json.loads(site.cli("drift", "things", "--show", "5", "--json", status=3).stdout)
        assert (shown["kind"], shown["expected"]["name"], shown["indexed"]["name"]) == ("different", "thing 5", "forged")

        # Shown first, and nothing is done without a yes.
        plan = drift(site, "--repair", status=3)["indexes"][0]["repair"]
        assert (plan["dry_run"], len(plan["writes"]), len(plan["deletes"])) == (True, 5, 3)
        assert found(drift(site, status=3)) == spoilt
        pruned = drift(site, "--prune", "--yes", status=3)["indexes"][0]["repair"]
        assert (sorted(pruned["deletes"]), pruned["remaining"]) == (["50", "900001", "no-int_at-all"], [])
        mended = drift(site, "--repair", "--yes")
        assert mended["in_sync"]
        assert sorted(mended["indexes"][0]["repair"]["writes"]) == ["201", "3", "5", "6", "77"]
        assert drift(site)["in_sync"]
    assert [verb for (verb,) in site.state("SELECT DISTINCT verb FROM operations WHERE verb LIKE 'drift%%' ORDER BY 1")] == [
        "drift prune",
        "drift repair",
    ]


def test_the_scrub_finds_it_by_itself(site: Site) -> None:
    """Nobody asks: the worker itself compares and tells; once it is mended, a clean comparison takes it back."""
    site.execute(FILL)
    worker = site.worker()
    arrived(site, worker)
    spoil(site)
    with updates_flow(site):
        eventually(lambda: ("drift", "things") in site.findings(), 60, lambda: f"no finding: {worker.tail()}")
        assert drift(site, "--repair", "--yes")["in_sync"]
        # A clean comparison by hand settles it at once; the scrub's own next round would as well.
        eventually(lambda: drift(site)["in_sync"] and ("drift", "things") not in site.findings(), 60, "the finding stays")
    assert worker.metric("sync_worker_scrubbed_total") > ROWS
