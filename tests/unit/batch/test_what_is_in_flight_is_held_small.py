"""Packing: what is in flight takes little memory, and comes back unchanged where the server refuses it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sync_worker.batch.coalesce import ENTRY_OVERHEAD, Entry
from sync_worker.batch.packed import PackedEntries
from sync_worker.change.model import Operation, TopicPartition

_PLACES = st.sampled_from([TopicPartition("t", 0), TopicPartition("t", 1), TopicPartition("u", 0)])
_LINES = st.one_of(st.none(), st.text(min_size=1).map(lambda text: b'{"x":%s}' % str(text.encode()).encode()))
_ENTRIES = st.builds(
    Entry,
    _LINES,
    _PLACES,
    st.integers(0, 2**62),
    st.integers(-(2**40), 2**50),
    st.sampled_from(list(Operation)),
    st.none() | st.text(),
)


@given(st.dictionaries(st.from_regex(r"\A[A-Za-z0-9_-]{1,20}\Z"), _ENTRIES, min_size=1))
def test_what_was_packed_comes_back_as_it_was(entries: dict[str, Entry]) -> None:
    """Documents and deletions, in their order, with all that a dead letter says of them."""
    packed = PackedEntries(entries)
    packed.compress()
    assert packed.unpack() == entries
    assert list(packed.unpack()) == packed.document_ids() == list(entries)
    assert list(packed.source_ms) == [entry.source_ms for entry in entries.values()]
    assert len(packed) == len(entries)


def test_what_belongs_to_others_now_does_not_come_back() -> None:
    """A partition was revoked while it was in flight: isolation may not write its documents."""
    ours, theirs = TopicPartition("t", 0), TopicPartition("t", 1)
    entries = {str(number): Entry(b"{}", (ours, theirs)[number % 2], number, 0, Operation.CREATE) for number in range(6)}
    packed = PackedEntries(entries)
    packed.compress()
    packed.drop([theirs])
    assert list(packed.unpack()) == ["0", "2", "4"]


def test_a_whole_backlog_fits_in_flight() -> None:
    """A document of a few hundred bytes takes less than a quarter of what it takes unpacked."""
    line = b'{"id":%d,"name":"a name","country":"XY","population":%d,"other_names":["one","another","and another still"]}'
    entries = {
        str(number): Entry(line % (number, number * 7919), TopicPartition("t", 0), number, number, Operation.READ)
        for number in range(10_000)
    }
    packed = PackedEntries(entries)
    packed.compress()
    assert packed.size * 4 < sum(ENTRY_OVERHEAD + len(entry.line or b"") for entry in entries.values())
