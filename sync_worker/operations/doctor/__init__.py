"""`doctor`: every check that is known, each with evidence, severity and what mends it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from sync_worker.document.declaration import IndexDeclaration
from sync_worker.errors import SyncWorkerError
from sync_worker.operations import check as checking
from sync_worker.operations.audit import audited
from sync_worker.operations.deadline import by_deadline
from sync_worker.operations.doctor import rules
from sync_worker.operations.doctor.parts import Examiner
from sync_worker.operations.doctor.report import Diagnosis, DoctorReport, Fix, Fixed, Severity
from sync_worker.ports import State

T = TypeVar("T")

_CHECKED = {
    checking.Verdict.OK: Severity.OK,
    checking.Verdict.WARNING: Severity.WARNING,
    checking.Verdict.ERROR: Severity.ERROR,
}
_FIXES = {
    "sync-worker connector apply": Fix.APPLY_CONNECTOR,
    "sync-worker connector status": Fix.RESTART_CONNECTOR,
}


async def doctor(
    checks: checking.Parts, examiner: Examiner, indexes: Sequence[IndexDeclaration], *, slot: str, timeout_s: float
) -> DoctorReport:
    """Ask all parts at the same time. One that does not answer in time is unknown, and stops no other.

    Changes nothing, but makes a scratch index and a scratch topic to time and to ask for the hour, and deletes them again.
    """

    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s

    async def asked(
        area: str, subject: str, exam: Awaitable[T], judge: Callable[[T], Sequence[Diagnosis]], share: float = 1.0
    ) -> list[Diagnosis]:
        seconds = share * max(0.0, end - loop.time())
        try:
            return list(judge(await by_deadline(exam, seconds)))
        except TimeoutError:
            cause, remedy = f"did not answer within {seconds:.1f} s", "give it more time: --timeout"
        except SyncWorkerError as error:
            cause, remedy = error.message, error.remedy
        return [Diagnosis("examination", area, subject, Severity.UNKNOWN, cause, remedy)]

    uids: Mapping[str, dict[str, str]] = {
        name: {index.uid: index.id_field for index in indexes if index.meilisearch == name} for name in checks.sinks
    }
    live: list[int] = []

    async def state() -> list[Diagnosis]:
        exam = await examiner.state()
        live.append(exam.live_workers)
        return list(rules.state(exam))

    # First and alone: whatever opens the state database brings it up to date.
    state_said = await asked("state", "database", state(), lambda said: said, share=0.4)
    checked, source_said, connect_said, kafka_said, sinks_said = await asyncio.gather(
        checking.check(checks, indexes, timeout_s=max(0.0, end - loop.time())),
        asked("source", "PostgreSQL", examiner.source(), lambda exam: list(rules.source(exam, slot))),
        asked("connector", "Kafka Connect", examiner.connect_skew_s(), lambda s: [rules.skew("connector", "Kafka Connect", s)]),
        asked("kafka", "brokers", examiner.kafka(), lambda exam: list(rules.kafka(exam, live[0] if live else None))),
        asyncio.gather(
            *(
                asked("meilisearch", name, examiner.sink(name, list(uids[name])), _sink_judge(name, uids[name]))
                for name in checks.sinks
            )
        ),
    )
    said = [_checked(one) for one in checked.checks]
    said += [*source_said, *kafka_said, *connect_said, *(one for some in sinks_said for one in some), *state_said]
    order = ("source", "connector", "kafka", "watch", "meilisearch", "state")
    ordered = sorted(said, key=lambda one: order.index(one.area) if one.area in order else len(order))
    return _counted(ordered)


def _sink_judge(instance: str, id_fields: Mapping[str, str]) -> Callable[..., list[Diagnosis]]:
    return lambda exam: list(rules.sink(instance, exam, id_fields))


def _counted(diagnoses: Sequence[Diagnosis]) -> DoctorReport:
    count = {severity: sum(one.severity is severity for one in diagnoses) for severity in Severity}
    errors, unknown = count[Severity.ERROR], count[Severity.UNKNOWN]
    return DoctorReport(not errors, errors, count[Severity.WARNING], unknown, tuple(diagnoses), ())


def _checked(one: checking.Check) -> Diagnosis:
    severity = _CHECKED[one.verdict] if one.answered else Severity.UNKNOWN
    name = one.message.partition(":")[0] if one.area == "watch" and one.verdict is not checking.Verdict.OK else "configuration"
    fix = Fix.NONE
    if severity in (Severity.WARNING, Severity.ERROR):
        fix = next((fix for words, fix in _FIXES.items() if one.remedy.startswith(words)), Fix.NONE)
        if name == "topic-loses":
            fix = Fix.SET_TOPICS
    return Diagnosis(name, one.area, one.subject, severity, one.message, one.remedy, fix)


Repair = Callable[[], Awaitable[str]]
"""Mends one thing and says what it did. Raises the errors of the ports."""


async def mend(report: DoctorReport, repairs: Mapping[Fix, Repair], state: State, *, actor: str) -> tuple[Fixed, ...]:
    """Do each repair that the report names, once. One that fails stops no other."""
    fixed = []
    wanted = {one.fix for one in report.diagnoses}
    for fix in Fix:
        if fix not in wanted or fix not in repairs:
            continue
        try:
            async with audited(state, actor, "doctor --fix", fix.value, {}) as told:
                told["did"] = await repairs[fix]()
            fixed.append(Fixed(fix, True, told["did"]))
        except SyncWorkerError as error:
            fixed.append(Fixed(fix, False, error.message))
    return tuple(fixed)


def after_mending(report: DoctorReport, fixed: Sequence[Fixed]) -> DoctorReport:
    """A report from after the repairs, with what they did."""
    return replace(report, fixed=tuple(fixed))
