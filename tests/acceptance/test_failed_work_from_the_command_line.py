"""The runbook of a pile of failed work on the real parts: look, try again, let go, pause, and erase what is personal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chain import Pair, Site, eventually

from sync_worker.testing.stack import Stack

TABLES = "CREATE TABLE points (id bigint PRIMARY KEY, name text NOT NULL, vector json NOT NULL);"

INDEXES = """
[indexes.points]
uid = "{index}-points"
table = "public.points"
primary_key = "id"
hook = "hooks:embed"
fields = { name = "text", vector = { type = "json", omit = true } }
"""

HOOKS = """
import json


def embed(document, row):
    return {**document, "_vectors": {"taste": json.loads(row["vector"])}}
"""

PAIRS = (Pair("points", "SELECT id, name FROM points", lambda row: row),)


@pytest.fixture
def site(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("failed")
    (folder / "hooks.py").write_text(HOOKS)
    made = Site(stack, folder, TABLES, INDEXES, PAIRS)
    try:
        made.set_up()
        wants_three_dimensions(made)
        yield made
    finally:
        made.remove()


def wants_three_dimensions(site: Site) -> None:
    """Only the server knows this embedder, so that the worker's own check lets wrong dimensions pass."""
    set_embedders(site, {"taste": {"source": "userProvided", "dimensions": 3}})


def set_embedders(site: Site, embedders: dict[str, Any] | None) -> None:
    with site.meilisearch() as client:
        done = site.task(client.patch(f"/indexes/{site.uid('points')}/settings", json={"embedders": embedders}))
        assert done["status"] == "succeeded", done


def asked(site: Site, *arguments: str, status: int = 0) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(site.cli(*arguments, "--json", status=status).stdout)
    return answer


def failed_ids(site: Site, count: int) -> list[int]:
    """Of open failed work, oldest first."""
    eventually(lambda: len(site.failures()) >= count, 60, "the bad rows do not fail")
    return sorted(item["id"] for item in asked(site, "failed", "list", status=3)["items"])


def test_from_the_symptom_to_the_proof(site: Site) -> None:
    """A pile of failures: it is seen, read, tried too early, tried again once its cause is mended, and gone."""
    assert asked(site, "failed", "counts")["unsettled"] == 0
    worker = site.worker()
    site.execute(
        "INSERT INTO points VALUES (1, 'good', '[1, 2, 3]')",
        "INSERT INTO points VALUES (2, 'a secret of two', '[1, 2]')",
        "INSERT INTO points VALUES (3, 'a secret of three', '[1]')",
        "INSERT INTO points VALUES (4, 'a secret of four', '[4]')",
    )
    two, three, four = failed_ids(site, 3)

    # What failed, and why; no row is shown before it is asked for.
    listed = site.cli("failed", "list", status=3).stdout
    assert "secret" not in listed
    counts = asked(site, "failed", "counts", status=3)
    assert (counts["unsettled"], counts["counts"]["points"]["rejected"]["open"]) == (3, 3)
    assert "a secret of two" not in site.cli("failed", "show", str(two)).stdout
    assert "a secret of two" in asked(site, "failed", "show", str(two), "--payload")["payload"]["value"]
    assert len(asked(site, "dlq", "tail")["letters"]) == 3

    # Too early: the server still refuses it. Nothing else is touched.
    [item] = asked(site, "retry", str(two), "--force", status=3)["items"]
    assert item["outcome"] == "failed", item
    assert {failure["attempts"] for failure in site.failures() if failure["id"] == two} == {2}

    # A later change goes first: what failed before it is history.
    site.execute("INSERT INTO points VALUES (5, 'five', '[1]')")
    (five,) = set(failed_ids(site, 4)) - {two, three, four}
    site.execute("UPDATE points SET vector = '[1, 2, 3]' WHERE id = 5")
    eventually(lambda: 5 in {document["id"] for document in site.documents("points")}, 60, "the update does not arrive")
    [item] = asked(site, "retry", str(five))["items"]
    assert item["outcome"] == "superseded", item

    # One is let go. The cause is mended on the server, and one is tried with its row as it is now.
    assert asked(site, "discard", str(four), "--reason", "a test row")["items"][0]["discarded"] is True
    [item] = asked(site, "retry", str(four), status=3)["items"]
    assert (item["outcome"], "discarded" in item["reason"]) == ("refused", True)
    site.execute("INSERT INTO points VALUES (6, 'six', '[1]')")
    (six,) = set(failed_ids(site, 5)) - {two, three}
    set_embedders(site, None)
    [item] = asked(site, "retry", str(six), "--from-source")["items"]
    assert item["outcome"] == "resolved", item

    # The rest is tried again: first to see what would be done.
    planned = asked(site, "retry", "--index", "points", "--force")
    assert (planned["dry_run"], planned["counts"]["ready"]) == (True, 2)
    done = asked(site, "retry", "--index", "points", "--force", "--yes")
    assert (done["dry_run"], done["counts"]["resolved"]) == (False, 2), done
    assert {document["id"] for document in site.documents("points")} == {1, 2, 3, 5, 6}
    assert asked(site, "failed", "list")["items"] == []
    assert worker.metric("sync_worker_retries_total", outcome="resolved") == 3
    site.wait_equal(60, except_documents={"points": {4}})

    # Nothing is left to do, and the audit log tells the whole story.
    assert worker.sigterm()[0] == 0
    lines = asked(site, "audit")["lines"]
    assert {line["verb"] for line in lines} >= {"retry", "discard"}
    assert all(line["outcome"] in ("done", "recorded") for line in lines), lines


