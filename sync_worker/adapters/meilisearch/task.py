"""A task as Meilisearch writes it → the port's Task."""

from __future__ import annotations

import re
from typing import Any

from sync_worker.ports import Task, TaskStatus, TaskUid

DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


def parse_task(answer: dict[str, Any]) -> Task:
    """Raises KeyError, TypeError or ValueError for what is no task."""
    error = answer.get("error") or {}
    return Task(
        uid=TaskUid(answer["uid"]),
        status=TaskStatus(answer["status"]),
        kind=answer["type"],
        index_uid=answer.get("indexUid"),
        batch_uid=answer.get("batchUid"),
        metadata=answer.get("customMetadata"),
        error_code=error.get("code"),
        error_message=error.get("message"),
        duration_s=seconds(answer.get("duration")),
    )


def seconds(duration: str | None) -> float | None:
    """`PT0.075S` → 0.075; None where there is none or it is written in another way."""
    match = DURATION.fullmatch(duration) if duration else None
    if match is None:
        return None
    days, hours, minutes, rest = (float(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest
