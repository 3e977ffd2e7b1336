"""One pooled keep-alive connection to one Meilisearch: bytes out, JSON in, foreign exceptions translated.

aiohttp was measured against httpx and the official client (`benchmarks/transport.py`): alike for 20 MB, a quarter of the time
or less for a small write or a look at tasks, of which there are many while the worker is busy.
"""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
import orjson

from sync_worker.adapters.meilisearch import errors
from sync_worker.adapters.meilisearch.errors import Call
from sync_worker.errors import ConfigurationError, SinkUnavailable

Compress = Literal["auto", "gzip", "none"]
COMPRESS_FROM_BYTES = 10 * 1024
GZIP_LEVEL = 1
PIECE_BYTES = 256 * 1024
TURN_BYTES = 4 * 1024 * 1024
PAUSE_S = 0.002
LEAST_S = 1.0
USER_AGENT = f"sync-worker/{version('sync-worker')}"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds.

    Attributes:
        connect_s: until a connection is there, waiting for one of the pool included.
        read_s: a whole request that only reads.
        write_s: the most that a whole write may take, connecting included. Below the consumer's session time-out, so that a
            worker that lost its partition does not write long after. A small write gets 10 s, and one more for each MB.
    """

    connect_s: float = 5.0
    read_s: float = 10.0
    write_s: float = 25.0

    def for_write(self, size: int) -> float:
        """Seconds for a write of `size` bytes."""
        return min(self.write_s, 10.0 + size / 1e6)


DEFAULT_TIMEOUTS = Timeouts()


class Transport:
    """Requests to one server with one key. Opens its connections with the first request; `close()` ends them.

    Raises ConfigurationError for a URL or a key that can't be one.
    """

    def __init__(self, url: str, api_key: str, *, key_name: str, compress: Compress, timeouts: Timeouts) -> None:
        self.url = url.rstrip("/")
        self.key_name = key_name
        self.timeouts = timeouts
        host = _host(self.url)
        if not api_key.isascii() or not api_key.isprintable() or api_key.strip() != api_key:
            raise ConfigurationError([f"The {key_name} for {self.url} has characters that no key has (a line end of a file?)."])
        self._headers = {"User-Agent": USER_AGENT} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
        self._compress_from = _compress_from(compress, host)
        self._session: aiohttp.ClientSession | None = None

    async def read(self, path: str, *, action: str) -> Any:
        """GET; the answer's JSON. Raises SinkUnavailable, SinkFull, SinkDenied (`code` tells a missing index apart)."""
        call = Call(f"GET {path.partition('?')[0]}", action, self.key_name, self.url, writes=False)
        return await self._send("GET", path, None, {}, call, self.timeouts.read_s)

    async def ask(self, path: str, body: bytes, *, action: str) -> Any:
        """POST that only reads: for questions too long for a URL. Raises as `read` does."""
        call = Call(f"POST {path.partition('?')[0]}", action, self.key_name, self.url, writes=False)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        return await self._attempt("POST", path, body, headers, call, self.timeouts.read_s)

    async def write(
        self, method: str, path: str, body: bytes | None, *, action: str, content_type: str = "application/json"
    ) -> Any:
        """One write, sent once. Raises what `Sink` says of writes."""
        call = Call(f"{method} {path.partition('?')[0]}", action, self.key_name, self.url, writes=True)
        headers: dict[str, str] = {}
        size = 0
        if body is not None:
            size = len(body)
            headers["Content-Type"] = content_type
            if self._compress_from is not None and size >= self._compress_from:
                body = await asyncio.to_thread(gzip.compress, body, GZIP_LEVEL)
                headers["Content-Encoding"] = "gzip"
            headers["Content-Length"] = str(len(body))
        return await self._send(method, path, body, headers, call, self.timeouts.for_write(size))

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _send(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], call: Call, timeout_s: float
    ) -> Any:
        if body is None or len(body) <= PIECE_BYTES:
            return await self._attempt(method, path, body, headers, call, timeout_s)
        begin = asyncio.get_running_loop().time()
        upload = Upload(body, pause_s=0)
        try:
            return await self._attempt(method, path, upload, headers, call, timeout_s)
        except SinkUnavailable:
            left_s = timeout_s - (asyncio.get_running_loop().time() - begin)
            if not upload.broken_off or left_s < LEAST_S:
                raise
        # A server that refuses a payload answers and closes while we are still sending; asyncio meets the closed connection
        # before it reads the answer, and forgets it. The body never went out whole, so nothing was taken: send it once more,
        # slowly, to hear the answer.
        return await self._attempt(method, path, Upload(body, pause_s=PAUSE_S), headers, call, left_s)

    async def _attempt(
        self, method: str, path: str, body: bytes | Upload | None, headers: dict[str, str], call: Call, timeout_s: float
    ) -> Any:
        upload = body if isinstance(body, Upload) else None

        async def once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
            # aiohttp sends a DELETE again by itself when a kept connection breaks: two clears where we know of one.
            # An exception that is not its own, raised in here, prevents that.
            try:
                return await send(request)
            except (aiohttp.ClientError, OSError) as error:
                raise errors.from_client(error, call, broken_off=upload is not None and upload.broken_off) from error

        try:
            async with self._open().request(
                method,
                self.url + path,
                data=body if upload is None else upload.pieces(),
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_s, connect=self.timeouts.connect_s),
                middlewares=(once,) if call.writes else (),
            ) as answer:
                raw = await answer.read()
        except (aiohttp.ClientError, OSError) as error:
            raise errors.from_client(error, call, broken_off=upload is not None and upload.broken_off) from error
        if not 200 <= answer.status < 300:
            raise errors.from_answer(answer.status, answer.headers, raw, call)
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise errors.from_answer(answer.status, answer.headers, raw, call) from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers, trust_env=False, cookie_jar=aiohttp.DummyCookieJar())
        return self._session


class Upload:
    """A large body in pieces, so that other work of the event loop gets its turn in between.

    Attributes:
        broken_off: begun, and the last piece never handed over. Its length is announced, so a server can't have taken it.
    """

    def __init__(self, body: bytes, *, pause_s: float) -> None:
        self._view = memoryview(body)
        self._pause_s = pause_s
        self.broken_off = False

    async def pieces(self) -> AsyncIterator[memoryview]:
        size = len(self._view)
        for start in range(0, size, PIECE_BYTES):
            self.broken_off = start + PIECE_BYTES < size
            yield self._view[start : start + PIECE_BYTES]
            # A turn of the loop is long while records are translated: not one for each piece.
            if self._pause_s or start % TURN_BYTES == 0:
                await asyncio.sleep(self._pause_s)


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError([f"{url!r} is not a URL: {error}."]) from error
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise ConfigurationError([f"{url!r} is not the URL of a Meilisearch; it looks like http://host:7700."])
    if parts.username or parts.password:
        raise ConfigurationError([f"The URL of {host} carries a user or password; Meilisearch knows keys only."])
    return host


def _compress_from(compress: Compress, host: str) -> int | None:
    """Bytes from which a payload is compressed; None for never."""
    if compress == "none":
        return None
    if compress == "gzip":
        return 0
    return None if _is_loopback(host) else COMPRESS_FROM_BYTES


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
