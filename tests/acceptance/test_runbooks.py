"""The runbooks of docs/drift-recovery.md: each creates its symptom, follows the page's commands, and sees the verification pass.

Count divergence is in test_drift_is_found_and_mended.py."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
from chain import Pair, Site, eventually

from sync_worker.testing.stack import Stack

pytestmark = pytest.mark.unfinished

TABLES = "CREATE TABLE things (id bigint PRIMARY KEY, name text NOT NULL, size integer);"

INDEXES = """
[indexes.things]
uid = "{index}-things"
table = "public.things"
primary_key = "id"
fields = { name = "text", size = "integer" }
settings = { searchableAttributes = ["name"], filterableAttributes = ["size"], synonyms = { big = ["large"] }, typoTolerance = { minWordSizeForTypos = { oneTypo = 4 } }, faceting = { maxValuesPerFacet = 50 } }
"""  # noqa: E501

PATIENT = ("--timeout", "60")
"""For reports that ask all parts at once: on a machine that does other things as well, ten seconds say nothing of them."""

PAIRS = (Pair("things", "SELECT id, name, size FROM things", lambda row: row),)
SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


@pytest.fixture(scope="module")
def site(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    patience = {"meilisearch": {"read_timeout_s": 30}}
    made = Site(stack, tmp_path_factory.mktemp("runbooks"), TABLES, INDEXES, PAIRS, settings=patience)
    try:
        made.set_up()
        made.worker()
        made.execute("INSERT INTO things SELECT n, 'thing ' || n, n FROM generate_series(1, 200) n")
        made.wait_settled(90)
        yield made
    finally:
        made.remove()


def asked(site: Site, *arguments: str, status: int = 0) -> dict[str, Any]:
    """The command's JSON, which fits the published schema of its report."""
    if arguments[0] in ("status", "reconcile"):
        arguments += PATIENT
    answer: dict[str, Any] = json.loads(site.cli(*arguments, "--json", status=status).stdout)
    fastjsonschema.compile(json.loads((SCHEMAS / f"{answer['report']}.schema.json").read_text()))(answer)
    return answer


def patch(site: Site, settings: dict[str, Any]) -> None:
    """Somebody changes the live index by hand."""
    with site.meilisearch() as client:
        done = site.task(client.patch(f"/indexes/{site.uid('things')}/settings", json=settings))
    assert done["status"] == "succeeded", done


def prove_writes_by_hand(site: Site) -> None:
    """The watch names what somebody else wrote, within a minute; the page's comparison proves that nothing of it is left."""
    eventually(lambda: ("foreign-write", "things") in site.findings(), 60, lambda: f"not noticed: {site.findings()}")
    asked(site, "drift", "things")
    assert site.findings() == []


def healthy(site: Site) -> dict[str, Any]:
    last: list[str] = [""]

    def ok() -> dict[str, Any] | None:
        done = site.cli_any("status", *PATIENT, "--json")
        last[0] = done.stdout + done.stderr
        return json.loads(done.stdout) if done.returncode == 0 else None

    report: dict[str, Any] = eventually(ok, 40, lambda: f"status is not fine: {last[0]}")
    return report


def test_a_freshly_created_index_differs_in_nothing(site: Site) -> None:
    """No false alarm from partial objects, defaults, or what the server adds; status and doctor agree."""
    assert asked(site, "settings", "diff")["in_step"]
    assert asked(site, "contract")["in_step"]
    report = healthy(site)
    (index,) = report["indexes"]
    assert (index["documents"], index["lag_messages"], index["settings_differ"]) == (200, 0, [])
    assert report["alive"] is True
    assert report["slot"]["retained_bytes"] is not None
    assert report["connector"]["running"] is True
    print(site.cli("status").stdout)


def test_doctor_names_what_it_saw(site: Site) -> None:
    """Every check has evidence, whatever is wrong has a remedy, and each part's clock was read."""
    done = site.cli_any("doctor", "--json")
    report = json.loads(done.stdout)
    fastjsonschema.compile(json.loads((SCHEMAS / "doctor.schema.json").read_text()))(report)
    said = report["diagnoses"]
    assert report["errors"] == 0, [one for one in said if one["severity"] == "error"]
    assert all(one["evidence"] and (one["remedy"] or one["severity"] in ("ok", "unknown")) for one in said)
    clocks = {one["area"]: one["severity"] for one in said if one["check"] == "clock-skew"}
    assert clocks == dict.fromkeys(("source", "kafka", "connector", "meilisearch"), "ok"), clocks
    checks = {one["check"] for one in said}
    assert {"tiny-task", "migrations", "workers", "replicas", "slot-wal", "unreadable-documents"} <= checks, checks
    assert "examination" not in checks, [one for one in said if one["check"] == "examination"]
    print(site.cli_any("doctor").stdout)


def test_settings_drift(site: Site) -> None:
    """Symptom: somebody changed the live index. It is named, classed, changed back only when acknowledged, and proven."""
    patch(site, {"sortableAttributes": ["size"], "synonyms": {"big": ["large"], "small": ["tiny"]}})
    diff = asked(site, "settings", "diff", status=3)
    effects = {one["setting"]: one["effect"] for one in diff["indexes"][0]["differences"]}
    assert effects == {"sortableAttributes": "re-indexing", "synonyms": "free"}
    print(site.cli("settings", "diff", status=3).stdout)
    assert "settings" in {problem["kind"] for problem in asked(site, "status", status=3)["problems"]}

    refused = site.cli("settings", "apply", "things", status=2)
    assert "--acknowledge-live" in refused.stderr
    assert not asked(site, "settings", "diff", status=3)["in_step"], "nothing may have changed"

    applied = asked(site, "settings", "apply", "things", "--acknowledge-live")
    assert [(one["outcome"], sorted(one["changed"])) for one in applied["indexes"]] == [("applied", sorted(effects))]
    assert asked(site, "settings", "diff")["in_step"]
    assert asked(site, "settings", "apply", "things")["indexes"][0]["outcome"] == "in-step"
    lines = asked(site, "audit", "--verb", "settings apply")["lines"]
    assert [line["outcome"] for line in lines] == ["done"]
    healthy(site)


def test_doctor_finds_a_document_that_cannot_be_read(site: Site) -> None:
    """A value nested too deep, sent as an update, is accepted and then breaks every search that finds it; doctor names its id."""
    deep = '{"d":' * 130 + "1" + "}" * 130
    with site.meilisearch() as client:
        path = f"/indexes/{site.uid('things')}/documents"
        headers = {"Content-Type": "application/x-ndjson"}
        poisoned = site.task(client.put(path, content=f'{{"id": 77, "deep": {deep}}}\n', headers=headers))
        if poisoned["status"] != "succeeded":
            pytest.skip(f"this Meilisearch refuses the value: {poisoned['error']}")
        try:
            report = json.loads(site.cli("doctor", "--json", status=3).stdout)
            (found,) = [one for one in report["diagnoses"] if one["check"] == "unreadable-documents"]
            assert found["severity"] == "error"
            assert " 77;" in found["evidence"], found
        finally:
            site.task(client.put(path, content='{"id": 77, "deep": null}\n', headers=headers))
    site.execute("UPDATE things SET size = 77 WHERE id = 77")
    site.wait_equal()


def test_contract_drift(site: Site) -> None:
    """Symptom: a filter fails. The missing attribute and fields that nobody declared are named, and mended."""
    patch(site, {"filterableAttributes": []})
    with site.meilisearch() as client:
        path = f"/indexes/{site.uid('things')}/documents"
        site.task(client.put(path, json=[{"id": 5, "stray": 1}]))
    contract = asked(site, "contract", status=3)
    drifts = {(one["drift"], one["subject"]) for one in contract["indexes"][0]["findings"]}
    assert drifts == {("attributes", "filterable"), ("field-undeclared", "stray")}
    print(site.cli("contract", status=3).stdout)
    assert any("settings apply things" in action["command"] for action in asked(site, "reconcile", status=3)["actions"])

    asked(site, "settings", "apply", "things", "--acknowledge-live")
    site.execute("UPDATE things SET name = 'five' WHERE id = 5")
    site.wait_equal()
    eventually(lambda: json.loads(site.cli_any("contract", "--json").stdout)["in_step"], 20, "the stray field stays")


def test_failed_work_piles_up(site: Site) -> None:
    """Symptom: rows fail. Counted, classed, tried again once the cause is mended, and gone."""
    # The server refuses an embedder for documents without vectors, unless these say that they have none.
    with site.meilisearch() as client:
        without = [{"id": document["id"], "_vectors": {"taste": None}} for document in site.documents("things")]
        opted_out = site.task(client.put(f"/indexes/{site.uid('things')}/documents", json=without))
        assert opted_out["status"] == "succeeded", opted_out
    patch(site, {"embedders": {"taste": {"source": "userProvided", "dimensions": 3}}})
    site.execute("INSERT INTO things VALUES (1001, 'one', 1), (1002, 'two', 2)")
    eventually(lambda: len([f for f in site.failures() if f["status"] == "open"]) >= 2, 60, "nothing fails")
    report = asked(site, "reconcile", status=3)
    assert report["failed_work_counts"]["unsettled"] == 2
    assert {"settings", "failed-work"} <= {finding["kind"] for finding in report["findings"]}
    commands = [action["command"] for action in report["actions"]]
    assert report["unreachable"] == []
    apply_at = next(at for at, command in enumerate(commands) if "settings apply" in command)
    retry_at = next(at for at, command in enumerate(commands) if command.startswith("sync-worker retry"))
    assert apply_at < retry_at, "the cause comes before the retry"
    print(site.cli("reconcile", status=3).stdout)

    asked(site, "reconcile", "--apply", report["actions"][apply_at]["action"])
    assert asked(site, "settings", "diff")["in_step"]
    asked(site, "reconcile", "--apply", report["actions"][retry_at]["action"])
    site.wait_equal()
    assert asked(site, "failed", "counts")["unsettled"] == 0
    prove_writes_by_hand(site)
    healthy(site)


