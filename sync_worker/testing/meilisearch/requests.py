"""What each request means: checks in the server's order and words, then a task or an answer. No HTTP library here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from sync_worker.testing.meilisearch import reading
from sync_worker.testing.meilisearch.core import Core
from sync_worker.testing.meilisearch.errors import ApiError
from sync_worker.testing.meilisearch.filters import check_syntax
from sync_worker.testing.meilisearch.json_text import compact, found_text
from sync_worker.testing.meilisearch.keys import Access
from sync_worker.testing.meilisearch.payload import Body
from sync_worker.testing.meilisearch.settings import SUB_ROUTES, check_setting, normalised, read_change, reset_all
from sync_worker.testing.meilisearch.tasks import (
    Addition,
    Clear,
    Deletion,
    IndexCreation,
    IndexDeletion,
    IndexUpdate,
    SettingsChange,
    Swap,
    TaskCancelation,
    TaskDeletion,
    TaskQuery,
    read_count,
)

_INDEX_UID = re.compile(r"[A-Za-z0-9_-]{1,512}")


@dataclass(frozen=True)
class Request:
    """A request whose key has been checked. `path` holds the values of the route's placeholders."""

    core: Core
    access: Access
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Body

    @property
    def index_uid(self) -> str:
        """Raises ApiError `invalid_index_uid`."""
        return _checked_uid(self.path["index_uid"])

    def only(self, *known: str) -> None:
        """Raises ApiError `bad_request` for a query parameter that the route does not know."""
        for name in self.query:
            if name not in known:
                raise ApiError("bad_request", f"Unknown parameter `{name}`: expected one of {_names(known)}")


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any


def _checked_uid(uid: str, where: str = "", code: str = "invalid_index_uid") -> str:
    if not _INDEX_UID.fullmatch(uid):
        raise ApiError(
            code,
            f"{where}`{uid}` is not a valid index uid. Index uid can be an integer or a string containing only alphanumeric "
            "characters, hyphens (-) and underscores (_), and can not be more than 512 bytes.",
        )
    return uid


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def health(_request: Request) -> Answer:
    return Answer(200, {"status": "available"})


def version(_request: Request) -> Answer:
    return Answer(200, {"commitSha": "double", "commitDate": "double", "pkgVersion": "1.50.0"})


# Documents


def add_documents(request: Request) -> Answer:
    return _add(request, merges=False)


def merge_documents(request: Request) -> Answer:
    return _add(request, merges=True)


def _add(request: Request, merges: bool) -> Answer:
    uid = request.index_uid
    request.only("primaryKey", "csvDelimiter", "customMetadata", "skipCreation")
    skip = request.query.get("skipCreation", "false")
    if skip not in {"true", "false"}:
        raise ApiError("invalid_skip_creation", f"skipCreation must be either `true` or `false`. Found: `{skip}`")
    documents = request.body.documents(request.query.get("csvDelimiter", ","))
    content = Addition(
        documents,
        merges,
        request.query.get("primaryKey"),
        creates_documents=skip != "true",
        creates_index=request.access.creates_index(uid),
    )
    details = {"receivedDocuments": len(documents), "indexedDocuments": None}
    task = request.core.enqueue(uid, "documentAdditionOrUpdate", content, details, request.query.get("customMetadata"))
    return Answer(202, task.summary())


def delete_batch(request: Request) -> Answer:
    uid = request.index_uid
    request.only("customMetadata")
    ids = tuple(item if isinstance(item, str) else compact(item) for item in request.body.json_list())
    return _enqueue_deletion(request, uid, Deletion(ids), len(ids))


def delete_one(request: Request) -> Answer:
    request.only("customMetadata")
    return _enqueue_deletion(request, request.index_uid, Deletion((request.path["document_id"],)), 1)


def delete_by_filter(request: Request) -> Answer:
    uid = request.index_uid
    request.only("customMetadata")
    body = _object(request.body.json())
    _only_fields(body, "filter")
    if body.get("filter") is None:
        raise ApiError("missing_document_filter", "Missing field `filter`")
    if body["filter"] in ("", []):
        raise ApiError("invalid_document_filter", "Sending an empty filter is forbidden.")
    check_syntax(body["filter"], "invalid_document_filter")
    return _enqueue_deletion(request, uid, Deletion((), body["filter"]), 0)


