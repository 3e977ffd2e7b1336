"""Isolation: a flush failed; find exactly the documents that make it fail, and apply all others.

By the time it runs nothing of the index is in flight and no later flush can be sent, so that resubmitting never writes
old over new. Its pool holds only documents that no later applied flush contained.

Where the server's words name the document, that one is tried alone. Else the pool is bisected on a scratch index of
this worker's own: small, with the same settings, and nobody else's poison can be merged into the verdict. What scratch
suspects is tried once, alone, on the live index, because a document that fails as a new one may pass as an update. What
it acquits goes in one payload. Without a scratch index: in place, and a verdict counts only in solitude.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import orjson
import structlog

from sync_worker.batch.bisection import Bisection
from sync_worker.batch.coalesce import Entry
from sync_worker.batch.payload import split_lines
from sync_worker.errors import (
    EnvironmentFault,
    OperatorNeeded,
    PayloadTooLarge,
    SinkDenied,
    SinkFull,
    SinkRejected,
    SinkUnavailable,
)
from sync_worker.failure.policy import Verdict, named_document, policy_for
from sync_worker.pipeline.model import Index
from sync_worker.ports import AdminSink, Clock, Task, TaskStatus, Telemetry

log = structlog.get_logger(__name__)

_NAMED_ROUNDS = 3
_SOLITUDE_ATTEMPTS = 8
_AGAIN = 3
"""How often a document is tried again, and something else between, before it is blamed: a server that is ill now and then, for a
batch or two at a time, must not happen to be so each time it is the document's turn, and never in between."""
_UNPROVEN = 2
"""Documents in a row that may be blamed on no better proof than that the server still deletes."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something failed, in the server's own words."""

    code: str
    message: str

    @classmethod
    def of(cls, task: Task) -> Cause:
        if task.status is TaskStatus.CANCELED:
            return cls("task_canceled", "the task was canceled")
        return cls(task.error_code or "internal", task.error_message or "")


