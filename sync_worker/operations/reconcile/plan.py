"""From what was read to what to do, in order: the chain, pauses, settings, failed work, fills. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sync_worker.failure.findings import FindingKind, Proof, rule_of
from sync_worker.operations.contract import ContractDrift, ContractReport
from sync_worker.operations.drift.report import DriftReport, IndexDrift
from sync_worker.operations.failed import FailedItem
from sync_worker.operations.reconcile import actions
from sync_worker.operations.reconcile.report import Action, Symptom
from sync_worker.operations.settings.diff import SettingsDiff
from sync_worker.operations.settings.effect import Effect
from sync_worker.operations.status.report import UNREACHABLE, Problem, StatusReport, Unreachable


@dataclass(frozen=True, slots=True)
class Read:
    """Everything that was read.

    Attributes:
        settings, contract: None where a Meilisearch did not answer.
        drift: rows and documents counted; None where that could not be done in time.
        failed: open failed work, newest first, as far as it was read.
        unanswered: what of it could not be read, beside the parts that the status could not reach.
    """

    status: StatusReport
    settings: SettingsDiff | None
    contract: ContractReport | None
    failed: Sequence[FailedItem]
    drift: DriftReport | None = None
    unanswered: tuple[Unreachable, ...] = ()


_CONNECTOR_APPLY = frozenset({"connector-missing", "slot-missing", "publication-narrowed", "connector-loses"})
_SETTLED_ELSEWHERE = frozenset({"connector-down", "failed-work", "settings", "primary-key", "index-missing"})


def plan(read: Read) -> tuple[tuple[Symptom, ...], tuple[Action, ...]]:
    """Symptoms with their evidence, and each action once, in the order in which they are to be done."""
    symptoms = [Symptom(problem.kind, problem.subject, problem.what) for problem in read.status.problems]
    symptoms += [Symptom(UNREACHABLE, one.part, f"could not be read: {one.cause}") for one in read.unanswered]
    symptoms += [Symptom("paused", hold, why) for hold, why in _paused(read).items()]
    symptoms += _contract_symptoms(read)
    symptoms += [Symptom(kind, one.index, _counted(one)) for kind, one in _diverged(read)]
    recommended = [
        *_chain(read.status),
        *(actions.resume(index, why) for index, why in _paused(read).items()),
        *_indexes(read),
        *_failed(read.failed),
        *_findings(read.status),
        *_counts(read),
        *_fields(read),
    ]
    ordered = list(_beside_rebuilds(read.status, recommended))
    once = {action.action: action for action in reversed(ordered)}
    return tuple(symptoms), tuple(action for action in dict.fromkeys(ordered) if once[action.action] is action)


def _beside_rebuilds(status: StatusReport, recommended: Sequence[Action]) -> Iterator[Action]:
    """What a rebuild that is not over would refuse, or do anyway, waits for its end."""
    rebuilds = {one.index: one.rebuild for one in status.indexes if one.rebuild is not None}
    for action in recommended:
        verb, _, index = action.action.partition(":")
        rebuild = rebuilds.get(index) if verb in ("backfill", "reindex") else None
        if rebuild is None:
            yield action
        else:
            yield actions.rebuild_first(index, f"{action.why}; its rebuild ({rebuild.phase}) comes first: {rebuild.waits_for}")


def _paused(read: Read) -> Mapping[str, str]:
    held = {hold.subject: hold.cause for hold in read.status.holds or ()}
    paused = [one.index for one in read.status.indexes if one.paused]
    return {name: held.get(name, "the index is paused: nothing is written to it until it is resumed") for name in paused}


def _chain(status: StatusReport) -> Iterator[Action]:
    findings = {(finding.kind, finding.subject) for finding in status.findings or ()}
    yield from _connector([problem for problem in status.problems if problem.kind == "connector-down"])
    for problem in status.problems:
        why = f"{problem.kind}: {problem.what}"
        if problem.kind in _CONNECTOR_APPLY:
            yield actions.apply_connector(why)
        elif problem.kind == "no-worker":
            yield actions.run_worker(why)
        elif problem.kind not in _SETTLED_ELSEWHERE and (problem.kind, problem.subject) not in findings:
            yield actions.look_into(problem.subject, problem.remedy, why)


def _connector(down: Sequence[Problem]) -> Iterator[Action]:
    """The watch and Connect may both say so. A connector that somebody stopped or paused is not started by a restart."""
    failed = next((problem for problem in down if problem.remedy.endswith("restart")), None)
    if failed is not None:
        yield actions.restart_connector(f"{failed.kind}: {failed.what}")
    elif down:
        yield actions.look_into(down[0].subject, down[0].remedy, f"{down[0].kind}: {down[0].what}")


def _indexes(read: Read) -> Iterator[Action]:
    for index in read.settings.indexes if read.settings is not None else ():
        names = ", ".join(difference.setting for difference in index.differences)
        if not index.exists:
            yield actions.create_index(index.index, f"there is no index {index.uid}")
            yield actions.backfill(index.index, "an index that was just made is empty", prune=True)
        elif index.effect is Effect.REBUILD:
            yield actions.reindex(index.index, f"differ, and can't be changed in a live index: {names}")
        elif index.differences:
            yield actions.apply_settings(
                index.index,
                f"differ from the declaration: {names}",
                reindexing=index.effect is Effect.REINDEXING,
                documents=index.documents,
                seconds=index.estimate_s,
            )


def _failed(items: Sequence[FailedItem]) -> Iterator[Action]:
    counted = Counter((item.index, item.reason_class.value, item.retryable) for item in items)
    words: dict[tuple[str, str, bool], Counter[str]] = {}
    for item in items:
        words.setdefault((item.index, item.reason_class.value, item.retryable), Counter())[item.code] += 1
    for key, count in sorted(counted.items(), key=lambda pair: (pair[0][0], pair[0][1], not pair[0][2])):
        index, reason, retryable = key
        codes = ", ".join(f"{many} {code}" for code, many in words[key].most_common(3))
        why = f"{count} changes failed as {reason} ({codes})"
        if not retryable:
            why += ", and are not tried again by themselves: mend their cause first"
        yield actions.retry(index, reason, count, why, force=not retryable)


def _diverged(read: Read) -> Iterator[tuple[str, IndexDrift]]:
    for one in read.drift.indexes if read.drift is not None else ():
        if not one.in_sync:
            yield ("count-divergence" if one.documents else "empty-index"), one


def _counted(one: IndexDrift) -> str:
    return f"{one.rows} rows belong to it, and it holds {one.documents} documents"


def _counts(read: Read) -> Iterator[Action]:
    for kind, one in _diverged(read):
        if kind == "empty-index":
            yield actions.backfill(one.index, f"{kind}: {_counted(one)}", prune=True)
        else:
            yield actions.drift(one.index, "ids", f"{kind}: {_counted(one)}")
            yield actions.repair(one.index, f"{kind}: {_counted(one)}")


def _findings(status: StatusReport) -> Iterator[Action]:
    declared = {index.index for index in status.indexes}
    for finding in status.findings or ():
        rule = rule_of(finding.kind)
        why = f"{finding.kind}: {finding.evidence}"
        proof = rule.proof if rule is not None else None
        if finding.kind in _CONNECTOR_APPLY or finding.kind == "connector-down":
            continue  # among the problems of the chain
        if finding.kind == FindingKind.DRIFT and finding.subject in declared:
            yield actions.repair(finding.subject, why)
        elif proof in (Proof.FILL, Proof.COMPARISON) and finding.subject in declared:
            yield actions.backfill(finding.subject, why, prune=True)
        elif proof is Proof.IDS and finding.subject in declared:
            yield actions.drift(finding.subject, "ids", why)
        elif proof is Proof.DECISION:
            yield actions.clear_finding(finding.kind, finding.subject, finding.remedy, why)
        else:
            yield actions.look_into(finding.subject, finding.remedy, why)


_FIELDS = (ContractDrift.FIELD_ABSENT, ContractDrift.FIELD_UNDECLARED)


def _contract_symptoms(read: Read) -> Iterator[Symptom]:
    for index in read.contract.indexes if read.contract is not None else ():
        for finding in index.findings:
            if finding.drift in (*_FIELDS, ContractDrift.ATTRIBUTE_UNKNOWN):
                yield Symptom(finding.drift.value, index.index, finding.evidence)


def _fields(read: Read) -> Iterator[Action]:
    for index in read.contract.indexes if read.contract is not None else ():
        for finding in index.findings:
            if finding.drift in _FIELDS:
                yield actions.backfill(index.index, finding.evidence, prune=False)
            elif finding.drift is ContractDrift.ATTRIBUTE_UNKNOWN:
                yield actions.look_into(f"{index.index}:{finding.subject}", "sync-worker contract", finding.evidence)
