"""The port `State` in one object."""

from __future__ import annotations

from sync_worker.adapters.state.activity import ActivityTables
from sync_worker.adapters.state.backfills import BackfillTable
from sync_worker.adapters.state.drift import DriftTables
from sync_worker.adapters.state.failed_work import FailedWorkTable
from sync_worker.adapters.state.findings import FindingsTable
from sync_worker.adapters.state.moved_rows import MovedRowTable
from sync_worker.adapters.state.progress import ProgressTables
from sync_worker.adapters.state.rebuilds import RebuildTables
from sync_worker.adapters.state.requests import RequestTables
from sync_worker.adapters.state.watch import WatchTables


class StateDatabase(
    FailedWorkTable,
    ProgressTables,
    FindingsTable,
    WatchTables,
    ActivityTables,
    RequestTables,
    MovedRowTable,
    DriftTables,
    BackfillTable,
    RebuildTables,
):
    """Implements `sync_worker.ports.State` over SQLite or PostgreSQL, and answers what operators ask beside it.

    Made by `StateDatabase.open(url)`. Every write is one transaction and may be repeated. Every method raises StateUnavailable.
    """