def _enqueue_deletion(request: Request, uid: str, content: Deletion, provided: int) -> Answer:
    filter_text = None if content.filter is None else compact(content.filter)
    details = {"providedIds": provided, "deletedDocuments": None, "originalFilter": filter_text}
    task = request.core.enqueue(uid, "documentDeletion", content, details, request.query.get("customMetadata"))
    return Answer(202, task.summary())


def clear_documents(request: Request) -> Answer:
    request.only("customMetadata")
    task = request.core.enqueue(
        request.index_uid, "documentDeletion", Clear(), {"deletedDocuments": None}, request.query.get("customMetadata")
    )
    return Answer(202, task.summary())


def fetch_documents(request: Request) -> Answer:
    uid, body = request.index_uid, _object(request.body.json())
    return Answer(200, reading.fetch(request.core.index(uid), body))


def list_documents(request: Request) -> Answer:
    request.only("offset", "limit", "fields", "retrieveVectors", "ids", "filter", "sort", "useNetwork")
    body: dict[str, Any] = {
        "offset": read_count(request.query, "offset", "invalid_document_offset"),
        "limit": read_count(request.query, "limit", "invalid_document_limit"),
        "filter": request.query.get("filter"),
        "retrieveVectors": request.query.get("retrieveVectors") == "true",
    }
    for name in ("fields", "ids", "sort"):
        if name in request.query:
            body[name] = request.query[name].split(",")
    return Answer(200, reading.fetch(request.core.index(request.index_uid), body))


def get_document(request: Request) -> Answer:
    request.only("fields", "retrieveVectors", "useNetwork")
    fields = request.query["fields"].split(",") if "fields" in request.query else None
    index = request.core.index(request.index_uid)
    return Answer(200, reading.one(index, request.path["document_id"], fields, request.query.get("retrieveVectors") == "true"))


def search(request: Request) -> Answer:
    uid, body = request.index_uid, _object(request.body.json())
    return Answer(200, reading.search(request.core.index(uid), body))


def search_by_query(request: Request) -> Answer:
    body: dict[str, Any] = dict(request.query)
    for name in ("offset", "limit", "page", "hitsPerPage"):
        if name in body:
            body[name] = read_count(request.query, name, f"invalid_search_{name.lower()}")
    for name in ("attributesToRetrieve", "sort"):
        if name in body:
            body[name] = body[name].split(",")
    return Answer(200, reading.search(request.core.index(request.index_uid), body))


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ApiError("bad_request", f"Invalid value type: expected an object, but found {found_text(value)}")
    return value


def _check_text(body: Mapping[str, Any], name: str, code: str) -> None:
    if body.get(name) is not None and not isinstance(body[name], str):
        raise ApiError(code, f"Invalid value type at `.{name}`: expected a string, but found {found_text(body[name])}")


def _only_fields(body: Mapping[str, Any], *known: str) -> None:
    for name in body:
        if name not in known:
            raise ApiError("bad_request", f"Unknown field `{name}`: expected one of {_names(known)}")


# Indexes


def list_indexes(request: Request) -> Answer:
    request.only("offset", "limit")
    offset = read_count(request.query, "offset", "invalid_index_offset") or 0
    limit = read_count(request.query, "limit", "invalid_index_limit")
    limit = 20 if limit is None else limit
    indexes = [index.view() for index in request.core.visible_indexes(request.access)]
    return Answer(200, {"results": indexes[offset : offset + limit], "offset": offset, "limit": limit, "total": len(indexes)})


def get_index(request: Request) -> Answer:
    return Answer(200, request.core.index(request.index_uid).view())


