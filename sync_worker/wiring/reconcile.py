"""`reconcile` with everything that it reads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from sync_worker.config import Config
from sync_worker.errors import SyncWorkerError
from sync_worker.failure.model import ReasonClass
from sync_worker.operations import reconcile as reconciling
from sync_worker.operations.deadline import by_deadline
from sync_worker.operations.failed import FailedCounts, FailedFilter, FailedItem, FailedList
from sync_worker.operations.reconcile import ReconcileReport
from sync_worker.operations.reconcile.report import Action
from sync_worker.operations.status.report import StatusReport, Unreachable
from sync_worker.ports import Depth
from sync_worker.wiring import failed_work, verbs
from sync_worker.wiring.backfill import backfill
from sync_worker.wiring.drift import drift
from sync_worker.wiring.settings import contract, settings_apply, settings_diff
from sync_worker.wiring.status import status

T = TypeVar("T")

_MOST_FAILED = 10_000
_FILLED_WITHIN_S = 500.0
"""How long a fill is waited for; the workers go on with it after that."""


async def reconcile(
    config: Config,
    indexes: Sequence[str] = (),
    *,
    apply: str | None = None,
    admin_key: Callable[[], str] | None = None,
    max_lag_s: float = 60.0,
    deadline_s: float = 10.0,
) -> ReconcileReport:
    """Read everything and recommend; with `apply`, do exactly that action.

    Args:
        apply: the name of a recommended action.
        admin_key: gives an administrator's key of Meilisearch, where the action needs one.

    Raises ConfigurationError for an index that is not declared and an action that is not recommended; the errors of the action.
    """
    names = [index.name for index in config.chosen(indexes)]

    unanswered: list[Unreachable] = []

    async def answered(what: str, asked: Awaitable[T]) -> T | None:
        try:
            return await by_deadline(asked, deadline_s)
        except TimeoutError:
            unanswered.append(Unreachable(what, f"no answer within {deadline_s:g} s"))
        except SyncWorkerError as error:
            unanswered.append(Unreachable(what, error.message))
        return None

    now, settings, fields, counts, failed, drifted = await asyncio.gather(
        status(config, names, max_lag_s=max_lag_s, deadline_s=deadline_s),
        answered("settings", settings_diff(config, names)),
        answered("contract", contract(config, names)),
        answered("failed-work counts", _counts(config, indexes)),
        answered("failed-work list", failed_work.list_failed(config, FailedFilter(), limit=_MOST_FAILED)),
        answered("counts of rows and documents", drift(config, names, depth=Depth.COUNTS, timeout_s=deadline_s)),
    )
    report = reconciling.reconciled(
        reconciling.Read(now, settings, fields, _of(failed, names), drifted, _more(now, unanswered)),
        counts,
    )
    if apply is None:
        return report
    return await reconciling.apply_action(report, apply, lambda action: _do(config, action, admin_key))


def _more(status: StatusReport, unanswered: Sequence[Unreachable]) -> tuple[Unreachable, ...]:
    """What is not said by the status already, in its words."""
    said = {one.cause for one in status.unreachable}
    return tuple(sorted((one for one in unanswered if one.cause not in said), key=lambda one: one.part))


async def _counts(config: Config, indexes: Sequence[str]) -> FailedCounts:
    return await failed_work.failed_work_counts(config, indexes[0] if len(indexes) == 1 else None)


def _of(failed: FailedList | None, names: Sequence[str]) -> Sequence[FailedItem]:
    return [item for item in failed.items if item.index in names] if failed is not None else ()


async def _do(config: Config, action: Action, admin_key: Callable[[], str] | None) -> tuple[bool, str]:
    verb, _, rest = action.action.partition(":")
    if verb == "connector-apply":
        applied = await verbs.apply_connector(config)
        made = f"created {applied.name}" if applied.created else f"changed {', '.join(applied.changed) or 'nothing'}"
        return True, "; ".join([made, *applied.made])
    if verb == "connector-restart":
        return True, f"{(await verbs.restart_connector(config)).name}: restart requested"
    if verb == "resume":
        resumed = await failed_work.resume(config, [rest])
        return True, f"{rest}: {'resumed' if resumed.indexes[0].was_paused else 'was not paused'}"
    if verb == "drift-repair":
        repaired = await drift(config, [rest], depth=Depth.CONTENT, repair=True, execute=True)
        (one,) = repaired.indexes
        written = one.repair
        told = "nothing differed" if written is None else f"{len(written.writes)} written, {len(written.deletes)} removed"
        return repaired.in_sync, told
    if verb == "backfill":
        return await _backfill(config, rest, admin_key, prune="--prune" in action.command.split())
    if verb == "settings-apply":
        return await _apply_settings(config, rest, admin_key() if admin_key is not None else "")
    index, _, reason = rest.partition(":")
    wanted = FailedFilter(index=index, reason_class=ReasonClass(reason), retryable=verb == "retry")
    report = await failed_work.retry(config, (), wanted, limit=_MOST_FAILED, execute=True, force=verb == "retry-forced")
    told = ", ".join(f"{count} {outcome}" for outcome, count in report.counts.items() if count)
    done = all(item.outcome.value in ("resolved", "superseded") for item in report.items)
    return done, told or "nothing was left to try"


async def _apply_settings(config: Config, index: str, key: str) -> tuple[bool, str]:
    instance = config.indexes[index].meilisearch
    report = await settings_apply(config, [index], acknowledge_live=True, admin_key=key, instance=instance)
    (one,) = report.indexes
    return report.in_step, ": ".join(part for part in (one.outcome.value, ", ".join(one.changed), one.reason) if part)


async def _backfill(config: Config, index: str, admin_key: Callable[[], str] | None, *, prune: bool) -> tuple[bool, str]:
    one = (await backfill(config, index, prune=prune, admin_key=admin_key, timeout_s=_FILLED_WITHIN_S)).backfill
    if one.ended_at is None:
        return False, f"{one.applied} of {one.total} rows applied, and it goes on: sync-worker backfill status"
    if one.stage != "done":
        return False, f"{one.stage}: {one.condition}"
    told = [f"{one.applied} rows applied", f"{one.failed} failed"]
    told += [f"{one.ghosts} documents without a row removed"] if one.ghosts is not None else []
    return one.failed == 0, ", ".join(told)
