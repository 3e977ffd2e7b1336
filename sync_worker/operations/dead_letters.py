"""The dead-letter topic: looking at it, making the table from it, carrying it elsewhere, and erasing one document's letters."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import orjson

from sync_worker.change.model import Record, StoredRecord, TopicPartition
from sync_worker.errors import SyncWorkerError
from sync_worker.failure.model import Failure, PayloadReference, ReasonClass
from sync_worker.operations.audit import audited
from sync_worker.operations.books import Books
from sync_worker.operations.failed import DeadLetterPlace, Payload, readable
from sync_worker.operations.report import report
from sync_worker.ports import FoundLetter, LetterTopic

FORMAT = 1
"""Of exported lines."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter. `reason` may hold a value of a row; the payload is there only where it was asked for.

    `request` is None where a record failed; else the key of the row that was read on request, as JSON.
    """

    place: DeadLetterPlace
    index: str
    document_id: str | None
    operation: str
    reason_class: ReasonClass
    code: str
    reason: str
    failed_at: float
    topic: str
    partition: int
    offset: int
    request: str | None
    payload: Payload | None


@report("dlq-tail")
@dataclass(frozen=True, slots=True)
class LettersTail:
    """The newest letters, oldest of them first.

    Attributes:
        others: records among them that are no letters of ours.
        next_offsets: partition → where to go on, for those that follow the topic.
    """

    topic: str
    letters: tuple[Letter, ...]
    others: int
    next_offsets: Mapping[str, int]


def _shown(found: FoundLetter, payload: bool) -> Letter | None:
    failure, record, place = found.failure, found.record, found.reference
    if failure is None or record is None:
        return None
    return Letter(
        place=DeadLetterPlace(place.topic, place.partition, place.offset),
        index=failure.index,
        document_id=failure.document_id,
        operation=failure.operation,
        reason_class=failure.reason_class,
        code=failure.code,
        reason=failure.message,
        failed_at=failure.failed_at,
        topic=failure.partition.topic,
        partition=failure.partition.partition,
        offset=failure.offset,
        request=failure.request,
        payload=readable(record) if payload else None,
    )


async def tail(
    topic: LetterTopic,
    *,
    last: int = 20,
    index: str | None = None,
    payload: bool = False,
    after: Mapping[str, int] | None = None,
) -> LettersTail:
    """The newest `last` letters, or everything after an earlier answer's `next_offsets`. Raises LogUnavailable."""
    bounds = await topic.bounds()
    ends = {str(place.partition): end for place, (_, end) in bounds.items()}
    if after is None:
        bounds = {place: (max(start, end - last), end) for place, (start, end) in bounds.items()}
    else:
        bounds = {place: (max(start, after.get(str(place.partition), 0)), end) for place, (start, end) in bounds.items()}
    letters: list[Letter] = []
    others = 0
    async for chunk in topic.letters(bounds):
        for found in chunk:
            letter = _shown(found, payload)
            if letter is None:
                others += 1
            elif index is None or letter.index == index:
                letters.append(letter)
    letters.sort(key=lambda letter: (letter.failed_at, letter.place.offset))
    return LettersTail(topic.topic, tuple(letters if after is not None else letters[-last:] if last else ()), others, ends)


@report("dlq-rebuild-table")
@dataclass(frozen=True, slots=True)
class TableRebuilt:
    """What the table gained.

    Attributes:
        letters: letters of ours in the topic.
        others: records in it that are none.
        restored: rows that were missing and are there now, open.
    """

    topic: str
    letters: int
    others: int
    restored: int


async def rebuild_table(state: Books, topic: LetterTopic, *, actor: str) -> TableRebuilt:
    """Every failure that the topic tells of and the table does not have becomes an open row. Rows that are there stay.

    Whether a later change of its document was applied since is not known of such a row: a retry writes its row as it is now.
    Raises LogUnavailable, StateUnavailable; may be repeated.
    """
    letters = others = restored = 0
    async with audited(state, actor, "dlq rebuild-table", topic.topic, {}) as told:
        # One position's letters belong to one row, so they are told together.
        positions: dict[tuple[Any, ...], list[tuple[Failure, PayloadReference | None]]] = {}
        async for chunk in topic.letters(await topic.bounds()):
            for found in chunk:
                if found.failure is None:
                    others += 1
                    continue
                letters += 1
                failure = found.failure
                position = (failure.topic_id, failure.partition, failure.offset, failure.index, failure.request)
                positions.setdefault(position, []).append((failure, found.reference))
        restored = await _restore(state, positions.values())
        told["restored"] = restored
    return TableRebuilt(topic.topic, letters, others, restored)