def create_index(request: Request) -> Answer:
    body = _object(request.body.json())
    _only_fields(body, "uid", "primaryKey")
    if "uid" not in body:
        raise ApiError("missing_index_uid", "Missing field `uid`")
    _check_text(body, "uid", "invalid_index_uid")
    _check_text(body, "primaryKey", "invalid_index_primary_key")
    uid = _checked_uid(body["uid"], "Invalid value at `.uid`: ")
    if not request.access.sees_index(uid):
        raise ApiError("invalid_api_key", "The provided API key is invalid.")
    primary_key = body.get("primaryKey")
    task = request.core.enqueue(uid, "indexCreation", IndexCreation(primary_key), {"primaryKey": primary_key})
    return Answer(202, task.summary())


def update_index(request: Request) -> Answer:
    uid, body = request.index_uid, _object(request.body.json())
    _only_fields(body, "primaryKey", "uid")
    new_uid = body.get("uid")
    details: dict[str, Any] = {"primaryKey": body.get("primaryKey")}
    if new_uid is not None:
        _checked_uid(str(new_uid))
        details |= {"oldIndexUid": uid, "newIndexUid": new_uid}
    task = request.core.enqueue(uid, "indexUpdate", IndexUpdate(body.get("primaryKey"), new_uid), details)
    return Answer(202, task.summary())


def delete_index(request: Request) -> Answer:
    task = request.core.enqueue(request.index_uid, "indexDeletion", IndexDeletion(), {"deletedDocuments": None})
    return Answer(202, task.summary())


def index_stats(request: Request) -> Answer:
    uid = request.index_uid
    return Answer(200, request.core.index(uid).stats(request.core.is_indexing(uid)))


def stats(request: Request) -> Answer:
    indexes = request.core.visible_indexes(request.access)
    views = {index.uid: index.stats(request.core.is_indexing(index.uid)) for index in indexes}
    size = 1 << 20
    last = max((index.updated_at for index in indexes), default=None)
    return Answer(200, {"databaseSize": size, "usedDatabaseSize": size, "lastUpdate": last, "indexes": views})


def swap_indexes(request: Request) -> Answer:
    body = request.body.json()
    if not isinstance(body, list):
        raise ApiError("bad_request", f"Invalid value type: expected an array, but found {found_text(body)}")
    swaps = []
    seen: list[str] = []
    for number, entry in enumerate(body):
        for name in _object(entry):
            if name not in {"indexes", "rename"}:
                raise ApiError("bad_request", f"Unknown field `{name}` inside `[{number}]`: expected one of `indexes`, `rename`")
        if "indexes" not in entry:
            raise ApiError("missing_swap_indexes", f"Missing field `indexes` inside `[{number}]`")
        pair = entry["indexes"]
        for position, uid in enumerate(pair):
            _checked_uid(str(uid), f"Invalid value at `[{number}].indexes[{position}]`: ", "invalid_swap_indexes")
        if len(pair) != 2:
            listed = ", ".join(f'"{uid}"' for uid in pair)
            raise ApiError(
                "invalid_swap_indexes",
                f"Two indexes must be given for each swap. The list `[{listed}]` contains {len(pair)} indexes.",
            )
        if not all(request.access.sees_index(uid) for uid in pair):
            raise ApiError("invalid_api_key", "The provided API key is invalid.")
        seen.extend(pair)
        swaps.append((pair[0], pair[1], bool(entry.get("rename", False))))
    repeated = sorted({uid for uid in seen if seen.count(uid) > 1})
    if repeated:
        were = "was" if len(repeated) == 1 else "were"
        raise ApiError(
            "invalid_swap_duplicate_index_found",
            f"Indexes must be declared only once during a swap. {_names(repeated)} {were} specified several times.",
        )
    details = {"swaps": [{"indexes": [left, right], "rename": rename} for left, right, rename in swaps]}
    return Answer(202, request.core.enqueue(None, "indexSwap", Swap(tuple(swaps)), details).summary())


# Settings


def get_settings(request: Request) -> Answer:
    return Answer(200, request.core.index(request.index_uid).settings)


def change_settings(request: Request) -> Answer:
    uid = request.index_uid
    return _enqueue_settings(request, uid, read_change(request.body.json()), creates=True)


def reset_settings(request: Request) -> Answer:
    return _enqueue_settings(request, request.index_uid, reset_all(), creates=False)


