"""What each kind of Debezium event becomes, and that whatever else comes becomes a DecodeError."""

from __future__ import annotations

import orjson
import pytest
from debezium_event import event, record
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_worker.change.decode import decode
from sync_worker.change.model import Change, Operation
from sync_worker.errors import DecodeError

SECRET = "a-private-value"


@pytest.mark.parametrize(("op", "operation"), [("c", Operation.CREATE), ("u", Operation.UPDATE), ("r", Operation.READ)])
def test_a_row_arrives_with_its_key_table_and_commit_time(op: str, operation: Operation) -> None:
    """Create, update and read carry the row after the change, and the transaction that made it."""
    change = decode(record(event(op, {"id": 1, "name": "Riga"})))

    assert change == Change(
        operation, "public.cities", {"id": 1}, {"id": 1, "name": "Riga"}, None, (), 1_760_000_000_000, None, transaction=756
    )


def test_an_event_that_carries_its_schema_decodes_to_the_same() -> None:
    """`schemas.enable` makes no difference, neither in the key nor in the value."""
    plain = event("c", {"id": 1, "name": "Riga"})

    assert decode(
        record({"schema": {"type": "struct"}, "payload": plain}, {"schema": {"type": "struct"}, "payload": {"id": 1}})
    ) == (decode(record(plain, {"id": 1})))


def test_key_columns_called_schema_and_payload_are_columns() -> None:
    """A key that only looks like one with a schema is not unwrapped."""
    change = decode(record(event("c", {"schema": "a", "payload": "b"}), {"schema": "a", "payload": "b"}))

    assert change is not None
    assert change.key == {"schema": "a", "payload": "b"}


def test_of_a_delete_only_the_key_means_anything() -> None:
    """`before` of a delete holds empty texts for columns that were never empty: no row comes of it."""
    change = decode(record(event("d", before={"id": 1, "name": ""})))

    assert change is not None
    assert (change.operation, change.key, change.row) == (Operation.DELETE, {"id": 1}, None)


@pytest.mark.parametrize(
    "nothing",
    [
        record(None),
        record({"schema": None, "payload": None}),
    ],
    ids=["tombstone", "tombstone-with-schema"],
)
def test_nothing_happened(nothing: object) -> None:
    """Tombstones ask for nothing."""
    assert decode(nothing) is None  # type: ignore[arg-type]


def test_a_truncate_needs_no_key() -> None:
    """TRUNCATE concerns the table."""
    change = decode(record(event("t"), None))

    assert change is not None
    assert (change.operation, change.table, change.key, change.row) == (Operation.TRUNCATE, "public.cities", {}, None)


def test_a_logical_message_is_told_apart() -> None:
    """Heartbeats of ours and barriers' tokens come as messages without table or key columns."""
    value = event("m", schema="", table="")
    value["message"] = {"prefix": "sync-worker.canary", "content": "e30="}

    change = decode(record(value, {"prefix": "sync-worker.canary"}, topic="sync.message"))

    assert change is not None
    assert (change.operation, change.table, change.key) == (Operation.MESSAGE, "", {})


@pytest.mark.parametrize(("said", "kept"), [("false", None), (None, None), ("incremental", "incremental"), ("last", "last")])
def test_snapshot_is_none_for_a_streamed_change(said: str | None, kept: str | None) -> None:
    """Debezium says "false", or null where nulls are not replaced by defaults; both mean streamed."""
    change = decode(record(event("r", {"id": 1}, snapshot=said)))

    assert change is not None
    assert change.snapshot == kept


def test_without_a_commit_time_the_record_s_own_time_stands_in() -> None:
    change = decode(record(event("c", {"id": 1}, ts_ms=None)))

    assert change is not None
    assert change.source_ms == 1_759_999_999_000


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (record(b'{"op":"c",' + SECRET.encode()), "malformed_json"),
        (record(b""), "malformed_json"),
        (record(b'"' + b"\\ud800" + b'"'), "malformed_json"),
        (record([SECRET]), "not_an_object"),
        (record({"id": 1, "name": SECRET}), "not_an_envelope"),
        (record({"schema": {}, "payload": {"id": SECRET}}), "not_an_envelope"),
        (record({"op": "c", "after": {"id": SECRET}}), "not_an_envelope"),
        (record({**event("c", {"id": 1}), "source": {"ts_ms": 1}}), "not_an_envelope"),
        (record(event("x", {"id": SECRET})), "unknown_operation"),
        (record({**event("c", {"id": SECRET}), "op": 1}), "unknown_operation"),
        (record(event("c", {"id": SECRET}), None), "null_key"),
        (record(event("u", {"id": SECRET}), None), "null_key"),
        (record(event("r", {"id": SECRET}), b"null"), "null_key"),
        (record(event("d"), {"schema": None, "payload": None}), "null_key"),
        (record(event("c", {"id": 1}), {}), "null_key"),
        (record(event("c", {"id": 1}), b"{" + SECRET.encode()), "malformed_key"),
        (record(event("c", {"id": 1}), [SECRET]), "malformed_key"),
        (record(event("c", {"id": 1}), {"schema": {}, "payload": SECRET}), "malformed_key"),
        (record(event("c")), "row_missing"),
        (record(event("u", SECRET)), "row_missing"),
        (record(event("r", [SECRET])), "row_missing"),
    ],
)
def test_what_can_t_be_understood_is_refused_with_a_stable_code(bad: object, code: str) -> None:
    """Each is one dead letter; messages say what to do and hold no value."""
    with pytest.raises(DecodeError) as caught:
        decode(bad)  # type: ignore[arg-type]

    assert caught.value.code == code
    assert caught.value.remedy
    assert SECRET not in caught.value.message + caught.value.remedy


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(
    value=st.binary()
    | st.fixed_dictionaries(
        {}, optional={"op": st.sampled_from("curdtmx") | JSON, "source": JSON | st.just(event("c")["source"]), "after": JSON}
    ),
    key=st.none() | st.binary() | JSON,
)
def test_no_stranger_s_record_escapes_as_another_error(value: object, key: object) -> None:
    """Whatever the bytes: a change, nothing, or a DecodeError. The stream goes on."""
    try:
        change = decode(record(value, key if key is None or isinstance(key, bytes) else orjson.dumps(key)))
    except DecodeError:
        return
    assert change is None or isinstance(change, Change)
