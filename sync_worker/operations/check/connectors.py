"""The connector against the template and the options that lose events."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sync_worker.errors import ConfigurationError
from sync_worker.operations.check.parts import ConnectFacts
from sync_worker.operations.check.report import Check, Verdict, ok_unless

AREA = "connector"


async def check_connector(connect: ConnectFacts, name: str, render: Callable[[], Mapping[str, str]]) -> list[Check]:
    """Raises ConnectUnavailable. `render` gives the configuration as declared, or raises ConfigurationError."""
    checks: list[Check] = []
    declared: Mapping[str, str] | None = None
    try:
        declared = render()
    except ConfigurationError as error:
        checks += [Check(AREA, name, Verdict.ERROR, problem, "correct it in [connector]") for problem in error.problems]
    live = await connect.config(name)
    if live is None:
        missing = Check(
            AREA, name, Verdict.ERROR, "the connector does not exist, so nothing comes", "sync-worker connector apply"
        )
        return [*checks, missing]
    for refusal in connect.refusals(live):
        checks.append(Check(AREA, name, Verdict.ERROR, refusal, "sync-worker connector apply"))
    if declared is not None:
        names = (declared.keys() | live.keys()) - {"name"}
        differing = sorted(option for option in names if declared.get(option) != live.get(option))
        if differing:
            checks.append(
                Check(
                    AREA,
                    name,
                    Verdict.WARNING,
                    f"runs with other options than declared: {', '.join(differing)}",
                    "sync-worker connector apply",
                )
            )
    state = await connect.state(name)
    if state is None or not state.running:
        words = "unknown" if state is None else f"{state.state}, tasks {[task.state for task in state.tasks]}"
        checks.append(Check(AREA, name, Verdict.ERROR, f"does not run: {words}", "sync-worker connector status"))
    return ok_unless(AREA, name, checks, message="runs as declared")
