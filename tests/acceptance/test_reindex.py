"""An index built anew and put in its place while applications search it and write to its table; and whatever dies meanwhile."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psycopg
import pytest
from chain import PROGRAM, Load, Pair, Site, eventually

from sync_worker.testing.stack import Stack

pytestmark = pytest.mark.unfinished

ROWS = 3_000

TABLES = f"""
CREATE TABLE things (id bigint PRIMARY KEY, name text, fixed text);
INSERT INTO things SELECT i, 'thing ' || i, 'always' FROM generate_series(1, {ROWS}) AS i;
"""

INDEXES = """
[indexes.things]
uid = "{index}-things"
table = "public.things"
primary_key = "id"
fields = { name = "text", fixed = "text" }

[indexes.things.settings]
filterableAttributes = ["fixed"]
"""

PAIRS = (Pair("things", "SELECT id, name, fixed FROM things", lambda row: row),)
KEPT = range(1_000, 2_000)
"""Rows that nobody changes: each search has to find all of them."""


@pytest.fixture
def site(stack: Stack, tmp_path: Path) -> Iterator[Site]:
    site = Site(stack, tmp_path, TABLES, INDEXES, PAIRS)
    try:
        yield site.set_up()
    finally:
        site.remove()


def churn(cursor: psycopg.Cursor[Any], random: Random) -> None:
    """Updates, deletes, inserts and key changes of the keys that nobody counts on."""
    key, dice = random.randrange(1, 600), random.random()
    if dice < 0.2:
        cursor.execute(b"DELETE FROM things WHERE id = %s", [key])
    elif dice < 0.3:
        cursor.execute(
            b"UPDATE things SET id = %s WHERE id = %s AND NOT EXISTS (SELECT FROM things WHERE id = %s)",
            [key + 100_000, key, key + 100_000],
        )
    else:
        cursor.execute(
            b"INSERT INTO things VALUES (%s, %s, 'always') ON CONFLICT (id) DO UPDATE SET name = excluded.name",
            [key, f"changed {random.randrange(1_000_000)}"],
        )


class Searches:
    """An application that searches all the time, and what it saw that it should not."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.count = 0
        self.wrong: list[str] = []

    def __enter__(self) -> Searches:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        body = {"q": "", "filter": "fixed = always", "limit": 5_000, "attributesToRetrieve": ["id", "name"]}
        with httpx.Client(base_url=self._site.meili_url, headers={"Authorization": f"Bearer {self._site.meili_key}"}) as client:
            while not self._stop.is_set():
                body["limit"] = 1_000
                answer = client.post(f"/indexes/{self._site.uid('things')}/search", json=body | {"q": "thing"}, timeout=30)
                total = client.get(f"/indexes/{self._site.uid('things')}/documents/1500", timeout=30)
                self.count += 1
                if answer.status_code != 200 or total.status_code != 200:
                    self.wrong.append(f"{answer.status_code} {answer.text[:200]} {total.status_code} {total.text[:200]}")
                    continue
                found = {hit["id"] for hit in answer.json()["hits"]}
                if len(found) < 1_000 or total.json().get("name") != "thing 1500":
                    self.wrong.append(f"{len(found)} hits, {total.json()}")


def reindex(site: Site, *arguments: str, status: int = 0) -> dict[str, Any]:
    said = site.cli("reindex", "things", *arguments, "--json", status=status)
    return dict(json.loads(said.stdout)["rebuilds"][0]) if said.stdout else {"error": said.stderr}


def now(site: Site) -> dict[str, Any]:
    return dict(json.loads(site.cli("reindex", "things", "--status", "--json").stdout)["rebuilds"][0])


def phase(site: Site) -> str:
    found = site.state("SELECT phase FROM rebuilds ORDER BY id DESC LIMIT 1")
    return str(found[0][0]) if found else ""


def equal_too(site: Site, uid: str) -> None:
    """The other index holds exactly the rows as well."""
    other = Site(site.stack, site.folder, TABLES, INDEXES, PAIRS)
    other.name, other.database_url = site.name, site.database_url

    def difference() -> str:
        with site.meilisearch() as client:
            body = {"limit": 100_000}
            found = client.post(f"/indexes/{uid}/documents/fetch", json=body).raise_for_status().json()["results"]
        rows = {row["id"]: row for row in site.rows(PAIRS[0].rows)}
        documents = {document["id"]: document for document in found}
        return str([key for key in rows.keys() | documents.keys() if rows.get(key) != documents.get(key)][:5])

    eventually(lambda: difference() == "[]", 30, difference)


