"""What the headers promise about key changes and restarts of the connector."""

from __future__ import annotations

from debezium_event import event, record

from sync_worker.change.header import answered_key, promised_key, run_id


def test_a_delete_names_the_key_to_come_and_the_create_the_key_that_was() -> None:
    gone = record(event("d"), headers=[("__debezium.newkey", b'{"id":-21575}'), ("__debezium.context.runId", b"run-1")])
    came = record(event("c", {"id": 2}), headers=[("__debezium.oldkey", b'{"schema":{"type":"struct"},"payload":{"id":7}}')])

    assert (promised_key(gone), answered_key(gone), run_id(gone)) == ({"id": -21575}, None, "run-1")
    assert (promised_key(came), answered_key(came), run_id(came)) == (None, {"id": 7}, None)


def test_a_header_that_is_not_json_promises_nothing() -> None:
    assert promised_key(record(None, headers=[("__debezium.newkey", b"\xff")])) is None
