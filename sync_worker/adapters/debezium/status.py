"""What Kafka Connect says about a connector. RUNNING is not alive: only the canary proves that events flow. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TaskState:
    """One task. `error` is the first line of its trace and its innermost cause, None where it has not failed."""

    task: int
    state: str
    worker: str
    error: str | None

    @property
    def failed(self) -> bool:
        return self.state == "FAILED"


@dataclass(frozen=True, slots=True)
class ConnectorStatus:
    """A connector and its tasks, in Connect's own words for states."""

    name: str
    state: str
    worker: str
    connector_error: str | None
    tasks: tuple[TaskState, ...]

    @property
    def running(self) -> bool:
        """The connector runs and has tasks, all of them running. A connector without tasks reads nothing."""
        return self.state == "RUNNING" and bool(self.tasks) and all(task.state == "RUNNING" for task in self.tasks)

    @property
    def error(self) -> str | None:
        """What failed, the connector's or the first failed task's."""
        return self.connector_error or next((task.error for task in self.tasks if task.error is not None), None)

    @property
    def summary(self) -> str:
        tasks = ", ".join(f"task {task.task} {task.state}" for task in self.tasks) or "no tasks"
        return f"connector {self.state}, {tasks}"


def read_status(answer: Mapping[str, Any]) -> ConnectorStatus:
    """From `GET /connectors/{name}/status`."""
    connector = answer.get("connector") or {}
    return ConnectorStatus(
        name=str(answer.get("name", "")),
        state=str(connector.get("state", "UNKNOWN")),
        worker=str(connector.get("worker_id", "")),
        connector_error=_cause(connector),
        tasks=tuple(
            TaskState(
                task=int(task.get("id", 0)),
                state=str(task.get("state", "UNKNOWN")),
                worker=str(task.get("worker_id", "")),
                error=_cause(task),
            )
            for task in answer.get("tasks") or ()
        ),
    )


def _cause(part: Mapping[str, Any]) -> str | None:
    """Debezium's first line is always the same; the last `Caused by` tells what happened."""
    if part.get("state") != "FAILED":
        return None
    lines = [line.strip() for line in str(part.get("trace") or "").splitlines() if line.strip()]
    if not lines:
        return "failed without a trace"
    innermost = next((line.removeprefix("Caused by: ") for line in reversed(lines) if line.startswith("Caused by: ")), None)
    return lines[0] if innermost is None else f"{lines[0]} Cause: {innermost}"
