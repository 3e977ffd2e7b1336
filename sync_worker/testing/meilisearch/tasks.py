"""Tasks and batches: what was asked, in which state it is, and how lists of them are filtered and paged."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sync_worker.testing.meilisearch.documents import Incoming
from sync_worker.testing.meilisearch.errors import ApiError, ErrorBody
from sync_worker.testing.meilisearch.keys import Access
from sync_worker.testing.meilisearch.moments import duration, timestamp

STATUSES = ("enqueued", "processing", "succeeded", "failed", "canceled")
TYPES = (
    "documentAdditionOrUpdate",
    "documentEdition",
    "documentDeletion",
    "settingsUpdate",
    "indexCreation",
    "indexDeletion",
    "indexUpdate",
    "indexSwap",
    "taskCancelation",
    "taskDeletion",
    "dumpCreation",
    "snapshotCreation",
    "export",
    "upgradeDatabase",
    "indexCompaction",
    "networkTopologyChange",
    "dsrUpdate",
    "dsrClear",
)


@dataclass(frozen=True, slots=True)
class Addition:
    documents: tuple[Incoming, ...]
    merges: bool
    primary_key: str | None
    creates_documents: bool
    creates_index: bool


@dataclass(frozen=True, slots=True)
class Deletion:
    """By ids, or by filter."""

    ids: tuple[str, ...]
    filter: Any = None


@dataclass(frozen=True, slots=True)
class Clear:
    pass


@dataclass(frozen=True, slots=True)
class SettingsChange:
    change: dict[str, Any]
    creates_index: bool


@dataclass(frozen=True, slots=True)
class IndexCreation:
    primary_key: str | None


@dataclass(frozen=True, slots=True)
class IndexUpdate:
    primary_key: str | None
    new_uid: str | None


@dataclass(frozen=True, slots=True)
class IndexDeletion:
    pass


@dataclass(frozen=True, slots=True)
class Swap:
    swaps: tuple[tuple[str, str, bool], ...]


@dataclass(frozen=True, slots=True)
class TaskCancelation:
    uids: frozenset[int]


@dataclass(frozen=True, slots=True)
class TaskDeletion:
    uids: frozenset[int]


Content = (
    Addition
    | Deletion
    | Clear
    | SettingsChange
    | IndexCreation
    | IndexUpdate
    | IndexDeletion
    | Swap
    | TaskCancelation
    | TaskDeletion
)


@dataclass
class Task:
    uid: int
    index_uid: str | None
    type: str
    content: Content
    details: dict[str, Any]
    custom_metadata: str | None = None
    status: str = "enqueued"
    batch_uid: int | None = None
    error: ErrorBody | None = None
    canceled_by: int | None = None
    enqueued_at: str = field(default_factory=timestamp)
    started_ns: int | None = None
    finished_ns: int | None = None

    def summary(self) -> dict[str, Any]:
        """What the answer to the write says."""
        return {
            "taskUid": self.uid,
            "indexUid": self.index_uid,
            "status": "enqueued",
            "type": self.type,
            "enqueuedAt": self.enqueued_at,
            **self._metadata(),
        }

    def view(self) -> dict[str, Any]:
        return {
            "uid": self.uid,
            "batchUid": self.batch_uid,
            "indexUid": self.index_uid,
            "status": self.status,
            "type": self.type,
            "canceledBy": self.canceled_by,
            "details": self.details,
            "error": self.error,
            **_times(self.started_ns, self.finished_ns, {"enqueuedAt": self.enqueued_at}),
            **self._metadata(),
        }

    def _metadata(self) -> dict[str, str]:
        return {} if self.custom_metadata is None else {"customMetadata": self.custom_metadata}

    def index_uids(self) -> set[str]:
        if isinstance(self.content, Swap):
            return {uid for swap in self.content.swaps for uid in swap[:2]}
        return {self.index_uid} if self.index_uid else set()

    def visible_to(self, access: Access) -> bool:
        """Tasks without an index (swaps among them) are hidden from every key that names indexes."""
        return access.sees_everything or (self.index_uid is not None and access.sees_index(self.index_uid))


def _times(started_ns: int | None, finished_ns: int | None, first: Mapping[str, Any]) -> dict[str, Any]:
    both = started_ns is not None and finished_ns is not None
    return {
        "duration": duration((finished_ns or 0) - (started_ns or 0)) if both else None,
        **first,
        "startedAt": None if started_ns is None else timestamp(started_ns),
        "finishedAt": None if finished_ns is None else timestamp(finished_ns),
    }


@dataclass
class Batch:
    uid: int
    task_uids: list[int]
    started_ns: int
    strategy: str
    finished_ns: int | None = None

    def view(self, tasks: Iterable[Task]) -> dict[str, Any]:
        """`tasks` are those of the batch that still exist."""
        details: dict[str, Any] = {}
        tasks = list(tasks)
        for task in tasks:
            for name, value in task.details.items():
                known = details.get(name)
                summed = isinstance(value, int) and isinstance(known, int) and not isinstance(value, bool)
                details[name] = known + value if summed else (value if value is not None or known is None else known)
        times = _times(self.started_ns, self.finished_ns, {})
        return {
            "uid": self.uid,
            "progress": None if self.finished_ns is not None else {"steps": [], "percentage": 0.0},
            "details": details,
            "stats": {
                "totalNbTasks": len(tasks),
                "status": dict(Counter(task.status for task in tasks)),
                "types": dict(Counter(task.type for task in tasks)),
                "indexUids": dict(Counter(task.index_uid for task in tasks if task.index_uid)),
                "progressTrace": {},
            },
            **times,
            "batchStrategy": self.strategy,
        }


_LISTS: Mapping[str, str] = {
    "uids": "invalid_task_uids",
    "batchUids": "invalid_batch_uids",
    "canceledBy": "invalid_task_canceled_by",
    "statuses": "invalid_task_statuses",
    "types": "invalid_task_types",
    "indexUids": "invalid_index_uid",
}
_PAGING = ("limit", "from", "reverse")
_DATES = tuple(f"{side}{moment}At" for moment in ("Enqueued", "Started", "Finished") for side in ("before", "after"))
_FILTERS = (
    "batchUids",
    "uids",
    "canceledBy",
    "types",
    "statuses",
    "indexUids",
    "afterEnqueuedAt",
    "beforeEnqueuedAt",
    "afterStartedAt",
    "beforeStartedAt",
    "afterFinishedAt",
    "beforeFinishedAt",
)


@dataclass(frozen=True)
class TaskQuery:
    """Filters and page of `GET /tasks`, read from query parameters."""

    filters: Mapping[str, frozenset[str]]
    dates: Mapping[str, str]
    limit: int
    start: int | None
    reverse: bool

    @classmethod
    def read(cls, parameters: Mapping[str, str], paging: bool) -> TaskQuery:
        """Raises ApiError with the server's words for unknown or malformed parameters."""
        known = (*_PAGING, *_FILTERS) if paging else ("uids", "batchUids", *_FILTERS[2:])
        for name in parameters:
            if name not in known:
                listed = ", ".join(f"`{known_name}`" for known_name in known)
                raise ApiError("bad_request", f"Unknown parameter `{name}`: expected one of {listed}")
        filters = {}
        for name, code in _LISTS.items():
            if name in parameters and parameters[name] != "*":
                parts = [part.strip() for part in parameters[name].split(",")]
                values = frozenset(parts)
                for position, value in enumerate(parts):
                    _check_value(name, f"[{position}]" if len(parts) > 1 else "", code, value)
                filters[name] = values
        for uid in filters.get("indexUids", ()):
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,512}", uid):
                raise ApiError(
                    "invalid_index_uid",
                    f"Invalid value in parameter `indexUids`: `{uid}` is not a valid index uid. Index uid can be an integer or a "
                    "string containing only alphanumeric characters, hyphens (-) and underscores (_), and can not be more "
                    "than 512 "
                    "bytes.",
                )
        for name in _DATES:
            if name in parameters and not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", parameters[name]):
                raise ApiError(
                    f"invalid_task_{_snake(name)}",
                    f"Invalid value in parameter `{name}`: `{parameters[name]}` is an invalid date-time. It should follow the "
                    "YYYY-MM-DD or RFC 3339 date-time format.",
                )
        dates = {name: parameters[name] for name in _DATES if name in parameters}
        reverse = parameters.get("reverse", "false")
        if reverse not in {"true", "false"}:
            raise ApiError(
                "invalid_task_reverse",
                f"Invalid value in parameter `reverse`: could not parse `{reverse}` as a boolean, expected "
                "either `true` or `false`",
            )
        start = read_count(parameters, "from", "invalid_task_from")
        limit = read_count(parameters, "limit", "invalid_task_limit")
        return cls(filters, dates, 20 if limit is None else limit, start, reverse == "true")

    @property
    def names_tasks(self) -> bool:
        """Whether it may be used to cancel or delete: an unfiltered one may not."""
        return bool(self.filters or self.dates)

    def matches(self, task: Task) -> bool:
        tests: Mapping[str, Callable[[frozenset[str]], bool]] = {
            "uids": lambda values: str(task.uid) in values,
            "batchUids": lambda values: str(task.batch_uid) in values,
            "canceledBy": lambda values: str(task.canceled_by) in values,
            "statuses": lambda values: task.status in values,
            "types": lambda values: task.type in values,
            "indexUids": lambda values: not values.isdisjoint(task.index_uids()),
        }
        return all(tests[name](values) for name, values in self.filters.items()) and self._in_dates(task)

    def _in_dates(self, task: Task) -> bool:
        for name, limit in self.dates.items():
            moment = {
                "Enqueued": task.enqueued_at,
                "Started": task.started_ns and timestamp(task.started_ns),
                "Finished": task.finished_ns and timestamp(task.finished_ns),
            }[name.removeprefix("before").removeprefix("after").removesuffix("At")]
            if not moment or (moment >= limit if name.startswith("before") else moment <= limit):
                return False
        return True


def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda match: f"_{match[1].lower()}", name)


def _check_value(name: str, position: str, code: str, value: str) -> None:
    if name in {"uids", "batchUids", "canceledBy"} and not value.isdigit():
        raise ApiError(code, f"Invalid value in parameter `{name}{position}`: could not parse `{value}` as a positive integer")
    if name == "statuses" and value not in STATUSES:
        listed = ", ".join(f"`{status}`" for status in STATUSES)
        raise ApiError(
            code, f"Invalid value in parameter `statuses`: `{value}` is not a valid task status. Available statuses are {listed}."
        )
    if name == "types" and value not in TYPES:
        listed = ", ".join(f"`{kind}`" for kind in TYPES)
        raise ApiError(
            code, f"Invalid value in parameter `types`: `{value}` is not a valid task type. Available types are {listed}."
        )


def read_count(parameters: Mapping[str, str], name: str, code: str) -> int | None:
    if name not in parameters:
        return None
    if not re.fullmatch(r"[0-9]+", parameters[name]):
        raise ApiError(code, f"Invalid value in parameter `{name}`: could not parse `{parameters[name]}` as a positive integer")
    return int(parameters[name])
