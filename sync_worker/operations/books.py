"""The state database as operators use it: what the worker writes, and what is asked of the worker."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from sync_worker.failure.model import FailedWork, Failure, FailureStatus, PayloadReference, ReasonClass
from sync_worker.ports import AuditEntry, Pause, PauseConfirmation, State, WorkerRow


class Books(State, Protocol):
    """Raises StateUnavailable."""

    async def failed_work(
        self,
        *,
        index: str | None = None,
        statuses: Collection[FailureStatus] = (),
        reason_class: ReasonClass | None = None,
        code: str | None = None,
        document_id: str | None = None,
        retryable: bool | None = None,
        failed_before: float | None = None,
        failed_after: float | None = None,
        ids: Collection[int] | None = None,
        limit: int = 100,
        oldest_first: bool = False,
    ) -> Sequence[FailedWork]: ...

    async def failed_counts(self, indexes: Collection[str]) -> Mapping[tuple[str, ReasonClass, FailureStatus], int]: ...

    async def restored(self, ids: Collection[int]) -> frozenset[int]:
        """Those of these rows that were made from dead letters: their place in the document's order is not known."""
        ...

    async def restore(self, told: Sequence[tuple[Failure, PayloadReference | None]], *, reason: str) -> int: ...

    async def ask_retry(self, failed_work_id: int, *, from_source: bool, by: str) -> FailureStatus | None: ...

    async def discard(self, failed_work_id: int, reason: str) -> FailureStatus | None: ...

    async def move_letters(self, moved: Mapping[PayloadReference, PayloadReference]) -> None:
        """Dead letters lie elsewhere now."""
        ...

    async def erase(self, index: str, document_id: str, reason: str) -> int:
        """Forget the words and the letters of this document's failures, and discard open ones; how many rows there are."""
        ...

    async def workers(self) -> Sequence[WorkerRow]: ...

    async def audit_log(
        self,
        *,
        verb: str | None = None,
        actor: str | None = None,
        subject: str | None = None,
        since: float | None = None,
        before_id: int | None = None,
        limit: int = 100,
    ) -> Sequence[AuditEntry]: ...

    async def pause(self, index: str, *, by: str, reason: str) -> Pause: ...

    async def resume(self, index: str) -> bool: ...

    async def pause_confirmations(self, index: str) -> Sequence[PauseConfirmation]: ...
