"""A server on a free port that answers what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

ACCEPTED = {"taskUid": 7, "indexUid": "cities", "status": "enqueued", "type": "documentAdditionOrUpdate"}
Answer = Callable[["Asked"], web.Response]


@dataclass(frozen=True)
class Asked:
    """One request as it came over the wire; `body` is decompressed."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    raw_path: str


@dataclass
class Script:
    """Answers by `METHOD /path` (any query); everything else is an accepted write."""

    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def on(self, request: str, answer: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.answers[request] = lambda _: web.Response(text=text_of(answer), status=status, headers=headers)


def text_of(answer: Any) -> str:
    return answer if isinstance(answer, str) else json.dumps(answer)


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    script = Script()

    async def handle(request: web.Request) -> web.Response:
        # aiohttp's server has undone the compression already.
        body = await request.read()
        assert body[:2] != gzip.compress(b"")[:2]
        asked = Asked(request.method, request.path, dict(request.query), dict(request.headers), body, request.raw_path)
        script.asked.append(asked)
        known = script.answers.get(f"{asked.method} {asked.path}")
        return known(asked) if known else web.json_response(ACCEPTED, status=202)

    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{tail:.*}", handle)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    script.url = str(server.make_url("/"))
    yield script
    await server.close()
