"""The dead-letter topic is the log of failures: the table comes from it, and one document's payloads can be taken out of it."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from sync_worker.adapters.state import StateDatabase
from sync_worker.errors import LogUnavailable, SyncWorkerError
from sync_worker.failure.model import Failure, FailureStatus, PayloadReference
from sync_worker.operations.audit import audit_log
from sync_worker.operations.dead_letters import LettersErased, erase, export_letters, import_letters, rebuild_table, tail

from .parts import Letters, failure, record


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[StateDatabase]:
    database = await StateDatabase.open(f"sqlite:///{tmp_path}/state.db")
    yield database
    await database.close()


@pytest.fixture
def letters() -> Letters:
    return Letters()


async def fail(state: StateDatabase | None, letters: Letters, told: Failure) -> PayloadReference:
    (reference,) = await letters.publish([(told, record(told.offset, name="somebody"))])
    if state is not None:
        await state.record_failures([told], [reference])
    return reference


async def test_tail_shows_the_newest_and_goes_on_from_there(letters: Letters) -> None:
    """Without payloads unless asked for; what is no letter is counted."""
    for offset in range(5):
        await fail(None, letters, failure(offset))
    report = await tail(letters, last=2)
    assert [letter.offset for letter in report.letters] == [3, 4]
    assert all(letter.payload is None for letter in report.letters)
    letters._append(None, b"stray", [])
    await fail(None, letters, failure(9))
    more = await tail(letters, after=report.next_offsets, payload=True)
    assert ([letter.offset for letter in more.letters], more.others) == ([9], 1)
    assert more.letters[0].payload is not None
    assert (await tail(letters, last=0)).letters == ()


async def test_the_table_is_made_from_the_letters(state: StateDatabase, letters: Letters) -> None:
    """Several letters of one change are attempts of one row; what is there already stays as it is."""
    kept = failure(1)
    await fail(state, letters, kept)
    await state.discard(1, "known")
    await fail(None, letters, failure(2, "2"))
    newest = failure(2, "2", failed_at=failure(2).failed_at + 100, code="again")
    reference = await fail(None, letters, newest)
    report = await rebuild_table(state, letters, actor="tester")
    assert (report.letters, report.restored) == (3, 1)
    [restored, there] = await state.failed_work()
    assert there.status is FailureStatus.DISCARDED
    assert (restored.failure.code, restored.attempts, restored.status) == ("again", 2, FailureStatus.OPEN)
    assert (restored.reference, await state.restored([restored.id, there.id])) == (reference, {restored.id})
    assert (await rebuild_table(state, letters, actor="tester")).restored == 0


async def test_exported_letters_are_the_same_when_imported(state: StateDatabase, letters: Letters) -> None:
    """Key, value, headers and the failure, byte for byte; and a second import changes nothing."""
    told = failure(1, code="größe")
    original = replace(record(1), value=b"\xff\x00\n", headers=(("h", b"\x00"),))
    await letters.publish([(told, original), (failure(2, None), replace(record(2), value=None))])
    out = io.BytesIO()
    assert (await export_letters(state, letters, out, index=None, actor="tester")).letters == 2
    elsewhere = Letters()
    lines = out.getvalue().splitlines(keepends=True)
    report = await import_letters(state, elsewhere, lines, actor="tester")
    assert (report.letters, report.restored) == (2, 2)
    assert elsewhere.records == letters.records
    again = await import_letters(state, elsewhere, [*lines, b"\n"], actor="tester")
    assert (again.letters, again.present, again.restored) == (0, 2, 0)


@pytest.mark.parametrize("line", [b"{}", b"no json", b'{"format":2}', b'{"format":1,"failure":{}}', b"[1]"])
async def test_a_line_that_is_no_letter_is_refused(state: StateDatabase, letters: Letters, line: bytes) -> None:
    """With its number, before anything of it is written."""
    with pytest.raises(SyncWorkerError, match="line 1"):
        await import_letters(state, letters, [line], actor="tester")
    assert letters.records == []


async def run(state: StateDatabase, letters: Letters) -> LettersErased:
    return await erase(state, letters, index="things", document_id="1", actor="tester")


async def test_one_documents_payloads_are_gone_and_all_others_are_found(state: StateDatabase, letters: Letters) -> None:
    """From topic and table; every other row names the place where its letter lies now."""
    await fail(state, letters, failure(1, "1"))
    await fail(state, letters, failure(2, "2"))
    await fail(state, letters, failure(3, "1", index="others"))
    letters._append(b"k", b"stray", [])
    await fail(state, letters, failure(4, "1"))
    await fail(state, letters, failure(5, None))
    report = await run(state, letters)
    assert (report.letters, report.kept, report.rows, report.came_meanwhile) == (2, 4, 2, 0)
    assert all("somebody" not in str(raw.value) or raw.offset >= letters.start for raw in letters.records[letters.start :])
    found = {(work.failure.index, work.failure.offset): work for work in await state.failed_work()}
    for (index, offset), work in found.items():
        if index == "things" and work.failure.document_id == "1":
            assert (work.reference, work.failure.message, work.status) == (None, "[erased]", FailureStatus.DISCARDED)
        else:
            assert work.reference is not None
            told, _ = (await letters.read([work.reference]))[work.reference]
            assert (told.index, told.offset) == (index, offset)
    [line] = (await audit_log(state)).lines
    assert (line.verb, line.subject, line.outcome, line.details["letters"]) == ("dlq erase", "things 1", "done", 2)
    assert any("retention" in sentence for sentence in report.remains)


async def test_the_old_files_can_be_deleted_as_a_whole(state: StateDatabase, letters: Letters) -> None:
    """A broker never deletes the file that it writes to: copies go into a new one."""
    await fail(state, letters, failure(1, "1"))
    await run(state, letters)
    assert (letters.segments, letters.start) == ([1], 1)


async def test_interrupted_it_can_be_run_again(state: StateDatabase, letters: Letters) -> None:
    """The copies were written and the beginning was not cut off: no letter is there twice afterwards, none is lost."""
    await fail(state, letters, failure(1, "1"))
    await fail(state, letters, failure(2, "2"))
    letters.fault = LogUnavailable("away")
    with pytest.raises(LogUnavailable):
        await run(state, letters)
    assert (await audit_log(state)).lines[0].outcome == "failed"
    report = await run(state, letters)
    assert letters.told() == [("things", "2", 2)]
    assert report.came_meanwhile == 0
    [work] = [work for work in await state.failed_work() if work.failure.document_id == "2"]
    assert work.reference in await letters.read([work.reference] if work.reference else [])


async def test_nothing_is_rewritten_for_a_document_without_letters(state: StateDatabase, letters: Letters) -> None:
    """A second run, or a document that never failed."""
    await fail(state, letters, failure(2, "2"))
    report = await run(state, letters)
    assert (report.letters, report.kept, letters.start) == (0, 0, 0)
