"""The connector against the template and the options that lose events."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sync_worker.errors import ConfigurationError
from sync_worker.operations.check.parts import ConnectFacts
from sync_worker.operations.check.report import Check, Verdict, ok_unless
from sync_worker.operations.connector import differences

AREA = "connector"


async def check_connector(connect: ConnectFacts, name: str, render: Callable[[], Mapping[str, str]]) -> list[Check]:
    """Raises ConnectUnavailable. `render` gives the configuration as declared, or raises ConfigurationError."""
    checks: list[Check] = []
    declared: Mapping[str, str] | None = None
    try:
        declared = render()
    except ConfigurationError as error:
        checks += [Check(AREA, name, Verdict.ERROR, problem, "correct it in [connector]") for problem in error.problems]
    checks += [
        Check(AREA, name, Verdict.ERROR, problem, "install it, then restart Connect") for problem in await connect.problems()
    ]
    live = await connect.config(name)
    if live is None:
        missing = Check(
            AREA, name, Verdict.ERROR, "the connector does not exist, so nothing comes", "sync-worker connector apply"
        )
        return [*checks, missing]
    checks += [Check(AREA, name, Verdict.ERROR, refusal, "sync-worker connector apply") for refusal in connect.refusals(live)]
    differing = () if declared is None else differences(live, declared)
    if differing:
        what = f"runs with other options than declared: {', '.join(differing)}"
        checks.append(Check(AREA, name, Verdict.WARNING, what, "sync-worker connector apply"))
    state = await connect.state(name)
    if state is None or not state.running:
        words = "unknown" if state is None else f"{state.state}, tasks {[task.state for task in state.tasks]}"
        checks.append(Check(AREA, name, Verdict.ERROR, f"does not run: {words}", "sync-worker connector status"))
    return ok_unless(AREA, name, checks, message="runs as declared")
