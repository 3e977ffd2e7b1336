"""The state in memory does what a database does, as far as a test or the simulation can ask it."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from state_suite import Now, StateSuite

from sync_worker.failure.model import FailedWork, FailureStatus
from sync_worker.testing.memory_state import MemoryState

_NEEDS_A_DATABASE = {
    "url": "is about a file or a server",
    "failed_counts": "is asked by metrics alone",
    "audit_log": "is asked by operators alone",
    "workers": "is asked by operators alone",
    "pause_confirmations": "is asked by operators alone",
    "restore": "is asked by operators alone",
    "erase": "is asked by operators alone",
    "is_one_transaction": "nothing can fail in the middle here",
    "evidence_may_quote_anything": "nothing is refused here",
    "filtered_and_paged": "filters are asked by operators alone",
}


class AsDatabase(MemoryState):
    """With what the suite itself looks at."""

    async def failed_work(self, *, statuses: Any = (), **_: Any) -> list[FailedWork]:
        rows = [row.frozen() for row in self.failed.values() if not statuses or row.status in statuses]
        return sorted(rows, key=lambda row: -row.id)


class TestMemory(StateSuite):
    @pytest.fixture
    def state(self, request: pytest.FixtureRequest, now: Now) -> AsDatabase:
        test = request.function
        asked = inspect.getsource(test)
        for word, reason in _NEEDS_A_DATABASE.items():
            if word in asked or word in test.__name__:
                pytest.skip(reason)
        return AsDatabase(now)

    @pytest.fixture
    def url(self) -> str:
        pytest.skip("there is none")

    async def force(self, state: Any, status: FailureStatus) -> None:
        for row in state.failed.values():
            row.status = status
