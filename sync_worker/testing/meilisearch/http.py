"""The thin HTTP side: routes, keys, faults, and bodies in and out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from sync_worker.testing.meilisearch import requests
from sync_worker.testing.meilisearch.core import Core
from sync_worker.testing.meilisearch.errors import ApiError
from sync_worker.testing.meilisearch.faults import (
    Faults,
    HoldAnswer,
    LoseAnswer,
    LoseRequest,
    Operation,
    Reject,
    RespondSlowly,
    Strike,
)
from sync_worker.testing.meilisearch.keys import MASTER
from sync_worker.testing.meilisearch.payload import Body
from sync_worker.testing.meilisearch.requests import Answer, Request
from sync_worker.testing.meilisearch.settings import SUB_ROUTES

_INDEX = "/indexes/{index_uid}"
_DOCUMENTS = _INDEX + "/documents"
_SETTINGS = _INDEX + "/settings"


@dataclass(frozen=True)
class Route:
    """`action` is what a key needs; None for what is open to all."""

    method: str
    path: str
    action: str | None
    operation: Operation
    handle: Callable[[Request], Answer]


def _routes() -> Iterator[Route]:
    op = Operation
    yield Route("GET", "/health", None, op.HEALTH, requests.health)
    yield Route("GET", "/version", "version", op.HEALTH, requests.version)
    yield Route("GET", "/stats", "stats.get", op.READ_INDEX, requests.stats)
    yield Route("POST", _DOCUMENTS, "documents.add", op.ADD_DOCUMENTS, requests.add_documents)
    yield Route("PUT", _DOCUMENTS, "documents.add", op.ADD_DOCUMENTS, requests.merge_documents)
    yield Route("DELETE", _DOCUMENTS, "documents.delete", op.CLEAR_DOCUMENTS, requests.clear_documents)
    yield Route("GET", _DOCUMENTS, "documents.get", op.READ_DOCUMENTS, requests.list_documents)
    yield Route("POST", _DOCUMENTS + "/fetch", "documents.get", op.READ_DOCUMENTS, requests.fetch_documents)
    yield Route("POST", _DOCUMENTS + "/delete-batch", "documents.delete", op.DELETE_DOCUMENTS, requests.delete_batch)
    yield Route("POST", _DOCUMENTS + "/delete", "documents.delete", op.DELETE_DOCUMENTS, requests.delete_by_filter)
    yield Route("GET", _DOCUMENTS + "/{document_id}", "documents.get", op.READ_DOCUMENTS, requests.get_document)
    yield Route("DELETE", _DOCUMENTS + "/{document_id}", "documents.delete", op.DELETE_DOCUMENTS, requests.delete_one)
    yield Route("POST", _INDEX + "/search", "search", op.SEARCH, requests.search)
    yield Route("GET", _INDEX + "/search", "search", op.SEARCH, requests.search_by_query)
    yield Route("GET", "/indexes", "indexes.get", op.READ_INDEX, requests.list_indexes)
    yield Route("POST", "/indexes", "indexes.create", op.CHANGE_INDEX, requests.create_index)
    yield Route("GET", _INDEX, "indexes.get", op.READ_INDEX, requests.get_index)
    yield Route("PATCH", _INDEX, "indexes.update", op.CHANGE_INDEX, requests.update_index)
    yield Route("DELETE", _INDEX, "indexes.delete", op.CHANGE_INDEX, requests.delete_index)
    yield Route("GET", _INDEX + "/stats", "stats.get", op.READ_INDEX, requests.index_stats)
    yield Route("POST", "/swap-indexes", "indexes.swap", op.SWAP, requests.swap_indexes)
    yield Route("GET", _SETTINGS, "settings.get", op.READ_SETTINGS, requests.get_settings)
    yield Route("PATCH", _SETTINGS, "settings.update", op.CHANGE_SETTINGS, requests.change_settings)
    yield Route("DELETE", _SETTINGS, "settings.update", op.CHANGE_SETTINGS, requests.reset_settings)
    for segment, (_, method) in SUB_ROUTES.items():
        path = f"{_SETTINGS}/{{setting:{segment}}}"
        yield Route("GET", path, "settings.get", op.READ_SETTINGS, requests.get_setting)
        yield Route(method, path, "settings.update", op.CHANGE_SETTINGS, requests.change_setting)
        yield Route("DELETE", path, "settings.update", op.CHANGE_SETTINGS, requests.reset_setting)
    yield Route("GET", "/tasks", "tasks.get", op.READ_TASKS, requests.list_tasks)
    yield Route("DELETE", "/tasks", "tasks.delete", op.READ_TASKS, requests.delete_tasks)
    yield Route("POST", "/tasks/cancel", "tasks.cancel", op.READ_TASKS, requests.cancel_tasks)
    yield Route("GET", "/tasks/{task_uid}", "tasks.get", op.READ_TASKS, requests.get_task)
    yield Route("GET", "/batches", "tasks.get", op.READ_TASKS, requests.list_batches)
    yield Route("GET", "/batches/{batch_uid}", "tasks.get", op.READ_TASKS, requests.get_batch)
    yield Route("GET", "/keys", "keys.get", op.READ_INDEX, requests.list_keys)
    yield Route("POST", "/keys", "keys.create", op.CHANGE_INDEX, requests.create_key)
    yield Route("GET", "/keys/{key}", "keys.get", op.READ_INDEX, requests.get_key)
    yield Route("DELETE", "/keys/{key}", "keys.delete", op.CHANGE_INDEX, requests.delete_key)


@web.middleware
async def _bare_refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Unknown paths and methods get a status without a body, as in the server."""
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        return web.Response(status=refusal.status)