async def _restore(state: Books, rows: Iterable[Sequence[tuple[Failure, PayloadReference | None]]]) -> int:
    restored = 0
    waiting: list[tuple[Failure, PayloadReference | None]] = []
    for row in rows:
        waiting += row
        if len(waiting) >= 1_000:
            restored += await state.restore(waiting, reason="made from its dead letter")
            waiting = []
    return restored + (await state.restore(waiting, reason="made from its dead letter") if waiting else 0)


# Carrying letters elsewhere


@report("dlq-export")
@dataclass(frozen=True, slots=True)
class LettersExported:
    """`others`: records that are no letters of ours, and were left out."""

    topic: str
    letters: int
    others: int


@report("dlq-import")
@dataclass(frozen=True, slots=True)
class LettersImported:
    """`present`: letters that the topic held already."""

    topic: str
    letters: int
    present: int
    restored: int


def to_line(failure: Failure, record: Record) -> bytes:
    """One letter as a line of NDJSON, without the line end."""

    def text(part: bytes | None) -> str | None:
        return None if part is None else base64.b64encode(part).decode()

    return orjson.dumps(
        {
            "format": FORMAT,
            "failure": asdict(failure) | {"partition": list(failure.partition)},
            "record": {
                "timestamp": record.timestamp,
                "key": text(record.key),
                "value": text(record.value),
                "headers": [[name, text(value)] for name, value in record.headers],
            },
        }
    )