class Isolation:
    """One pool of documents of one index. `run` may be called again after a fault: what is decided stays decided.

    Args:
        submit: writes entries to the live index and returns the finished task of each request.
        convict: records the document as failed, for this cause.
        applied: told of entries that were applied.
        guard: told of suspects and of acquitted documents before anything is recorded; raises on a flood.
        failed_in_a_row: how many documents of the index failed since one was applied, the present one included.

    Attributes:
        needs_company: held because only other documents can show whether these are bad or the server is: put later ones
            into the pool and run again.
    """

    def __init__(
        self,
        index: Index,
        pool: dict[str, Entry],
        cause: Cause,
        *,
        submit: Callable[[Mapping[str, Entry]], Awaitable[Sequence[Task]]],
        convict: Callable[[str, Entry, Cause], Awaitable[None]],
        applied: Callable[[Mapping[str, Entry]], Awaitable[None]],
        guard: Callable[[int, int, str], None],
        failed_in_a_row: Callable[[], int],
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._index = index
        self.pool = pool
        self._cause: Cause | None = cause
        self._submit = submit
        self._convict = convict
        self._applied = applied
        self._guard = guard
        self._failed_in_a_row = failed_in_a_row
        self._clock = clock
        self._telemetry = telemetry
        self._named_rounds = 0
        self._scratch_rounds = 0
        self._fruitless = 0
        self._healthy = False
        self._let_through = False
        self._counted: set[str] = set()
        self._fails_on_scratch: set[str] = set()
        self._known_good = b""
        self.needs_company = False

    def _count(self, failed: int, passed: int, cause: Cause) -> None:
        """Look out for a flood. Once it was shown, `run` is called again only because somebody let it through."""
        if self._let_through:
            return
        try:
            self._guard(failed, passed, f"{cause.code}: {cause.message}")
        except OperatorNeeded:
            self._let_through = True
            raise

    async def run(self) -> None:
        """Returns when the pool is empty: each document is applied or recorded. Raises EnvironmentFault to be held."""
        while self.pool:
            if self._cause is None:
                self._cause = await self._send(dict(self.pool))
                continue
            cause, self._cause = self._cause, None
            policy = policy_for(cause.code)
            if policy.verdict is Verdict.HOLD:
                raise SinkFull(f"{self._index.name}: {cause.code}: {cause.message}", remedy=policy.remedy)
            if policy.verdict is Verdict.DENIED:
                raise SinkDenied(f"{self._index.name}: {cause.code}: {cause.message}", remedy=policy.remedy)
            if policy.verdict is Verdict.AGAIN:
                continue
            before = len(self.pool)
            await self._look(cause)
            self._fruitless = 0 if len(self.pool) < before else self._fruitless + 1
            if self._fruitless >= 3:
                self._fruitless = 0
                self._scratch_rounds = 0
                self.needs_company = True
                raise SinkUnavailable(
                    f"{self._index.name}: writes fail ({cause.code}: {cause.message}) and no document is to blame",
                    remedy="Look at the Meilisearch server's log; the worker tries again by itself.",
                )

    async def _look(self, cause: Cause) -> None:
        named = named_document(cause.message, self.pool)
        if named is not None and self._named_rounds < _NAMED_ROUNDS:
            self._named_rounds += 1
            await self._try_suspects([named], cause)
            return
        if len(self.pool) == 1:
            await self._try_suspects(list(self.pool), cause)
            return
        log.info("isolating", index=self._index.name, document_count=len(self.pool), code=cause.code)
        suspects = None
        if self._scratch_rounds < 2:
            self._scratch_rounds += 1
            suspects = await self._bisect_on_scratch()
        if suspects is None:
            suspects = await self._bisect_in_place()
        else:
            accused = set(suspects)
            acquitted = {document_id: entry for document_id, entry in self.pool.items() if document_id not in accused}
            self._cause = await self._send(acquitted) if acquitted else None
            if self._cause is not None:
                return
            await self._try(suspects)
            return
        await self._try_suspects(suspects, cause)

    async def _try_suspects(self, suspects: Sequence[str], cause: Cause) -> None:
        new = [document_id for document_id in suspects if document_id not in self._counted]
        if new:  # once: a hold comes by here again and again
            self._count(len(new), max(0, len(self.pool) - len(suspects)), cause)
            self._counted.update(new)
        await self._try(suspects)

    async def _try(self, suspects: Sequence[str]) -> None:
        """Each alone. Where the server could be the reason, a document is convicted only if it fails again and again, with others
        that pass on both sides of each time."""
        doubtful = [document_id for document_id in suspects if await self._alone(document_id, others_passed=False)]
        if not doubtful or self._cause is not None:
            return
        for document_id in await self._accused(doubtful):
            await self._alone(document_id, others_passed=True)
        left = [document_id for document_id in doubtful if document_id in self.pool]
        if left and self._cause is None:
            self.needs_company = True
            raise SinkUnavailable(
                f"{self._index.name}: {len(left)} documents fail one by one; nothing shows that they are to blame",
                remedy="Look at the Meilisearch server's log; the worker tries again by itself.",
            )

    async def _send(self, entries: dict[str, Entry]) -> Cause | None:
        """Write these to the live index; what was applied leaves the pool. The cause of the first failure, or None."""
        failed: Cause | None = None
        for task in await self._submit(entries):
            if task.status is not TaskStatus.SUCCEEDED:
                failed = failed or Cause.of(task)
        if failed is None:
            await self._take_out(entries)
        return failed

    async def _take_out(self, entries: Mapping[str, Entry]) -> None:
        self._healthy = self._healthy or any(entry.line is not None for entry in entries.values())
        await self._applied(entries)
        for document_id in entries:
            self.pool.pop(document_id, None)

    async def _alone(self, document_id: str, *, others_passed: bool) -> bool:
        """Try one document alone on the live index, and convict it if that fails for a reason of its own.

        Whether it failed and the server could be the reason, because no other was seen to pass meanwhile.
        """
        for attempt in range(_SOLITUDE_ATTEMPTS):
            entry = self.pool.get(document_id)
            if entry is None or self._cause is not None:
                return False
            (task,) = await self._submit({document_id: entry})
            if task.status is TaskStatus.SUCCEEDED:
                await self._take_out({document_id: entry})
                return False
            cause = Cause.of(task)
            policy = policy_for(cause.code)
            if policy.verdict in (Verdict.HOLD, Verdict.DENIED, Verdict.AGAIN):
                self._cause = cause
                return False
            if policy.verdict is not Verdict.OWN_TASK:
                named = named_document(cause.message, (document_id,)) is not None
                # Named is perhaps what a late write makes of the same document: taken for ours only where the two never part.
                named_at_last = named and entry.line is not None and attempt == _SOLITUDE_ATTEMPTS - 1
                if not named_at_last and not await self._had_a_batch_of_its_own(task):
                    continue
                if not named and policy.verdict is Verdict.EITHER and not others_passed:
                    return True
            await self._convict(document_id, entry, cause)
            self.pool.pop(document_id, None)
            return False
        self.needs_company = True
        raise SinkUnavailable(
            f"{self._index.name}: one document keeps failing ({cause.code}: {cause.message}); nothing shows that it is to blame",
            remedy="Look at the Meilisearch server's log; the worker tries again by itself.",
        )

    async def _had_a_batch_of_its_own(self, task: Task) -> bool:
        return task.batch_uid is None or await self._index.sink.tasks_in_batch(task.batch_uid) == 1

    async def _accused(self, documents: Sequence[str]) -> Sequence[str]:
        """Those that are refused again and again while something else passes each time between, and not because the live index
        takes nothing.

        That a deletion of nothing passes shows little about documents. Where there can be no scratch index it has to do for a
        document or two; if all fail that come, only another document can show that the index takes any.
        """
        async with self._scratch_index() as place:
            if place is None and not self._healthy and self._failed_in_a_row() > _UNPROVEN:
                return []
            accused = list(documents)
            for _ in range(_AGAIN):
                if not await self._another_passes(place, accused):
                    return []
                accused = [document_id for document_id in accused if await self._fails_again(place, document_id)]
            return accused if await self._another_passes(place, accused) else []

    async def _another_passes(self, place: tuple[AdminSink, str] | None, accused: Sequence[str]) -> bool:
        entries = [self.pool[document_id] for document_id in accused if document_id in self.pool]
        if not entries or (place is not None and not await self._probe(*place)):
            return False
        deletion = next((entry for entry in entries if entry.line is None), None if place is not None else entries[0])
        return deletion is None or await self._nothing_is_deleted(deletion)

    async def _fails_again(self, place: tuple[AdminSink, str] | None, document_id: str) -> bool:
        """On the scratch index. On the live one where there is none, or where it takes others and only this one not."""
        entry = self.pool.get(document_id)
        if entry is None:  # its partition was lost meanwhile
            return False
        if place is not None and entry.line is not None:
            cause = await self._try_on(*place, [(document_id, entry.line)])
            if cause is not None:
                return policy_for(cause.code).verdict not in (Verdict.HOLD, Verdict.DENIED)
            if not self._healthy and document_id not in self._fails_on_scratch:
                return False
        return await self._alone(document_id, others_passed=False)

    async def _nothing_is_deleted(self, entry: Entry) -> bool:
        nothing = Entry(None, entry.partition, entry.offset, entry.source_ms, entry.operation)
        (task,) = await self._submit({f"sync-worker-probe-{uuid4().hex}": nothing})
        return task.status is TaskStatus.SUCCEEDED

    async def _bisect_in_place(self) -> Sequence[str]:
        bisection = Bisection(list(self.pool))
        while (group := bisection.next_group()) is not None:
            self._telemetry.count("isolation_steps", index=self._index.name, place="live")
            entries = {document_id: self.pool[document_id] for document_id in group if document_id in self.pool}
            cause = await self._send(entries)
            if cause is None:
                bisection.passed()
                continue
            if policy_for(cause.code).verdict in (Verdict.HOLD, Verdict.DENIED):
                self._cause = cause
                return []
            bisection.failed(named_document(cause.message, entries))
        return bisection.suspects

    @asynccontextmanager
    async def _scratch_index(self) -> AsyncIterator[tuple[AdminSink, str] | None]:
        """A fresh index on which a document that is known to be good passed; None where there can be none."""
        scratch = self._index.scratch
        if scratch is None:
            yield None
            return
        uid = f"scratch-{uuid4().hex[:12]}"
        try:
            settings = await self._index.sink.settings(self._index.uid)
            await scratch.create_index(uid, self._index.id_field, settings)
        except (SinkDenied, SinkRejected) as refused:
            log.warning("no scratch index", index=self._index.name, cause=refused.message)
            yield None
            return
        try:
            embedders = settings.get("embedders")
            vectors = dict.fromkeys(embedders) if isinstance(embedders, Mapping) else {}
            self._known_good = orjson.dumps({self._index.id_field: "probe"} | ({"_vectors": vectors} if vectors else {}))
            if not await self._probe(scratch, uid):
                raise SinkUnavailable(
                    f"{self._index.name}: not even a document known to be good can be written",
                    remedy="Look at the Meilisearch server's log; the worker tries again by itself.",
                )
            yield scratch, uid
        finally:
            try:
                await scratch.delete_index(uid)
            except (EnvironmentFault, SinkRejected) as fault:
                log.warning("scratch index left behind", uid=uid, cause=fault.message)

    async def _bisect_on_scratch(self) -> Sequence[str] | None:
        """Suspects found on a scratch index; None where there can be no scratch index."""
        async with self._scratch_index() as place:
            if place is None:
                return None
            bisection = Bisection([document_id for document_id, entry in self.pool.items() if entry.line is not None])
            suspect_count = acquitted_count = 0
            failed: Cause | None = None
            while (group := bisection.next_group()) is not None:
                self._telemetry.count("isolation_steps", index=self._index.name, place="scratch")
                lines = [(document_id, self.pool[document_id].line or b"") for document_id in group if document_id in self.pool]
                cause = await self._try_on(*place, lines)
                if cause is None:
                    bisection.passed()
                    continue
                if policy_for(cause.code).verdict is Verdict.HOLD:
                    raise SinkFull(f"{self._index.name}: {cause.code}: {cause.message}")
                failed = cause
                if len(lines) == 1:  # a suspect that is left over, because all others passed, was not seen to fail here
                    self._fails_on_scratch.add(lines[0][0])
                bisection.failed(named_document(cause.message, set(group)))
                self._count(len(bisection.suspects) - suspect_count, len(bisection.acquitted) - acquitted_count, cause)
                suspect_count, acquitted_count = len(bisection.suspects), len(bisection.acquitted)
            if failed is not None:
                self._count(len(bisection.suspects) - suspect_count, len(bisection.acquitted) - acquitted_count, failed)
            return bisection.suspects

    async def _probe(self, scratch: AdminSink, uid: str) -> bool:
        return await self._try_on(scratch, uid, [("probe", self._known_good)]) is None

    async def _try_on(self, scratch: AdminSink, uid: str, lines: Sequence[tuple[str, bytes]]) -> Cause | None:
        for group in split_lines(lines, self._index.max_payload):
            try:
                task_uid = await scratch.write(uid, b"\n".join(line for _, line in group), metadata="scratch")
            except (SinkRejected, PayloadTooLarge) as error:
                return Cause(getattr(error, "code", "payload_too_large"), error.message)
            delay = 0.01
            while True:
                task = (await scratch.tasks([task_uid])).get(task_uid)
                if task is None or task.index_uid != uid:
                    raise SinkUnavailable(f"{self._index.name}: Meilisearch accepted task {task_uid} and has lost it")
                if task.status.finished:
                    break
                await self._clock.sleep(delay)
                delay = min(0.2, delay * 1.3)
            if task.status is not TaskStatus.SUCCEEDED:
                return Cause.of(task)
        return None