class HttpSide:
    """aiohttp's application over a core. `on_enqueued` is called after every request that may have added a task."""

    def __init__(self, core: Core, faults: Faults, payload_limit: int, on_enqueued: Callable[[], None]) -> None:
        self._core = core
        self._faults = faults
        self._payload_limit = payload_limit
        self._on_enqueued = on_enqueued

    def application(self) -> web.Application:
        application = web.Application(client_max_size=0, middlewares=[_bare_refusals])
        for route in _routes():
            application.router.add_route(route.method, route.path, self._handler(route))
        return application

    def _handler(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(http: web.Request) -> web.StreamResponse:
            raw = await http.read()
            strike = self._faults.take(route.operation)
            if strike and isinstance(strike.fault, Reject | LoseRequest):
                strike.reach()
                return _refused(http, strike.fault)
            answer = self._answer(route, http, raw)
            self._on_enqueued()
            if strike:
                await _delay(strike)
                if isinstance(strike.fault, LoseAnswer):
                    return _cut(http)
            return _response(answer)

        return handle

    def _answer(self, route: Route, http: web.Request, raw: bytes) -> Answer:
        path = dict(http.match_info)
        try:
            access = MASTER
            if route.action is not None:
                access = self._core.keys.authorize(http.headers.get("Authorization"), route.action, path.get("index_uid"))
            encoding = http.headers.get("Content-Encoding", "").strip().lower()
            body = Body(raw, encoding, http.headers.get("Content-Type"), self._payload_limit)
            return route.handle(Request(self._core, access, path, dict(http.query), body))
        except ApiError as error:
            return Answer(error.status, error.body())


async def _delay(strike: Strike) -> None:
    strike.reach()
    if isinstance(strike.fault, HoldAnswer):
        await strike.wait_released()
    elif isinstance(strike.fault, RespondSlowly):
        await asyncio.sleep(strike.fault.delay_s)


def _refused(http: web.Request, fault: Reject | LoseRequest) -> web.StreamResponse:
    if isinstance(fault, LoseRequest):
        return _cut(http)
    body = ApiError(fault.code, fault.message).body()
    headers = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
    return web.Response(status=fault.status, body=orjson.dumps(body), content_type="application/json", headers=headers)


def _cut(http: web.Request) -> web.StreamResponse:
    if http.transport is not None:
        http.transport.abort()
    return web.Response(status=500)


def _response(answer: Answer) -> web.StreamResponse:
    if answer.body is None and answer.status == 204:
        return web.Response(status=204)
    return web.Response(status=answer.status, body=orjson.dumps(answer.body), content_type="application/json")