def from_line(line: bytes, number: int) -> tuple[Failure, StoredRecord]:
    """Raises SyncWorkerError for a line that `to_line` did not make."""
    try:
        told = orjson.loads(line)
        if told["format"] != FORMAT:
            raise ValueError(f"format {told['format']}")
        topic, partition = told["failure"].pop("partition")
        reason = ReasonClass(told["failure"].pop("reason_class"))
        failure = Failure(**told["failure"], partition=TopicPartition(topic, partition), reason_class=reason)
        record = told["record"]
        stored = StoredRecord(
            topic,
            partition,
            failure.offset,
            record["timestamp"],
            _bytes(record["key"]),
            _bytes(record["value"]),
            tuple((name, _bytes(value) or b"") for name, value in record["headers"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SyncWorkerError(
            f"line {number} is no letter that `dlq export` wrote: {type(error).__name__}: {error}", remedy="nothing more was read"
        ) from error
    return failure, stored


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text, validate=True)


class Lines(Protocol):
    """Where exported lines go."""

    def write(self, data: bytes, /) -> object: ...


async def export_letters(state: Books, topic: LetterTopic, out: Lines, *, index: str | None, actor: str) -> LettersExported:
    """Write every letter as a line. They hold rows: the audit log says who took them. Raises LogUnavailable, StateUnavailable."""
    letters = others = 0
    async with audited(state, actor, "dlq export", index or topic.topic, {}) as told:
        async for chunk in topic.letters(await topic.bounds()):
            for found in chunk:
                if found.failure is None or found.record is None:
                    others += 1
                elif index is None or found.failure.index == index:
                    out.write(to_line(found.failure, found.record) + b"\n")
                    letters += 1
        told["letters"] = letters
    return LettersExported(topic.topic, letters, others)


async def import_letters(state: Books, topic: LetterTopic, lines: Iterable[bytes], *, actor: str) -> LettersImported:
    """Publish every letter that the topic does not hold, and restore its row. May be repeated.

    Raises SyncWorkerError for a line that is no letter; those before it are in. LogUnavailable, StateUnavailable.
    """
    letters = present = restored = 0
    async with audited(state, actor, "dlq import", topic.topic, {}) as told:
        known: set[bytes] = set()
        async for chunk in topic.letters(await topic.bounds()):
            known.update(_identity(found.failure) for found in chunk if found.failure is not None)
        batch: list[tuple[Failure, Record]] = []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            failure, record = from_line(line, number)
            if _identity(failure) in known:
                present += 1
                continue
            known.add(_identity(failure))
            batch.append((failure, record))
            if len(batch) >= 500:
                restored += await _publish(state, topic, batch)
                letters += len(batch)
                batch = []
        if batch:
            restored += await _publish(state, topic, batch)
            letters += len(batch)
        told |= {"letters": letters, "restored": restored}
    return LettersImported(topic.topic, letters, present, restored)


async def _publish(state: Books, topic: LetterTopic, batch: Sequence[tuple[Failure, Record]]) -> int:
    references = await topic.publish(batch)
    pairs = [(failure, reference) for (failure, _), reference in zip(batch, references, strict=True)]
    return await state.restore(pairs, reason="made from an imported dead letter")


def _identity(failure: Failure) -> bytes:
    """The same letter written twice is one."""
    told = (failure.topic_id, *failure.partition, failure.offset, failure.index, failure.request, repr(failure.failed_at))
    return hashlib.blake2b("\0".join(map(str, told)).encode(), digest_size=16).digest()


# Erasing


@report("dlq-erase")
@dataclass(frozen=True, slots=True)
class LettersErased:
    """What was erased of one document, and what remains of it.

    Attributes:
        letters: of this document, taken out of the topic.
        kept: letters and other records that were written again, behind the old ones.
        rows: of `failed_work`; their words and references are gone, open ones are discarded.
        came_meanwhile: letters of this document that came while it ran: run it again.
        remains: where bytes of the document may still be, one sentence each.
    """

    topic: str
    index: str
    document_id: str
    letters: int
    kept: int
    rows: int
    came_meanwhile: int
    remains: tuple[str, ...]


async def erase(state: Books, topic: LetterTopic, *, index: str, document_id: str, actor: str) -> LettersErased:
    """Take the payloads of one document's failures out of the topic and the table.

    A topic that is never compacted forgets only its beginning. So everything that is to stay is written once more, the rows are
    told its new place, and then the log is cut off before the copies. Interrupted anywhere it may be run again: a letter that is
    there twice is kept once.

    Raises LogUnavailable, StateUnavailable.
    """
    async with audited(state, actor, "dlq erase", f"{index} {document_id}", {}) as told:
        bounds = await topic.bounds()
        erased = kept = 0
        if await _holds(topic, bounds, index, document_id):
            erased, kept = await _rewrite(state, topic, bounds, index, document_id)
        rows = await state.erase(index, document_id, f"{actor}: its payload was erased")
        came = await _count(topic, index, document_id)
        told |= {"letters": erased, "kept": kept, "rows": rows, "came_meanwhile": came}
    remains = [
        f"the data topic of {index} still holds the document's changes until its own retention removes them",
        "the failures' rows keep the document id, positions and codes, and the audit log the document id",
        f"the document itself, where the index {index} and the source have it",
    ]
    if erased:
        remains.insert(
            0,
            "no consumer can read them any more, but the brokers delete the old segment files only at their next retention check "
            "(log.retention.check.interval.ms, five minutes by default) and log.segment.delete.delay.ms (a minute) after it",
        )
    return LettersErased(topic.topic, index, document_id, erased, kept, rows, came, tuple(remains))


def _of(found: FoundLetter, index: str, document_id: str) -> bool:
    return found.failure is not None and (found.failure.index, found.failure.document_id) == (index, document_id)


async def _count(topic: LetterTopic, index: str, document_id: str) -> int:
    count = 0
    async for chunk in topic.letters(await topic.bounds()):
        count += sum(_of(found, index, document_id) for found in chunk)
    return count


async def _holds(topic: LetterTopic, bounds: Mapping[TopicPartition, tuple[int, int]], index: str, document_id: str) -> bool:
    async for chunk in topic.letters(bounds):
        if any(_of(found, index, document_id) for found in chunk):
            return True
    return False


async def _rewrite(
    state: Books, topic: LetterTopic, bounds: Mapping[TopicPartition, tuple[int, int]], index: str, document_id: str
) -> tuple[int, int]:
    erased = kept = 0
    await topic.begin_segment()
    placed: dict[bytes, PayloadReference] = {}
    every_move: dict[PayloadReference, PayloadReference] = {}
    async for chunk in topic.letters(bounds):
        here: dict[PayloadReference, PayloadReference] = {}
        wanted: list[FoundLetter] = []
        for found in chunk:
            if _of(found, index, document_id):
                erased += 1
            elif found.failure is None or _identity(found.failure) not in placed:
                wanted.append(found)
                if found.failure is not None:
                    placed[_identity(found.failure)] = found.reference
        moved = dict(zip((f.reference for f in wanted), await topic.copy([f.raw for f in wanted]), strict=True))
        kept += len(wanted)
        for found in chunk:
            if found.failure is not None and not _of(found, index, document_id):
                identity = _identity(found.failure)
                placed[identity] = moved.get(placed[identity], placed[identity])
                here[found.reference] = placed[identity]
        await state.move_letters(here)
        every_move |= here
    await topic.delete_before({place: end for place, (_, end) in bounds.items()})
    # Once more: a worker may have stored a row for one of the old letters meanwhile.
    await state.move_letters(every_move)
    return erased, kept
