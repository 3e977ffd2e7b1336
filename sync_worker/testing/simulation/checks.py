"""What must hold after every step, and at the end.

The simulated connector writes each event's offset into the row (`at`), so that it can be told which change a document shows.
A document that was read from the source bears none: then it counts as the newest change of its key that the write covered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync_worker.batch.metadata import WriteMetadata, parse_metadata
from sync_worker.change.model import Record, Row, TopicPartition
from sync_worker.change.unavailable import PLACEHOLDER
from sync_worker.failure.model import Failure, FailureStatus
from sync_worker.testing.meilisearch import tasks as made
from sync_worker.testing.memory_state import MemoryState
from sync_worker.testing.simulation import engine
from sync_worker.testing.simulation.broker import Coordinator
from sync_worker.testing.simulation.sink import NAMED, POISON, SHY, Server
from sync_worker.testing.simulation.source import Connector, Source

GOOD, BAD, GONE = "good", "bad", "gone"
_UNSETTLED = (FailureStatus.OPEN, FailureStatus.RETRYING)


@dataclass(frozen=True, slots=True)
class Told:
    """One record of the log.

    Attributes:
        key: None for a clear.
        kind: good, bad (no index can take the row), gone, shy, poison or named.
        whole: it says all; else the row may be read from the source, as it is by then.
        version: rises with every change of the source; -1 where there is no row.
    """

    key: int | None
    kind: str
    whole: bool
    version: int


@dataclass(frozen=True, slots=True)
class Target:
    """One index, as far as the checks know it."""

    name: str
    uid: str
    table: str


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a task makes of one document; `read` where its row came from the source and not from a record."""

    offset: int
    written: WriteMetadata
    read: bool


def kind_of(row: Row | None) -> str:
    """What will become of a row's document."""
    if row is None:
        return GONE
    if not isinstance(row["n"], int):
        return BAD
    name = str(row["name"])
    return name if name in (POISON, NAMED, SHY) else GOOD


def _version(row: Mapping[str, Any] | None) -> int:
    return -1 if row is None else int(str(row["n"]).removeprefix("bad-"))