def test_searches_and_writes_go_on_through_cutover_rollback_and_the_end(site: Site) -> None:
    """Never an empty, partial or wrong answer; both indexes equal to the table at the end; the names stay."""
    site.worker()
    site.wait_settled()
    gates = site.folder / "gates.toml"
    gates.write_text('min_documents = 1000\n[[samples]]\nsearch = { q = "thing 1500", limit = 1 }\nexpect = ["1500"]\n')
    plan = json.loads(site.cli("reindex", "things", "--plan", "--json").stdout)["indexes"][0]
    assert (plan["rows"], plan["documents"], plan["obstacles"]) == (ROWS, ROWS, [])
    with Searches(site) as searches, Load(site, churn, seed=3, pause_s=0.01) as load:
        load.wait_for(50)
        one = reindex(site, "--gates", str(gates))
        assert (one["phase"], one["live"]) == ("gates", "old")
        assert all(gate["passed"] for gate in one["gates"]), one["gates"]
        assert {gate["gate"] for gate in one["gates"]} == {"settings", "count", "sample", "drift"}
        load.wait_for(30)
        one = reindex(site, "--resume", "--auto-cutover")
        assert (one["phase"], one["live"]) == ("swapped", "new")
        assert one["paused_s"] < 5, one
        load.wait_for(50)
        one = reindex(site, "--rollback")
        assert (one["phase"], one["live"]) == ("gates", "old")
        load.wait_for(50)
        one = reindex(site, "--resume", "--auto-cutover")
        assert (one["phase"], one["live"]) == ("swapped", "new")
        load.wait_for(50)
    site.wait_equal()
    equal_too(site, one["target_uid"])
    assert "--rollback" in reindex(site, "--abort", status=1)["error"]
    said = site.cli("reindex", "things", "--finish")
    assert "live:" in said.stderr
    assert f"deleted: {one['target_uid']}" in said.stderr
    assert searches.wrong == []
    assert searches.count > 20
    site.wait_settled()
    with site.meilisearch() as client:
        uids = {index["uid"] for index in client.get("/indexes", params={"limit": 1000}).json()["results"]}
    assert one["target_uid"] not in uids


def test_a_gate_that_fails_leaves_all_as_it_is_and_resume_goes_on(site: Site) -> None:
    """The evidence is named, the live index is untouched, and an abort leaves no target."""
    site.worker()
    site.wait_settled()
    gates = site.folder / "gates.toml"
    gates.write_text('[[samples]]\nsearch = { q = "thing 1500", limit = 1 }\nexpect = ["7"]\n')
    before = site.documents("things")
    said = reindex(site, "--gates", str(gates), "--auto-cutover", status=3)
    assert "expected ['7']" in said["error"]
    assert (now(site)["phase"], now(site)["live"]) == ("gates", "old")
    target = now(site)["target_uid"]
    with site.meilisearch() as client:
        url = f"/indexes/{target}/documents"
        site.task(client.post(f"{url}/delete-batch", json=[5]))
    said = reindex(site, "--resume", "--auto-cutover", status=3)
    assert "missing" in said["error"]
    assert reindex(site, "--abort")["phase"] == "aborted"
    assert sorted(site.documents("things"), key=str) == sorted(before, key=str)
    with site.meilisearch() as client:
        assert client.get(f"/indexes/{target}").status_code == 404
    site.execute("UPDATE things SET name = 'after' WHERE id = 1")
    site.wait_equal()


def kill_worker(site: Site) -> None:
    site.workers[-1].kill9()
    site.worker()


def part(name: str) -> Callable[[Site], None]:
    def kill(site: Site) -> None:
        one = next(one for one in site.stack.parts if one.name == name)
        one.kill()
        one.start()

    return kill


PHASES = ("created", "dual-write", "filling", "gates", "pausing", "swapping", "ending", "deleting")
VICTIMS: dict[str, Callable[[Site], None]] = {"cli": lambda _: None, "worker": kill_worker}
PARTS = ("meilisearch", "connect", "kafka")
SHORT = {("filling", "worker"), ("swapping", "cli")}
"""The whole table runs in seconds with Meilisearch's double: tests/unit/pipeline/test_a_rebuild_is_taken_on.py and
test_a_rebuild_loses_its_worker.py."""


def table() -> list[Any]:
    found = []
    for step in PHASES:
        for victim in (*VICTIMS, *PARTS):
            marks = () if (step, victim) in SHORT else (pytest.mark.long,)
            found.append(pytest.param(step, victim, marks=marks, id=f"{step}-{victim}"))
    return found


@pytest.mark.parametrize(("step", "victim"), table())
def test_killed_at_each_step_it_goes_on(site: Site, step: str, victim: str) -> None:
    """kill -9 of the command line, and of one part beside it, as soon as the step is recorded: `--resume` comes to the end."""
    site.worker()
    site.wait_settled()
    ending = step in ("ending", "deleting")
    if ending:
        assert reindex(site, "--auto-cutover")["phase"] == "swapped"
    with Load(site, churn, seed=5, pause_s=0.02):
        arguments = ["--finish"] if ending else ["--auto-cutover"]
        verb = subprocess.Popen(
            [*PROGRAM, "reindex", "things", *arguments, "--config", str(site.config)],
            env=site.environment, cwd=site.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        with psycopg.connect(site.state_url, autocommit=True) as connection:
            deadline = time.monotonic() + 90
            while time.monotonic() < deadline and verb.poll() is None:
                found = connection.execute("SELECT phase FROM rebuilds ORDER BY id DESC LIMIT 1").fetchone()
                if found is not None and found[0] == step:
                    break
            seen = None if found is None else found[0]
        verb.send_signal(signal.SIGKILL)
        said = verb.communicate()[0]
        assert seen == step or verb.returncode == 0, f"{step} was never seen, at last {seen}: {said}"
        (VICTIMS.get(victim) or part(victim))(site)
        if seen == step:
            assert now(site)["waits_for"]
        for _ in range(4):
            if site.cli_any("reindex", "things", "--resume", "--auto-cutover").returncode == 0 or phase(site) in (
                "swapped",
                "done",
            ):
                break
        assert phase(site) in ("swapped", "done"), f"{now(site)}\n{site.what_workers_say()}"
    site.wait_equal()
    if phase(site) == "swapped":
        equal_too(site, now(site)["target_uid"])
        assert reindex(site, "--finish")["phase"] == "done"
    site.wait_settled()
