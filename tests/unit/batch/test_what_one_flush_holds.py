"""Coalescing, splitting and metadata: what goes out together, and what is said of it."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_worker.batch.coalesce import ENTRY_OVERHEAD, SPAN_OVERHEAD, Batch, Entry
from sync_worker.batch.metadata import WriteMetadata, parse_metadata
from sync_worker.batch.payload import split_ids, split_lines
from sync_worker.change.model import Operation, TopicPartition
from sync_worker.progress.ledger import Ledger

P0, P1 = TopicPartition("t", 0), TopicPartition("t", 1)


def entry(line: bytes | None, offset: int, place: TopicPartition = P0) -> Entry:
    return Entry(line, place, offset, 0, Operation.UPDATE if line else Operation.DELETE)


def test_the_last_change_of_a_document_wins() -> None:
    """A delete over a write, a write over a delete: one entry an id, never in both sets (invariant 2)."""
    batch = Batch()
    batch.put("a", entry(b"1", 0))
    batch.put("a", entry(None, 1))
    batch.put("b", entry(None, 2))
    batch.put("b", entry(b"22", 3))
    assert list(batch.writes()) == [("b", b"22")]
    assert batch.deletes() == ["a"]
    assert batch.size == 2 * ENTRY_OVERHEAD + 2


def test_a_clear_supersedes_what_came_before_it() -> None:
    """What came before is gone, what comes after stays, and the ranges still cover both."""
    batch = Batch()
    batch.put("a", entry(b"1", 0))
    batch.cover(P0, 0, 0)
    batch.put_clear(entry(None, 1))
    batch.put("b", entry(b"22", 2))
    batch.cover(P0, 1, 2)
    assert list(batch.entries) == ["b"]
    assert batch.ranges == {P0: (0, 2)}
    assert batch.size == ENTRY_OVERHEAD + 2
    assert len(batch) == 2


def test_dropping_a_partition_leaves_the_others() -> None:
    """What belongs to somebody else now is neither written nor acknowledged."""
    batch = Batch()
    spans = [Ledger(P0, 0).take(0, 3), Ledger(P1, 0).take(0, 4)]
    batch.put("a", entry(b"1", 0, P0))
    batch.put("b", entry(b"1", 3, P1))
    batch.put_clear(entry(None, 2, P0))
    batch.put("c", entry(b"333", 3, P1))
    for span in spans:
        batch.add_span(span)
    batch.drop([P0])
    assert list(batch.entries) == ["c"]
    assert batch.clear is None
    assert batch.ranges == {P1: (0, 3)}
    assert batch.size == ENTRY_OVERHEAD + 3 + SPAN_OVERHEAD
    batch.release()
    assert [span.holders for span in spans] == [2, 1]


def test_a_batch_that_only_acknowledges_is_not_empty() -> None:
    """Everything in it was dropped or superseded: its spans are still to be let go."""
    batch = Batch()
    assert batch.empty
    batch.add_span(Ledger(P0, 0).take(0, 3))
    assert not batch.empty


@given(st.lists(st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.binary(min_size=1, max_size=9))), max_size=30))
def test_the_size_is_what_is_held(changes: list[tuple[str, bytes | None]]) -> None:
    """Memory is counted exactly whatever replaces whatever (invariant 7)."""
    batch = Batch()
    for offset, (document_id, line) in enumerate(changes):
        batch.put(document_id, entry(line, offset))
    assert batch.size == sum(ENTRY_OVERHEAD + len(held.line or b"") for held in batch.entries.values())
    assert {key: held.line for key, held in batch.entries.items()} == dict(changes)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=30), st.integers(1, 60))
def test_payloads_hold_every_line_once_and_stay_below_the_limit(lines: list[bytes], limit: int) -> None:
    """A line above the limit stands alone: only then may a payload be larger."""
    numbered = [(str(number), line) for number, line in enumerate(lines)]
    groups = list(split_lines(numbered, limit))
    assert [item for group in groups for item in group] == numbered
    for group in groups:
        assert len(group) == 1 or sum(len(line) + 1 for _, line in group) <= limit


@given(st.lists(st.text("abc", min_size=1, max_size=20), max_size=30), st.integers(1, 60))
def test_ids_are_split_alike(ids: list[str], limit: int) -> None:
    """A delete is split as a write is."""
    assert [document_id for group in split_ids(ids, limit) for document_id in group] == ids


@given(
    st.sampled_from(["clear", "write", "delete"]),
    st.text(),
    st.integers(0, 2**31),
    st.dictionaries(st.builds(TopicPartition, st.text(), st.integers(0, 9)), st.tuples(st.integers(0), st.integers(0))),
    st.text(),
)
def test_metadata_comes_back_as_it_went(
    kind: str, group: str, generation: int, ranges: dict[TopicPartition, tuple[int, int]], topic_id: str
) -> None:
    """Who wrote, in which generation, and which offsets of which log (protocol 5)."""
    ranges = {place: (low % 2**53, high % 2**53) for place, (low, high) in ranges.items()}
    written = WriteMetadata(kind, group, "run", generation, "nonce", ranges, topic_id)
    assert parse_metadata(written.encode()) == written


@pytest.mark.parametrize(("more", "topic_id"), [([], ""), (["id-1"], "id-1"), (["id-1", "of tomorrow"], "id-1")])
def test_metadata_of_another_version_is_ours_all_the_same(more: list[str], topic_id: str) -> None:
    """While workers are replaced one by one, neither version takes the other's writes for a stranger's."""
    written = parse_metadata(orjson.dumps(["sync-worker", "write", "g", "w", 1, "n", [["t", 0, 1, 2]], *more]).decode())
    assert written == WriteMetadata("write", "g", "w", 1, "n", {TopicPartition("t", 0): (1, 2)}, topic_id)


@pytest.mark.parametrize(
    "text", [None, "", "scratch", "{}", "[]", '["sync-worker"]', '["other","write","g","w",1,"n",[]]', "[1,2"]
)
def test_what_is_not_ours_is_not_taken_for_ours(text: str | None) -> None:
    """Anybody may send any metadata."""
    assert parse_metadata(text) is None


def test_spans_count_as_memory() -> None:
    """One document that changes all through an outage leaves one entry, but as many spans as changes (invariant 7)."""
    batch = Batch()
    place = TopicPartition("t", 0)
    ledger = Ledger(place, 0)
    for offset in range(1_000):
        batch.put("1", Entry(b"{}", place, offset, 0, Operation.UPDATE))
        batch.add_span(ledger.take(offset, offset + 1))

    assert batch.size > 1_000 * 200
    batch.drop([place])
    assert batch.size == 0
