"""The operator's verbs from Python, blocking: see `sync_worker.api`. Not from within a running event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from sync_worker import api
from sync_worker.api import Config as Config
from sync_worker.api import Depth as Depth
from sync_worker.api import FailedFilter as FailedFilter
from sync_worker.api import as_document as as_document
from sync_worker.api import read_config as read_config

P = ParamSpec("P")
T = TypeVar("T")


def blocking(verb: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """The verb as a function that returns when it is done."""

    @wraps(verb)
    def call(*arguments: P.args, **named: P.kwargs) -> T:
        return asyncio.run(verb(*arguments, **named))

    return call


list_failed = blocking(api.list_failed)
show_failed = blocking(api.show_failed)
failed_work_counts = blocking(api.failed_work_counts)
retry = blocking(api.retry)
discard = blocking(api.discard)
pause = blocking(api.pause)
resume = blocking(api.resume)
audit_log = blocking(api.audit_log)
drift = blocking(api.drift)
drift_show = blocking(api.drift_show)
dlq_tail = blocking(api.dlq_tail)
dlq_rebuild_table = blocking(api.dlq_rebuild_table)
dlq_export = blocking(api.dlq_export)
dlq_import = blocking(api.dlq_import)
dlq_erase = blocking(api.dlq_erase)
contract = blocking(api.contract)
settings_diff = blocking(api.settings_diff)
settings_apply = blocking(api.settings_apply)
status = blocking(api.status)
doctor = blocking(api.doctor)
reconcile = blocking(api.reconcile)
backfill = blocking(api.backfill)
backfill_ids = blocking(api.backfill_ids)
backfill_pause = blocking(api.backfill_pause)
backfill_plan = blocking(api.backfill_plan)
backfill_resume = blocking(api.backfill_resume)
backfill_status = blocking(api.backfill_status)
backfill_stop = blocking(api.backfill_stop)
reindex = blocking(api.reindex)
reindex_abort = blocking(api.reindex_abort)
reindex_finish = blocking(api.reindex_finish)
reindex_plan = blocking(api.reindex_plan)
reindex_resume = blocking(api.reindex_resume)
reindex_rollback = blocking(api.reindex_rollback)
reindex_status = blocking(api.reindex_status)