def test_a_retry_without_a_worker_names_what_to_start(site: Site) -> None:
    """At once, not after a time-out; the row is as it was."""
    worker = site.worker()
    site.execute("INSERT INTO points VALUES (1, 'one', '[1]')")
    (one,) = failed_ids(site, 1)
    assert worker.sigterm()[0] == 0
    refused = site.cli("retry", str(one), "--force", status=1)
    assert "no worker is running" in refused.stderr
    assert "sync-worker run" in refused.stderr
    assert asked(site, "failed", "list", status=3)["items"][0]["status"] == "open"


def test_a_paused_index_waits_and_loses_nothing(site: Site) -> None:
    """Confirmed by the worker, seen everywhere, kept over a restart, ended by `resume`."""
    worker = site.worker()
    site.execute("INSERT INTO points VALUES (1, 'one', '[1, 2, 3]')")
    site.wait_equal()
    paused = asked(site, "pause", "points", "--reason", "an upgrade")
    assert (paused["confirmed"], len(paused["indexes"][0]["confirmed_by"])) == (True, 1)
    site.execute("INSERT INTO points VALUES (2, 'two', '[1, 2, 3]')", "DELETE FROM points WHERE id = 1")
    site.wait_for_marker(60)
    held = eventually(
        lambda: [hold for hold in worker.readyz()[1]["holds"] if hold["kind"] == "paused"], 30, "the pause is not shown"
    )
    assert ("an upgrade" in held[0]["cause"], held[0]["remedy"]) == (True, "sync-worker resume points")
    assert worker.metric("sync_worker_holds", cause="paused") == 1
    assert {document["id"] for document in site.documents("points")} == {1}
    worker.kill9()
    heir = site.worker()
    eventually(lambda: heir.ready(), 60, lambda: f"a paused worker is ready all the same: {heir.readyz()}")
    assert {document["id"] for document in site.documents("points")} == {1}
    assert asked(site, "resume", "points")["indexes"][0]["was_paused"] is True
    site.wait_equal()
    assert {document["id"] for document in site.documents("points")} == {2}


def test_the_table_comes_back_and_one_persons_payloads_go(site: Site, stack_home: Path) -> None:
    """The dead-letter topic is the log of failures: it restores the table, moves elsewhere, and forgets one document."""
    worker = site.worker()
    site.execute(
        "INSERT INTO points VALUES (1, 'a secret of one', '[1]')",
        "INSERT INTO points VALUES (2, 'a secret of two', '[1]')",
    )
    failed_ids(site, 2)
    assert worker.sigterm()[0] == 0

    lines = site.cli("dlq", "export").stdout.splitlines()
    assert len(lines) == 2
    file = site.folder / "letters.ndjson"
    file.write_text("\n".join(lines) + "\n")
    assert asked(site, "dlq", "import", str(file))["present"] == 2

    with_rows = [(row["document_id"], row["code"], row["dlq_offset"]) for row in site.failures()]
    site.state("DELETE FROM failed_work RETURNING id")
    assert asked(site, "dlq", "rebuild-table")["restored"] == 2
    assert [(row["document_id"], row["code"], row["dlq_offset"]) for row in site.failures()] == with_rows

    report = asked(site, "dlq", "erase", "--index", "points", "--document", "1")
    assert (report["letters"], report["kept"], report["rows"]) == (1, 1, 1), report
    values = [message.value() or b"" for message in site.dead_letters()]
    assert not any(b"secret of one" in value for value in values)
    assert sum(b"secret of two" in value for value in values) == 1
    segments = sorted(stack_home.glob(f"data/kafka/log/{site.name}.dead-letters-0/*.log"))
    assert b"secret of two" in segments[-1].read_bytes()
    assert b"secret of one" not in segments[-1].read_bytes(), "the broker could never delete the file that it writes to"
    # What stayed is found at its new place, and tried with the row as it is now: restored rows have no known order.
    one, two = sorted(site.failures(), key=lambda row: str(row["document_id"]))
    assert (one["status"], one["message"], one["dlq_offset"]) == ("discarded", "[erased]", None)
    assert "secret of two" in asked(site, "failed", "show", str(two["id"]), "--payload")["payload"]["value"]
    set_embedders(site, None)
    heir = site.worker()
    eventually(heir.ready, 60, lambda: f"not ready: {heir.readyz()}")
    [item] = asked(site, "retry", str(two["id"]), "--force")["items"]
    assert item["outcome"] == "resolved", item
    assert {document["id"] for document in site.documents("points")} >= {2}
    assert asked(site, "audit", "--verb", "dlq erase")["lines"][0]["outcome"] == "done"
