"""What comes through the topic of logical messages."""

from __future__ import annotations

import orjson
import pytest

from sync_worker.change.message import Message, logical_message, parse_lsn, shown_lsn
from sync_worker.change.model import StoredRecord

# As Debezium 3.7.0 wrote it with the connector template, parts that nobody reads left out.
EVENT = {
    "op": "m",
    "ts_ms": 1785154420417,
    "source": {"connector": "postgresql", "ts_ms": 1785154420400, "sequence": '["26616096","26616152"]', "lsn": 26616152},
    "message": {"prefix": "sync-worker.barrier", "content": "dG9rZW4="},
}


def record(value: object, **headers: bytes) -> StoredRecord:
    raw = value if isinstance(value, bytes) else orjson.dumps(value)
    return StoredRecord("app.message", 0, 7, 0, b'{"prefix":"sync-worker.barrier"}', raw, tuple(headers.items()))


def test_a_message_says_when_it_was_committed_and_where_it_stands() -> None:
    """With and without Kafka Connect's schema, and with the connector's run where the header is there."""
    wanted = Message("sync-worker.barrier", "token", (26616096, 26616152), 1785154420400, None)
    assert logical_message(record(EVENT)) == wanted
    assert logical_message(record({"schema": {}, "payload": EVENT})) == wanted
    raw = record(EVENT, **{"__debezium.context.runId": b'"run-7"'})
    assert (found := logical_message(raw)) is not None
    assert found.run_id == "run-7"


def test_the_first_message_of_a_connector_has_no_commit_before_it() -> None:
    """Debezium leaves the first part of the sequence null."""
    event = EVENT | {"source": EVENT["source"] | {"sequence": '[null,"5"]', "lsn": 5}}  # type: ignore[operator]
    assert (found := logical_message(record(event))) is not None
    assert found.order == (0, 5)


@pytest.mark.parametrize(
    "value",
    [b"", b"null", b"[]", b"not json", b'"text"', {"op": "m"}, EVENT | {"op": "c"}, EVENT | {"message": None},
     EVENT | {"message": {"prefix": "p", "content": "not base64!"}}, EVENT | {"source": {"lsn": None, "ts_ms": 1}},
     {"payload": None}],
)  # fmt: skip
def test_what_somebody_else_wrote_there_is_passed_over(value: object) -> None:
    """A stranger's record must not end the reading."""
    assert logical_message(record(value)) is None


def test_an_lsn_is_read_as_postgresql_writes_it() -> None:
    """Both ways, and as a number."""
    assert parse_lsn("16/B374D848") == 0x16B374D848
    assert shown_lsn(0x16B374D848) == "16/B374D848"
    assert parse_lsn(" 0/1A ") == 26
    assert parse_lsn("26") == 26


@pytest.mark.parametrize("text", ["", "16/", "/1", "x/1", "1/2/3", "123456789/1", "pg"])
def test_what_is_no_lsn_is_refused(text: str) -> None:
    """Rather than taken for a low position, which would pass at once."""
    with pytest.raises(ValueError, match=r"LSN|invalid literal"):
        parse_lsn(text)