def get_setting(request: Request) -> Answer:
    name, _ = SUB_ROUTES[request.path["setting"]]
    return Answer(200, request.core.index(request.index_uid).settings[name])


def change_setting(request: Request) -> Answer:
    name, _ = SUB_ROUTES[request.path["setting"]]
    uid, value = request.index_uid, request.body.json()
    check_setting(name, value, "")
    return _enqueue_settings(request, uid, normalised({name: value}), creates=True)


def reset_setting(request: Request) -> Answer:
    name, _ = SUB_ROUTES[request.path["setting"]]
    return _enqueue_settings(request, request.index_uid, normalised({name: None}), creates=False)


def _enqueue_settings(request: Request, uid: str, change: dict[str, Any], creates: bool) -> Answer:
    content = SettingsChange(change, creates and request.access.creates_index(uid))
    return Answer(202, request.core.enqueue(uid, "settingsUpdate", content, dict(change)).summary())


# Tasks and batches


def list_tasks(request: Request) -> Answer:
    return Answer(200, request.core.list_tasks(TaskQuery.read(request.query, paging=True), request.access))


def get_task(request: Request) -> Answer:
    uid = request.path["task_uid"]
    if not uid.isdigit():
        raise ApiError("invalid_task_uids", f"Task uid `{uid}` is invalid. It should only contain numeric characters.")
    return Answer(200, request.core.task(int(uid), request.access).view())


def cancel_tasks(request: Request) -> Answer:
    matched, text = _chosen_tasks(request, "cancel")
    details = {"matchedTasks": len(matched), "canceledTasks": None, "originalFilter": text}
    return Answer(200, request.core.enqueue(None, "taskCancelation", TaskCancelation(matched), details).summary())


def delete_tasks(request: Request) -> Answer:
    matched, text = _chosen_tasks(request, "delete")
    details = {"matchedTasks": len(matched), "deletedTasks": None, "originalFilter": text}
    return Answer(200, request.core.enqueue(None, "taskDeletion", TaskDeletion(matched), details).summary())


def _chosen_tasks(request: Request, verb: str) -> tuple[frozenset[int], str]:
    query = TaskQuery.read(request.query, paging=False)
    if not request.query:
        raise ApiError(
            "missing_task_filters",
            f"Query parameters to filter the tasks to {verb} are missing. Available query parameters are: `uids`, `indexUids`, "
            "`statuses`, `types`, `canceledBy`, `beforeEnqueuedAt`, `afterEnqueuedAt`, `beforeStartedAt`, `afterStartedAt`, "
            "`beforeFinishedAt`, `afterFinishedAt`.",
        )
    return frozenset(task.uid for task in request.core.matching(query, request.access)), "?" + urlencode(
        request.query, safe=",*:"
    )


def list_batches(request: Request) -> Answer:
    return Answer(200, request.core.list_batches(TaskQuery.read(request.query, paging=True), request.access))


def get_batch(request: Request) -> Answer:
    uid = request.path["batch_uid"]
    if not uid.isdigit():
        raise ApiError("invalid_batch_uids", f"Batch uid `{uid}` is invalid. It should only contain numeric characters.")
    return Answer(200, request.core.batch_view(int(uid), request.access))


# Keys


def list_keys(request: Request) -> Answer:
    request.only("offset", "limit")
    offset = read_count(request.query, "offset", "invalid_api_key_offset") or 0
    limit = read_count(request.query, "limit", "invalid_api_key_limit")
    limit = 20 if limit is None else limit
    keys = [key.view() for key in request.core.keys.all()]
    return Answer(200, {"results": keys[offset : offset + limit], "offset": offset, "limit": limit, "total": len(keys)})


def create_key(request: Request) -> Answer:
    return Answer(201, request.core.keys.create(_object(request.body.json())).view())


def get_key(request: Request) -> Answer:
    return Answer(200, request.core.keys.find(request.path["key"]).view())


def delete_key(request: Request) -> Answer:
    request.core.keys.delete(request.path["key"])
    return Answer(204, None)
