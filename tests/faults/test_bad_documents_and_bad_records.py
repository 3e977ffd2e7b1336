"""One bad document, and one bad record, cost exactly that one: dead-lettered as it came, while everything around it arrives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from chain import Pair, Site, eventually

from sync_worker.testing.stack import Stack

TABLES = """
CREATE TABLE things (id bigint PRIMARY KEY, name text NOT NULL, extra json);
CREATE TABLE points (id bigint PRIMARY KEY, name text NOT NULL, vector json NOT NULL);
INSERT INTO things VALUES (1, 'one', '{}');
"""

INDEXES = """
[indexes.things]
uid = "{index}-things"
table = "public.things"
primary_key = "id"
hook = "hooks:shout"
fields = { name = "text", extra = "json" }

[indexes.points]
uid = "{index}-points"
table = "public.points"
primary_key = "id"
hook = "hooks:embed"
fields = { name = "text", vector = { type = "json", omit = true } }
"""

HOOKS = """
import json


def shout(document, row):
    if row["name"] == "nonsense":
        return 7
    if row["name"] == "raise":
        raise KeyError("a secret from the row")
    return {**document, "loud": row["name"].upper()}


def embed(document, row):
    return {**document, "_vectors": {"taste": json.loads(row["vector"])}}
"""

PAIRS = (
    Pair("things", "SELECT * FROM things", lambda row: {**row, "loud": row["name"].upper()}),
    Pair("points", "SELECT id, name FROM points", lambda row: row),
)


@pytest.fixture(scope="module")
def shared(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "hooks.py").write_text(HOOKS)
    site = Site(stack, folder, TABLES, INDEXES, PAIRS)
    try:
        site.set_up()
        # Only the server knows this embedder, so that the worker's own check lets wrong dimensions pass.
        with site.meilisearch() as client:
            settings = {"embedders": {"taste": {"source": "userProvided", "dimensions": 3}}}
            done = site.task(client.patch(f"/indexes/{site.uid('points')}/settings", json=settings))
            assert done["status"] == "succeeded", done
        yield site
    finally:
        site.remove()


@pytest.fixture
def site(shared: Site) -> Iterator[Site]:
    yield shared
    shared.stop_workers()


def open_failures(site: Site, index: str) -> list[dict[str, Any]]:
    return [failure for failure in site.failures() if failure["index_name"] == index and failure["status"] == "open"]


def test_poison_among_five_thousand_costs_one_document(site: Site) -> None:
    """The server refuses the whole merged batch because of one vector. Exactly that document is recorded, its dead letter is the
    record as it came, all neighbours are applied; a later change that mends it closes the failure."""
    site.execute(
        "INSERT INTO points SELECT i, 'point ' || i, CASE i WHEN 2500 THEN '[1, 2]' ELSE '[1, 2, 3]' END::json"
        " FROM generate_series(1, 5000) AS i"
    )
    worker = site.worker()
    site.wait_equal(120, except_documents={"points": {2500}})

    (failure,) = open_failures(site, "points")
    assert (failure["document_id"], failure["reason_class"]) == ("2500", "rejected")
    assert "dimension" in f"{failure['code']} {failure['message']}"
    assert 2500 not in {document["id"] for document in site.documents("points")}
    (letter,) = [letter for letter in site.dead_letters() if dict(letter.headers())["sync_worker.index"] == b"points"]
    assert (letter.partition(), letter.offset()) == (failure["dlq_partition"], failure["dlq_offset"])
    (original,) = [one for one in site.records(site.topic("public.points")) if one.offset() == failure["offset"]]
    assert json.loads(original.key()) == {"id": 2500}
    assert (letter.key(), letter.value()) == (original.key(), original.value())
    assert letter.headers()[: len(original.headers() or [])] == (original.headers() or [])
    assert worker.metric("sync_worker_dead_letters_total", index="points") == 1

    site.execute("UPDATE points SET vector = '[1, 2, 4]' WHERE id = 2500")
    site.wait_equal()
    (failure,) = [failure for failure in site.failures() if failure["index_name"] == "points"]
    assert failure["status"] == "superseded"
    assert worker.ready()


def envelope(row: dict[str, Any] | None, *, op: str = "c", table: str = "things", **changes: Any) -> bytes:
    source = {"schema": "public", "table": table, "lsn": 1, "ts_ms": 1_700_000_000_000, "snapshot": "false", "txId": 1}
    return json.dumps({"before": None, "after": row, "source": source, "op": op, "ts_ms": 1_700_000_000_000, **changes}).encode()


def test_what_is_no_event_of_debezium_is_dead_lettered_and_the_stream_goes_on(site: Site) -> None:
    """Another producer writes nonsense to the topic: each record is dead-lettered once, as it came, with class, reason and
    position, and no index changes because of it."""
    site.worker()
    site.wait_equal(except_documents={"points": {2500}})
    row = {"id": 900, "name": "x", "extra": "{}"}
    key = b'{"id": 900}'
    records: dict[str, tuple[bytes | None, bytes | None]] = {
        "malformed JSON": (key, b'{"before": null, "after"'),
        "bytes that are no UTF-8": (key, b"\xff\xfe\x00"),
        "an empty value": (key, b""),
        "a list": (key, b"[1, 2]"),
        "no envelope": (key, b'{"id": 900, "name": "x"}'),
        "an envelope of something else": (key, envelope(row, op="x")),
        "a change without its row": (key, envelope(None)),
        "no key": (None, envelope(row)),
        "a key of other columns": (b'{"other": 900}', envelope(row)),
        "a key that is no JSON": (b"900 }", envelope(row)),
        "a key that is null": (b'{"id": null}', envelope(row)),
        "a number beyond a double": (key, envelope(row).replace(b'"x"', b"1e400")),
        "half a surrogate pair": (key, envelope({**row, "name": "\ud800"})),
        "nested deeper than 127": (key, envelope({**row, "extra": "[" * 128 + "]" * 128})),
        "nested deeper than any parser goes": (key, b"[" * 200_000 + b"]" * 200_000),
        "a number beyond a double in json": (key, envelope({**row, "extra": '{"a": 1e400}'})),
        "half a surrogate pair in json": (key, envelope({**row, "extra": '{"a": "\\ud800"}'})),
        "a missing column": (key, envelope({"id": 900, "name": "x"})),
        "a value of another type": (key, envelope({**row, "name": ["x"]})),
        "a hook that raises": (key, envelope({**row, "name": "raise"})),
        "a hook that returns nonsense": (key, envelope({**row, "name": "nonsense"})),
    }
    topic = site.topic("public.things")
    start = site.positions()[f"{topic}/0"][1]
    site.produce(topic, list(records.values()))
    site.execute("INSERT INTO things VALUES (2, 'two', '{}')")
    site.wait_equal(except_documents={"points": {2500}})

    offsets = {start + number: what for number, what in enumerate(records)}
    failures = {failure["offset"]: failure for failure in open_failures(site, "things")}
    assert {what for offset, what in offsets.items() if offset not in failures} == set(), "not recorded"
    assert failures.keys() == offsets.keys()
    letters = {int(dict(letter.headers())["__connect.errors.offset"]): letter for letter in site.dead_letters()
               if dict(letter.headers())["sync_worker.index"] == b"things"}  # fmt: skip
    for offset, what in offsets.items():
        failure, letter, original = failures[offset], letters[offset], records[what]
        assert failure["reason_class"] in ("decode", "projection", "contract", "rejected"), what
        assert failure["code"], what
        assert failure["message"], what
        assert (failure["topic"], failure["partition"]) == (topic, 0), what
        assert (letter.key(), letter.value()) == original, what
        assert letter.headers()[0] == ("origin", b"elsewhere"), what
        assert "secret" not in failure["message"], "a row's value in a failure"
    assert site.findings() == []


def test_rows_that_no_index_can_hold_are_dead_lettered_and_mended_by_their_next_change(site: Site) -> None:
    """The same from the database itself, where text of type json may be anything that parses; a later change supersedes it."""
    site.worker()
    bad = {
        101: "[" * 128 + "]" * 128,
        102: '{"a": 1e400}',
        103: r'{"a": "\ud800"}',
        104: "36893488147419103232",
    }
    for number, extra in bad.items():
        site.execute(f"INSERT INTO things VALUES ({number}, 'bad', '{extra}')")
    site.execute("INSERT INTO things VALUES (105, 'raise', '{}'), (106, 'good', '{}')")
    site.wait_equal(except_documents={"things": {*bad, 105}, "points": {2500}})
    assert {failure["document_id"] for failure in open_failures(site, "things")} >= {"101", "102", "103", "104", "105"}
    assert not {document["id"] for document in site.documents("things")} & {*bad, 105}

    site.execute(
        "UPDATE things SET extra = '{}', name = 'good' WHERE id BETWEEN 101 AND 104", "DELETE FROM things WHERE id = 105"
    )
    site.wait_equal(except_documents={"points": {2500}})

    def closed() -> bool:
        mine = [failure for failure in site.failures() if failure["document_id"] in {"101", "102", "103", "104", "105"}]
        return {failure["status"] for failure in mine} == {"superseded"}

    eventually(closed, 20, lambda: f"{open_failures(site, 'things')}")