def test_stale_results_after_success(site: Site) -> None:
    """Symptom: rows change and search does not. The pause that somebody forgot is named, ended, and the barrier passes."""
    asked(site, "pause", "things", "--reason", "an upgrade that is long over")
    site.execute("UPDATE things SET name = 'new name' WHERE id = 9")
    report = asked(site, "reconcile", status=3)
    (action,) = [action for action in report["actions"] if action["command"] == "sync-worker resume things"]
    assert asked(site, "status")["indexes"][0]["paused"] is True
    asked(site, "reconcile", "--apply", action["action"])
    site.cli("wait", "things", "--timeout", "60")
    assert {document["name"] for document in site.documents("things") if document["id"] == 9} == {"new name"}
    assert asked(site, "reconcile")["findings"] == []


def test_stale_results_because_the_connector_stands(site: Site) -> None:
    """Symptom: as above; the connector's task failed. The canary says so, and a restart mends it."""
    import httpx

    base = f"{site.stack.connect_url}/connectors/{site.name}"
    httpx.put(f"{base}/stop", timeout=30).raise_for_status()
    try:
        eventually(
            lambda: (
                "connector-down" in {p["kind"] for p in json.loads(site.cli_any("status", *PATIENT, "--json").stdout)["problems"]}
            ),
            30,
            "status does not say that the connector stands",
        )
        assert any("connector" in action["command"] for action in asked(site, "reconcile", status=3)["actions"])
    finally:
        httpx.put(f"{base}/resume", timeout=30).raise_for_status()
    healthy(site)


def test_an_empty_index(site: Site) -> None:
    """Symptom: searches find nothing. The fill is recommended, done by its name, and proven."""
    with site.meilisearch() as client:
        site.task(client.delete(f"/indexes/{site.uid('things')}/documents"))
    site.workers[-1].wait_for_hold("sink-lost-memory")
    report = asked(site, "reconcile", status=3)
    assert "empty-index" in {finding["kind"] for finding in report["findings"]}
    (fill,) = [action for action in report["actions"] if action["command"].startswith("sync-worker backfill")]
    assert (fill["action"], fill["command"], fill["applicable"]) == (
        "backfill:things",
        "sync-worker backfill things --prune",
        True,
    )
    applied = beside_a_worker(site, "reconcile", "--apply", fill["action"])["applied"]
    assert applied["done"], applied
    site.wait_equal()
    asked(site, "drift", "things", "--ids")
    assert healthy(site)["indexes"][0]["fill"] is not None


def beside_a_worker(site: Site, *arguments: str) -> dict[str, Any]:
    """The command's JSON, with a worker that is started again whenever it ends, as an orchestrator does."""
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(asked, site, *arguments)

        def answered() -> bool:
            if site.workers[-1].process.poll() is not None:
                site.worker()
            return asking.done()

        eventually(answered, 150, lambda: f"{arguments} does not end\n{site.what_workers_say()}")
        return asking.result()


def test_a_stuck_reindex(site: Site) -> None:
    """Symptom: a rebuild does not go on. Its phase, the failed gate and the live index are named; nothing else is begun beside
    it; given up, it leaves the live index as it was."""
    gates = site.folder / "gates.toml"
    gates.write_text("min_documents = 1_000_000\n")
    before = site.documents("things")
    site.cli("reindex", "things", "--gates", str(gates), status=3)
    (one,) = asked(site, "reindex", "things", "--status")["rebuilds"]
    assert (one["phase"], one["live"]) == ("gates", "old")
    assert [gate["gate"] for gate in one["gates"] if not gate["passed"]], one
    print(site.cli("reindex", "things", "--status").stdout)
    assert json.loads(site.cli_any("status", "--json").stdout)["indexes"][0]["rebuild"]["phase"] == "gates"

    site.cli("reindex", "things", "--abort")
    assert asked(site, "reindex", "--status")["rebuilds"] == []
    assert json.loads(site.cli_any("status", "--json").stdout)["indexes"][0]["rebuild"] is None
    assert sorted(site.documents("things"), key=str) == sorted(before, key=str)
    asked(site, "drift", "things")


@pytest.mark.parametrize(
    "part",
    [
        "meilisearch",
        "kafka",
        pytest.param("connect", marks=pytest.mark.long),
        pytest.param("postgres", marks=pytest.mark.long),
    ],
)
def test_status_answers_while_a_part_is_down(site: Site, part: str) -> None:
    """Within its deadline, with that part marked and the others shown."""
    found = next(one for one in site.stack.parts if one.name == part)
    found.stop()
    try:
        began = time.monotonic()
        done = site.cli_any("status", "--json", "--timeout", "3")
        took = time.monotonic() - began
        report = json.loads(done.stdout)
        assert done.returncode in (1, 3), done
        assert report["unreachable"], report
        assert report["seconds"] < 4.5, report["seconds"]
        print(part, round(took, 2), report["seconds"], report["unreachable"])
    finally:
        found.start()
    healthy(site)
