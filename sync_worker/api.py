"""The operator's verbs from Python: the same functions that the command line calls, and the same reports.

Asynchronous here; `sync_worker.api_sync` has each of them blocking. Every verb takes the configuration first and returns a frozen
report; `as_document(report)` is what `--json` prints, and `docs/schemas` describes. Errors are those of `sync_worker.errors`.

    from pathlib import Path
    from sync_worker import api_sync as sync_worker

    config = sync_worker.read_config(Path("sync-worker.toml"))
    for item in sync_worker.list_failed(config).items:
        if item.retryable:
            print(sync_worker.retry(config, [item.id], execute=True).counts)
"""

from __future__ import annotations

from sync_worker.config import Config as Config
from sync_worker.operations.failed import FailedFilter as FailedFilter
from sync_worker.operations.reindex.gates import Gates as Gates
from sync_worker.operations.report import as_document as as_document
from sync_worker.ports import Depth as Depth
from sync_worker.wiring.backfill import backfill as backfill
from sync_worker.wiring.backfill import backfill_ids as backfill_ids
from sync_worker.wiring.backfill import backfill_pause as backfill_pause
from sync_worker.wiring.backfill import backfill_plan as backfill_plan
from sync_worker.wiring.backfill import backfill_resume as backfill_resume
from sync_worker.wiring.backfill import backfill_status as backfill_status
from sync_worker.wiring.backfill import backfill_stop as backfill_stop
from sync_worker.wiring.build import read_config as read_config
from sync_worker.wiring.doctor import doctor as doctor
from sync_worker.wiring.drift import drift as drift
from sync_worker.wiring.drift import drift_show as drift_show
from sync_worker.wiring.failed_work import audit_log as audit_log
from sync_worker.wiring.failed_work import discard as discard
from sync_worker.wiring.failed_work import dlq_erase as dlq_erase
from sync_worker.wiring.failed_work import dlq_export as dlq_export
from sync_worker.wiring.failed_work import dlq_import as dlq_import
from sync_worker.wiring.failed_work import dlq_rebuild_table as dlq_rebuild_table
from sync_worker.wiring.failed_work import dlq_tail as dlq_tail
from sync_worker.wiring.failed_work import failed_work_counts as failed_work_counts
from sync_worker.wiring.failed_work import list_failed as list_failed
from sync_worker.wiring.failed_work import pause as pause
from sync_worker.wiring.failed_work import resume as resume
from sync_worker.wiring.failed_work import retry as retry
from sync_worker.wiring.failed_work import show_failed as show_failed
from sync_worker.wiring.reconcile import reconcile as reconcile
from sync_worker.wiring.reindex import reindex as reindex
from sync_worker.wiring.reindex import reindex_abort as reindex_abort
from sync_worker.wiring.reindex import reindex_finish as reindex_finish
from sync_worker.wiring.reindex import reindex_plan as reindex_plan
from sync_worker.wiring.reindex import reindex_resume as reindex_resume
from sync_worker.wiring.reindex import reindex_rollback as reindex_rollback
from sync_worker.wiring.reindex import reindex_status as reindex_status
from sync_worker.wiring.settings import contract as contract
from sync_worker.wiring.settings import settings_apply as settings_apply
from sync_worker.wiring.settings import settings_diff as settings_diff
from sync_worker.wiring.status import status as status