class Checks:
    """Knows everything that happened in one run. `problem` is the first thing that must not be."""

    def __init__(self, targets: Sequence[Target], source: Source, state: MemoryState, server: Server, group: Coordinator) -> None:
        self.connector: Connector
        self.problem = ""
        self.sometimes: Counter[str] = Counter()
        self.causes: set[str] = set()
        self.letters: set[tuple[str, TopicPartition, int, str | None]] = set()
        self.relaxed = False
        self.ghosts_allowed = False
        self._targets = targets
        self._source = source
        self._state = state
        self._server = server
        self._group = group
        self._log: dict[TopicPartition, dict[int, Told]] = {}
        self._of_key: dict[tuple[str, int], list[int]] = {}
        self._clears: dict[str, list[int]] = {}
        self._shown: dict[tuple[str, int], int] = {}
        self._late: set[str] = set()
        self._lost: set[str] = set()
        self._unanswered: dict[str, str] = {}
        self._owed: dict[int, tuple[str | None, set[int] | None]] = {}
        self._accepted: dict[str, tuple[made.Task, WriteMetadata]] = {}
        self._aged: dict[tuple[str, int], int] = {}
        self._shown_late: set[tuple[str, int]] = set()
        self._early: set[tuple[str, int]] = set()
        self._read: set[tuple[str, int]] = set()

    def fail(self, what: str) -> None:
        self.problem = self.problem or what

    # What happened

    def told(self, place: TopicPartition, offset: int, operation: str, key: int | None, row: Row | None) -> None:
        """The connector appends a record."""
        table = place.topic.removeprefix("app.")
        engine.say("log", f"{table}:{place.partition}@{offset}", operation, key, row)
        log = self._log.setdefault(place, {})
        whole = operation != "d" if row is None else row["big"] != PLACEHOLDER and operation != "r"
        log[offset] = Told(key, "clear" if operation == "t" else kind_of(row), whole, _version(row))
        if key is None:
            self._clears.setdefault(table, []).append(offset)
            if self.connector.partitions(table) > 1:
                # Its place among the partitions is unknown: the finding says so, and a fill mends it.
                self.causes.add("truncate over partitions")
                self.forget()
        else:
            self._of_key.setdefault((table, key), []).append(offset)

    def lost(self, metadata: str, *, only_the_answer: bool) -> None:
        """This write's request, or only its answer, is lost."""
        written = parse_metadata(metadata)
        engine.say("lost", metadata)
        if written is not None:
            self._lost.add(written.nonce)
            if only_the_answer:
                self._unanswered[written.worker] = written.nonce

    def registered(self, task: made.Task) -> None:
        """The server accepted a task."""
        written = parse_metadata(task.custom_metadata)
        if written is None:
            return
        engine.say("accepted", task.uid, _brief(task), f"(group is at {self._group.generation})")
        self._must_not_be_sent_again(task, written)
        if isinstance(task.content, made.Clear):
            self.causes.add("clear")
        old = written.generation < self._group.generation
        if old or written.nonce in self._lost:
            self._late.add(written.nonce)
            self._owed[task.uid] = (task.index_uid, _keys(task))
            self.sometimes["a zombie's write arrives" if old else "a lost request's write arrives"] += 1
            if isinstance(task.content, made.Clear):
                self.causes.add("late clear")
                self.sometimes["a late clear arrives"] += 1

    def _must_not_be_sent_again(self, task: made.Task, written: WriteMetadata) -> None:
        """The next write after a lost answer is not the same one while its task lives (invariant 6)."""
        self._accepted[written.nonce] = (task, written)
        if written.nonce in self._lost:
            return  # it may have been sent before
        nonce = self._unanswered.get(written.worker)
        if nonce is None or nonce == written.nonce or nonce not in self._accepted:
            return
        before, told = self._accepted[nonce]
        if before.index_uid != task.index_uid:
            return
        del self._unanswered[written.worker]
        same = (told.kind, told.generation, told.ranges) == (written.kind, written.generation, written.ranges)
        lives = self._server.core.state.tasks.get(before.uid) is before and before.status in (
            "enqueued",
            "processing",
            "succeeded",
        )
        if same and lives and _brief_content(before) == _brief_content(task) and not self.relaxed and not self._undoes(task):
            self.fail(
                f"task {before.uid} lives, its answer was lost, and {written.worker} sent the same again as task {task.uid}"
            )

    def _undoes(self, task: made.Task) -> bool:
        """Whether it writes what a late write touched: that may well be what was sent before. Each is undone once."""
        mine = _keys(task) or set()
        for uid, (index_uid, keys) in self._owed.items():
            if index_uid == task.index_uid and (keys is None or mine <= keys):
                del self._owed[uid]
                return True
        return False

    def forget(self) -> None:
        """The server was restored, or the log lost events: nobody is to blame until an operator has filled the index again."""
        self.relaxed = self.ghosts_allowed = True

    def topic_is_new(self, topic: str) -> None:
        """Its log starts again from nothing."""
        table = topic.removeprefix("app.")
        self._log = {place: log for place, log in self._log.items() if place.topic != topic}
        self._of_key = {known: offsets for known, offsets in self._of_key.items() if known[0] != table}
        self._clears.pop(table, None)

    # The index

    def processed(self, tasks: Sequence[made.Task]) -> None:
        """The server closed a batch."""
        for task in tasks:
            engine.say("batch", task.batch_uid, "task", task.uid, task.status, task.error["code"] if task.error else "")
        self._notice_company(tasks)
        writes: dict[tuple[str, int], list[_Shown]] = {}
        for task in tasks:
            written = parse_metadata(task.custom_metadata)
            target = next((target for target in self._targets if target.uid == task.index_uid), None)
            if written is None or target is None or task.status != "succeeded":
                continue
            self._read.clear()
            for key, offset in self._effect(task, target, written):
                document = (target.uid, key)
                writes.setdefault(document, []).append(_Shown(offset, written, document in self._read))
        for document, shown in writes.items():
            # Of one batch only the last is seen; what it undid of the same batch was applied all the same, and must come back.
            newest = max(shown[:-1], key=lambda write: write.offset, default=shown[-1])
            if newest.offset > max(shown[-1].offset, self._shown.get(document, -1)):
                self._shows(document, newest)
            self._shows(document, shown[-1])

    def _effect(self, task: made.Task, target: Target, written: WriteMetadata) -> list[tuple[int, int]]:
        content = task.content
        if isinstance(content, made.Clear):
            low = min(low for low, _ in written.ranges.values())
            return [(key, low) for uid, key in list(self._shown) if uid == target.uid]
        if isinstance(content, made.Addition):
            return [
                (key, at if isinstance(at := row.get("at"), int) else self._read_at(target, key, row))
                for row in (document.fields for document in content.documents)
                if isinstance(key := row.get("id"), int)
            ]
        if isinstance(content, made.Deletion):
            return [(int(name), self._newest(target, int(name), written)) for name in content.ids if name.isdigit()]
        return []

    def _newest(self, target: Target, key: int, written: WriteMetadata) -> int:
        place = self.connector.place(target.table, key)
        high, log = written.ranges.get(place, (-1, -1))[1], self._log.get(place, {})
        known = [
            offset for offset in self._of_key.get((target.table, key), []) if log[offset].kind != BAD or not log[offset].whole
        ]
        if place not in written.ranges and key not in self._source.tables[target.table]:
            high = max(known, default=-1)  # a deletion because the source has no such row now
        return max((offset for offset in known + self._clears.get(target.table, []) if offset <= high), default=-1)

    def _read_at(self, target: Target, key: int, row: Mapping[str, Any]) -> int:
        """The newest change that a row can show that was read from the source."""
        log = self._log.get(self.connector.place(target.table, key), {})
        self._read.add((target.uid, key))
        known = [
            offset for offset in self._of_key.get((target.table, key), []) if log[offset].kind != BAD or not log[offset].whole
        ]
        newest = max((offset for offset in known if log[offset].version <= _version(row)), default=-1)
        if newest >= 0 and log[newest].version == _version(row):
            return newest
        # Its change is not told yet, and so comes behind every TRUNCATE that is.
        return max([newest, *self._clears.get(target.table, [])])

    def _shows(self, document: tuple[str, int], shown: _Shown) -> None:
        offset, written = shown.offset, shown.written
        before = self._shown.get(document, -1)
        self._shown[document] = offset
        came_early, came_late = document in self._early, document in self._shown_late
        high = max(high for _, high in written.ranges.values())
        (self._early.add if offset > high or shown.read else self._early.discard)(document)
        (self._shown_late.add if written.nonce in self._late else self._shown_late.discard)(document)
        if offset >= before:
            if offset >= self._aged.get(document, offset + 1):
                del self._aged[document]
                self.sometimes["an older document heals"] += 1
            return
        self._aged[document] = max(before, self._aged.get(document, -1))
        self.sometimes["an older document is shown"] += 1
        if written.kind == "clear":
            # Read again after a restart. It can't be one task with what follows it, so the index is empty for a moment.
            self.sometimes["a TRUNCATE that was read again empties the index"] += 1
        elif came_early:
            # A row that had to be read from the source was newer than the change that asked for it; what lies between follows.
            self.sometimes["a row read from the source is ahead of the log"] += 1
        elif came_late:
            # A zombie was ahead of the owner, who goes on and comes by there again.
            self.sometimes["an owner writes below what a zombie wrote"] += 1
        elif written.nonce not in self._late and not self.relaxed:
            self.fail(
                f"document {document} showed offset {before} and now shows {offset}: {written.worker} wrote it in generation "
                f"{written.generation}, was not late and lost no answer"
            )

    def _notice_company(self, tasks: Sequence[made.Task]) -> None:
        written = [parse_metadata(task.custom_metadata) for task in tasks]
        failed = any(task.status == "failed" for task in tasks)
        if len({w.worker for w in written if w is not None}) > 1:
            self.sometimes["tasks of two workers merge" + (" and fail" if failed else "")] += 1
        if failed and len(tasks) > 1:
            self.sometimes["a merged batch fails as a whole"] += 1
        if failed and tasks[0].index_uid in {target.uid for target in self._targets}:
            waiting = (task for task in self._server.core.state.tasks.values() if task.status == "enqueued")
            if any(task.index_uid == tasks[0].index_uid for task in waiting):
                self.sometimes["a batch fails while later ones wait"] += 1

    # Progress

    def acknowledged(self, place: TopicPartition, next_offset: int, delivered: int) -> None:
        """A worker hands an offset over for commit (invariant 1)."""
        engine.say("acknowledged", f"{place.topic}:{place.partition}", next_offset)
        if self.relaxed:
            return
        table = place.topic.removeprefix("app.")
        for target in self._targets:
            if target.table == table:
                self._look_below(place, next_offset, delivered, target)

    def _look_below(self, place: TopicPartition, next_offset: int, delivered: int, target: Target) -> None:
        newest: dict[int, int] = {}
        for offset, told in self._log.get(place, {}).items():
            if offset < next_offset and told.key is not None:
                newest[told.key] = max(offset, newest.get(told.key, -1))
        for key, offset in newest.items():
            document = (target.uid, key)
            clear = max((c for c in self._clears.get(target.table, []) if c < next_offset), default=-1)
            if self._shown.get(document, -1) >= offset or document in self._aged or document in self._early or clear > offset:
                continue
            if any(next_offset <= o < delivered for o in self._of_key[target.table, key]):
                continue  # superseded by a change that is known, and will be read again should this worker end
            later = [o for o in self._of_key[target.table, key] if o >= offset]
            recorded = [o for o in later if self._is_recorded(target, place, o)]
            if recorded:
                self.sometimes["a recorded failure is acknowledged"] += 1
                continue
            if any(c > offset for c in self._clears.get(target.table, [])) and self._shown.get(document) is None:
                continue  # superseded by a later clear of the same flush, and never was there
            self.fail(
                f"{place.topic}:{place.partition} acknowledged up to {next_offset}, but document {document} shows "
                f"{self._shown.get(document)} and its change at {offset} is neither applied nor recorded"
            )

    def _is_recorded(self, target: Target, place: TopicPartition, offset: int) -> bool:
        letter = (target.name, place, offset, None) in self.letters
        rows = [key for key in self._state.failed if key[1:] == (place, offset, target.name, None)]
        return letter and bool(rows)

    def dead_lettered(self, failure: Failure, record: Record) -> None:
        place = (failure.index, failure.partition, failure.offset, failure.request)
        engine.say("dead letter", failure.index, failure.document_id, failure.offset, failure.code)
        if place in self.letters:
            self.sometimes["a dead letter is sent twice"] += 1
        self.letters.add(place)
        if failure.request is not None:
            self.sometimes["a row that was read on request is refused"] += 1
            if record.key != failure.request.encode():
                self.fail(f"the dead letter of the row {failure.request} has the key {record.key!r}")
            if not self._was_bad(failure, -1):
                self._innocent(failure)
            return
        told = self._log.get(failure.partition, {}).get(failure.offset)
        ours = told is not None and str(told.key) == failure.document_id  # not of a log that bore the name before
        # A change that does not say all is made of the row as it was when it was read, then or later.
        good = (
            told is not None and told.kind in (GOOD, GONE, "clear") and (told.whole or not self._was_bad(failure, told.version))
        )
        if good and (ours or not self.relaxed):
            self._innocent(failure)
        gone = failure.code == "record_removed" and "retention" in self.causes
        if record.offset != failure.offset or (record.value is None and not gone and not self.relaxed):
            self.fail(f"the dead letter of {failure.offset} holds record {record.offset} without its value")

    def _was_bad(self, failure: Failure, since: int) -> bool:
        """Whether the row was one that an index or the server refuses, in this version of the source or a later one."""
        table = next(target.table for target in self._targets if target.name == failure.index)
        rows = [event.row for event in self._source.wal if event.table == table and event.row is not None]
        return any(str(row["id"]) == failure.document_id and _version(row) >= since and kind_of(row) != GOOD for row in rows)

    def _innocent(self, failure: Failure) -> None:
        self.fail(f"innocent: {failure.index} {failure.document_id} at {failure.offset} was dead-lettered: {failure.message}")

    # The end

    def at_the_end(self) -> None:
        """Every row equals its document or has an open failure that is its newest change; no ghost."""
        kinds = {finding.kind for finding in self._state.found}
        was_read = self.causes.isdisjoint(("retention", "topic made anew"))
        if "truncate over partitions" in self.causes and "truncate-over-partitions" not in kinds and was_read:
            self.fail("a TRUNCATE came over several partitions, and no finding says so")
        for target in self._targets:
            rows = self._source.tables[target.table]
            index = self._server.core.state.indexes[target.uid]
            documents: dict[str, Mapping[str, Any]] = {name: stored.fields for name, stored in index.documents.items()}
            for key in {int(name) for name in documents if name.isdigit()} | rows.keys() | self._known(target.table):
                self._look_at_row(target, key, rows.get(key), documents.get(str(key)))

    def _known(self, table: str) -> set[int]:
        return {key for known, key in self._of_key if known == table}

    def _look_at_row(self, target: Target, key: int, row: Row | None, document: Mapping[str, Any] | None) -> None:
        place = self.connector.place(target.table, key)
        newest = max(self._of_key.get((target.table, key), [-1]))
        open_here = [
            failed.failure
            for failed in self._state.failed.values()
            if failed.failure.index == target.name
            and failed.failure.document_id == str(key)
            and failed.failure.partition == place
            and failed.status in _UNSETTLED
        ]
        open_at = [failure.offset for failure in open_here]
        kind = kind_of(row)
        who = f"{target.name} {key}"
        if kind == GONE:
            if document is not None and not self.ghosts_allowed:
                self.fail(f"ghost: {who} shows {dict(document)}, its row is gone (newest change {newest})")
            elif open_at and not self.relaxed:
                self.fail(f"{who}: its row is gone, and failures at {open_at} are open (newest change {newest})")
            return
        assert row is not None
        equal = document is not None and all(document.get(column) == value for column, value in row.items())
        if kind == GOOD or (kind == SHY and not open_at):
            if not equal:
                self.fail(f"{who} shows {document and dict(document)}, its row is {row} (newest change {newest}, open {open_at})")
            elif open_at:
                self.fail(f"{who} equals its row, and failures at {open_at} are open (newest change {newest})")
        elif newest not in open_at and not any(failed.request is not None and failed.offset >= newest for failed in open_here):
            self.fail(f"{who}: its newest change {newest} is {kind}, and open failures are at {open_at}")


def _keys(task: made.Task) -> set[int] | None:
    """Keys of the documents that it touches; None for all."""
    content = task.content
    if isinstance(content, made.Addition):
        return {key for document in content.documents if isinstance(key := document.fields.get("id"), int)}
    return {int(name) for name in content.ids if name.isdigit()} if isinstance(content, made.Deletion) else None


def _brief_content(task: made.Task) -> object:
    content = task.content
    if isinstance(content, made.Addition):
        return {document.fields.get("id"): document.fields.get("at") for document in content.documents}
    return f"delete {content.ids}" if isinstance(content, made.Deletion) else "clear"


def _brief(task: made.Task) -> str:
    """What a task does, in a line."""
    written, what = parse_metadata(task.custom_metadata), _brief_content(task)
    origin = f"{written.worker} gen {written.generation} {[*written.ranges.values()]} {written.nonce[:4]}" if written else ""
    return f"{task.index_uid} {what} {origin}"
