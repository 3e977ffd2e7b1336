"""A dead letter holds the record and the failure, so that the table can be rebuilt from the topic."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sync_worker.adapters.kafka.letter import HEADER_ROOM, parse, to_headers
from sync_worker.change.model import StoredRecord, TopicPartition
from sync_worker.errors import DecodeError
from sync_worker.failure.model import Failure, ReasonClass

CITIES = TopicPartition("app.public.cities", 2)
FAILURE = Failure(
    index="cities",
    document_id="berlin",
    operation="update",
    reason_class=ReasonClass.REJECTED,
    code="invalid_document_geo_field",
    message="Could not find latitude – “x”",
    retryable=False,
    topic_id="tWewCA6dSiOJZqRc4HQDig",
    partition=CITIES,
    offset=2**40,
    source_ms=1_700_000_000_123,
    failed_at=1_700_000_000.123456,
)
RECORD = StoredRecord(*CITIES, FAILURE.offset, 1_700_000_000_000, b"key", b"value", (("a", b"1"), ("a", b"\xff"), ("b", b"")))


def letter(failure: Failure, record: StoredRecord) -> StoredRecord:
    return StoredRecord("letters", 0, 5, 1, record.key, record.value, to_headers(failure, record))


@pytest.mark.parametrize(
    "record",
    [RECORD, replace(RECORD, value=None), replace(RECORD, key=None, value=b""), replace(RECORD, key=b"", headers=())],
    ids=["whole", "tombstone", "empty value, no key", "empty key, no headers"],
)
@pytest.mark.parametrize(
    "failure",
    [FAILURE, replace(FAILURE, document_id=None, retryable=True), replace(FAILURE, request='{"id":"Zürich"}')],
    ids=["known", "unreadable", "asked for"],
)
def test_what_goes_in_comes_out(failure: Failure, record: StoredRecord) -> None:
    """Key, value, headers (twice the same name, bytes that are no text), position, time: all as they were; null is not empty."""
    assert parse(letter(failure, record)) == (failure, record)


def test_a_letter_about_a_letter_keeps_both() -> None:
    """A record that once was a letter has headers of ours: they are its own, the last ones are the failure's."""
    first = replace(letter(FAILURE, RECORD), topic=CITIES.topic, partition=CITIES.partition, offset=7)
    second = replace(FAILURE, offset=7, code="other")
    assert parse(letter(second, first)) == (second, replace(first, headers=tuple(first.headers)))


def test_long_words_are_cut_and_fit_the_room_for_headers() -> None:
    """Meilisearch may quote a whole document; the letter must stay under the topic's limit."""
    long = replace(FAILURE, message="é\x00\ud800" * 1_000_000, document_id="x" * 511)
    headers = to_headers(long, replace(RECORD, headers=()))
    assert sum(len(name) + len(value) + 10 for name, value in headers) < HEADER_ROOM
    told, _ = parse(letter(long, RECORD))
    assert len(told.message.encode()) <= 4096
    assert told.message.startswith("é\\x00\\ud800")


def test_tools_for_connects_dead_letters_find_the_position() -> None:
    """Kafka Connect's own names and forms, where it has them."""
    headers = dict(to_headers(FAILURE, RECORD))
    assert headers["__connect.errors.topic"] == b"app.public.cities"
    assert headers["__connect.errors.partition"] == b"2"
    assert headers["__connect.errors.offset"] == str(2**40).encode()
    assert headers["__connect.errors.exception.message"].decode() == FAILURE.message


@pytest.mark.parametrize(
    "spoil",
    [
        lambda record: replace(record, headers=()),
        lambda record: replace(record, headers=[h for h in record.headers if h[0] != "sync_worker.index"]),
        lambda record: replace(record, headers=[(n, b"many" if n.endswith("offset") else v) for n, v in record.headers]),
        lambda record: replace(record, headers=[(n, b"\xff" if n.endswith("code") else v) for n, v in record.headers]),
        lambda record: replace(record, headers=[(n, b"perhaps" if n.endswith("retryable") else v) for n, v in record.headers]),
        lambda record: replace(record, headers=[(n, b"new" if n.endswith("class") else v) for n, v in record.headers]),
        lambda record: replace(record, headers=[(n, None if n.endswith("code") else v) for n, v in record.headers]),
        lambda record: replace(record, value=None),
    ],
)
def test_a_record_that_is_no_letter_is_told_apart(spoil) -> None:  # type: ignore[no-untyped-def]
    """Somebody else may write to the topic: that is a decode error with the place, never a wrong row."""
    with pytest.raises(DecodeError, match="offset 5 is no dead letter") as refusal:
        parse(spoil(letter(FAILURE, RECORD)))
    assert refusal.value.code == "not_a_dead_letter"
